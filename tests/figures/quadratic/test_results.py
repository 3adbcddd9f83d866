"""The committed results agree with nqm, and the captions agree with the results."""

import re
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from figures.engine.figure import Figure
from figures.engine.store import load
from figures.quadratic import (
    conservatism,
    gradient_variance,
    interventions,
    momentum,
    nominal_training,
    regions,
    robust,
)
from figures.quadratic.regions import preconditioner
from lopt.meta.estimators.exact import expected_meta_gradient, expected_meta_loss
from nqm import (
    example,
    heavy_ball_ellipse,
    meta_gradient_variance,
    nominal_step_intervals,
    perturbed_preconditioner,
    preconditioned_update_matrix,
    spectral_radius,
    update_matrix,
)


def parts(figure: Figure) -> dict[str, Any]:
    found: dict[str, Any] = load(figure)["parts"]
    return found


def caption(figure: Figure) -> str:
    """Return the caption on one line."""
    return " ".join(figure.caption(parts(figure)).split())


def radius(H: Any, P: Any, alpha: float) -> float:
    return float(
        np.max(np.abs(np.linalg.eigvals(np.eye(len(H)) - (alpha * np.eye(len(H)) + P) @ H)))
    )


def test_interventions_end_where_nqm_says() -> None:
    H, P = interventions.problem()
    config, data = interventions.CONFIG, parts(interventions.FIGURE)
    ends = {
        "nominal term": update_matrix(H, P, config["nominal_step"]),
        "weight decay": update_matrix(H, (1 - config["weight_decay"]) * P, 0.0),
        "preconditioning": preconditioned_update_matrix(H, P, 0.0),
        "all three": preconditioned_update_matrix(
            H, (1 - config["weight_decay"]) * P, config["nominal_step"]
        ),
    }
    outside = []
    for name, A in ends.items():
        panel = data[name]
        values = np.array(panel["real"]) + 1j * np.array(panel["imaginary"])
        for column, matrix in ((0, update_matrix(H, P, 0.0)), (-1, A)):
            expected = np.linalg.eigvals(matrix)
            gaps = np.abs(values[:, column, None] - expected)
            assert max(gaps.min(axis=0).max(), gaps.min(axis=1).max()) < 1e-3
        # A path follows one eigenvalue, so it does not jump.
        assert np.abs(np.diff(values, axis=1)).max() < 0.15
        outside.append(int(np.sum(np.abs(np.linalg.eigvals(A)) > 1)))
    assert min(outside[:3]) > 0
    assert outside[3] == 0
    # The caption says this about the nominal term alone and about preconditioning.
    assert not nominal_step_intervals(H, P)
    assert np.linalg.det(P) < 0
    assert (
        "decay {1}, preconditioning {2}; at the same strengths all three together leave {3}".format(
            *outside
        )
        in caption(interventions.FIGURE)
    )


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.9, 1.05])
def test_the_curves_are_exact(alpha: float) -> None:
    data, own = parts(gradient_variance.FIGURE), gradient_variance
    column = int(np.argmin(np.abs(own.exact_steps() - alpha)))
    step = float(own.exact_steps()[column]) * own.edge()
    found = meta_gradient_variance(own.problem(), step, horizon=own.CONFIG["horizons"]).trace
    np.testing.assert_allclose(own.exact(data, "curves")[:, column], found, rtol=1e-5)


def test_the_variance_has_the_values_known_from_elsewhere() -> None:
    """The traces of a dense quadratic form over all draws, by horizon and share of the bound."""
    data, own = parts(gradient_variance.FIGURE), gradient_variance
    known = {(1, 0): 1042.27, (1, 0.25): 292.988, (1, 1): 1454.32, (10, 0.5): 4.97819}
    for (T, share), value in known.items():
        row, column = own.CONFIG["horizons"].index(T), round(share * 200)
        assert own.exact(data, "curves")[row, column] == pytest.approx(value, rel=1e-5)


def test_the_sampled_points_come_from_their_seeds() -> None:
    again = gradient_variance.compute("step 12")
    for name, values in parts(gradient_variance.FIGURE)["step 12"].items():
        np.testing.assert_allclose(values, again[name], rtol=1e-3)


def test_the_bootstrap_of_normal_samples() -> None:
    """The variance of a normal sample has the standard deviation sqrt(2/(n - 1)) var."""
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((200, 500, 1, 1))
    low, high = gradient_variance.bootstrap(samples, rng)
    expected = 2 * 1.96 * np.sqrt(2 / 499)
    assert np.mean(high - low) == pytest.approx(expected, rel=0.05)
    assert np.mean((low < 1) & (high > 1)) > 0.88


def test_how_often_the_intervals_hold_is_counted() -> None:
    data, own = parts(gradient_variance.FIGURE), gradient_variance
    points = own.exact(data, "points")
    low, high = own.sampled(data, "low"), own.sampled(data, "high")
    share = (
        sum(a <= x <= b for a, x, b in zip(low.flat, points.flat, high.flat, strict=True))
        / points.size
    )
    assert f"hold the exact value in {share:.0%}" in caption(own.FIGURE)
    assert 0.8 < share < 0.95


@pytest.mark.parametrize("panel", regions.PANELS)
def test_the_regions_end_where_the_radius_is_one(panel: str) -> None:
    rows, H = parts(regions.FIGURE)[panel], regions.hessian(panel)
    for index in range(3, len(rows), 30):
        P = preconditioner(panel, float(regions.parameters(panel)[index]))
        for low, high in rows[index]["stable"]:
            assert radius(H, P, (low + high) / 2) < 1 + 1e-12
            for end, outwards in ((low, -1e-3), (high, 1e-3)):
                assert radius(H, P, end) == pytest.approx(1, abs=1e-3)
                assert radius(H, P, end + outwards) > 1
        if rows[index]["prime"]:
            low, high = rows[index]["prime"]
            assert any(a - 1e-4 <= low and high <= b + 1e-4 for a, b in rows[index]["stable"])


def test_what_theorem_1_as_printed_claims_falsely() -> None:
    """The share agrees with that of unstable random draws that satisfy (9) and (10)."""
    rng, H = np.random.default_rng(1), regions.hessian("triangular")
    count, share = 3000, regions.false_share(parts(regions.FIGURE)["triangular"])
    draws = zip(rng.uniform(-3, 3, count), rng.uniform(0, 2 / 3 - 1 / 2, count), strict=True)
    unstable = np.mean(
        [radius(H, preconditioner("triangular", c), alpha) > 1 for c, alpha in draws]
    )
    assert share == pytest.approx(unstable, abs=4 * np.sqrt(0.25 / count))
    assert f"{share:.0%} of what Theorem 1 as printed certifies is unstable" in caption(
        regions.FIGURE
    )
    middle = parts(regions.FIGURE)["rotation"][0]
    assert middle["printed"] is None


def test_momentum_has_the_closed_forms() -> None:
    data, beta = parts(momentum.FIGURE), momentum.momenta()
    expected = {
        "heavy ball": 2 * (1 + beta),
        "Nesterov": 2 * (1 + beta) / (1 + 2 * beta),
        "AggMo": 6 / (1 + 1 / (1 + beta) + 1 / (2 - (1 - beta) ** 2)),
    }
    for rule, limits in expected.items():
        np.testing.assert_allclose(data[rule]["limit"], limits, rtol=1e-3)
    # Heavy ball: z^2 - (1 + beta - x) z + beta. Nesterov: z^2 - (1 + beta)(1 - x) z + beta (1 - x).
    for i, j in ((10, 20), (40, 45), (25, 5)):
        b, x = float(beta[j]), float(momentum.steps()[i])
        for rule, roots in (
            ("heavy ball", np.roots([1, -(1 + b - x), b])),
            ("Nesterov", np.roots([1, -(1 + b) * (1 - x), b * (1 - x)])),
        ):
            assert data[rule]["radius"][i][j] == pytest.approx(np.abs(roots).max(), abs=1e-3)
    assert "3.80 for heavy ball, 1.36 for Nesterov and 2.96 for AggMo" in caption(momentum.FIGURE)
    cross = [heavy_ball_ellipse(1 + 0.9j, b) < 1 for b in momentum.CONFIG["ellipses"]]
    assert cross == [True, False, False]  # as the caption says


def test_certified_sizes_hold_and_witnesses_refute() -> None:
    shown, rng = example("lemma3-without-commuting"), np.random.default_rng(2)
    for size, row in zip(robust.sizes(), parts(robust.FIGURE)["sizes"], strict=True):
        if row["status"] == "certified":
            draws = rng.uniform(0, size, (20, 2))
        else:
            assert row["status"] == "refuted"
            draws = np.array([row["witness"]])
            assert np.all(draws <= size * (1 + 1e-5))
        radii = [
            spectral_radius(
                update_matrix(
                    shown.hessian,
                    perturbed_preconditioner(shown.preconditioner, d),
                    shown.nominal_step,
                )
            )
            for d in draws
        ]
        assert (max(radii) <= 1) == (row["status"] == "certified")


def test_a_random_problem_is_answered_again() -> None:
    name = "N = 3 no. 1"
    statuses = [status for status, _ in parts(robust.FIGURE)[name]]
    assert statuses == [status for status, _ in robust.compute(name)]
    assert statuses == sorted(statuses, key=robust.STATUSES.index)


def test_theorem_1_loses_what_the_closed_form_says() -> None:
    """For P = 0.2 H^-1/2, h = 1: alpha <= 2 - 0.2 sqrt(kappa) is certified, alpha <= 1.8 stable."""
    kappas, data = conservatism.condition_numbers(), parts(conservatism.FIGURE)
    expected = np.maximum(2 - 0.2 * np.sqrt(kappas), 0) / 1.8
    for name in ("Theorem 1", "Theorem 1'", "eigenvectors"):
        found = conservatism.shares(data, conservatism.SYMMETRIC, name)[:, 0]
        np.testing.assert_allclose(found, expected, atol=1e-4)
    for name in ("descent", "numerical radius"):
        found = conservatism.shares(data, conservatism.SYMMETRIC, name)
        np.testing.assert_allclose(found, 1, atol=1e-3)
    ten = (2 - 0.2 * np.sqrt(10)) / 1.8
    assert re.search(rf"Theorem 1 certifies 100% at κ = 1, {ten:.0%} at κ = 10 and no step above 0 "
                     r"from κ = 100 on", caption(conservatism.FIGURE))  # fmt: skip


def test_no_condition_certifies_more_than_is_stable() -> None:
    data, family = parts(conservatism.FIGURE), conservatism.NONSYMMETRIC
    for name in conservatism.FAMILIES[family]:
        values = conservatism.shares(data, family, name)
        assert np.all((values >= 0) & (values <= 1 + 1e-4))
    H, P = conservatism.problem(family, 10.0, 3)
    limit = conservatism.exact_limit(H, P)
    assert radius(H, P, limit) == pytest.approx(1, abs=1e-9)
    row = int(np.argmin(np.abs(conservatism.condition_numbers() - 10)))
    for name in ("Theorem 1'", "descent"):
        found = conservatism.shares(data, family, name)[row, 3]
        assert found == pytest.approx(conservatism.share(name, H, P), abs=1e-4)


def test_the_optimum_of_the_trained_preconditioner_is_one_over_all_matrices() -> None:
    """The closed form has one parameter; a search over all four entries finds nothing lower."""
    model, best = nominal_training.problem(), nominal_training.optimum()
    horizon = nominal_training.CONFIG["horizon"]

    def value(entries: Any) -> Any:
        M = entries.reshape(2, 2)
        gradient = expected_meta_gradient(model, M, 0.0, horizon=horizon)
        return float(expected_meta_loss(model, M, 0.0, horizon=horizon)), np.ravel(gradient)

    rng = np.random.default_rng(0)
    for _ in range(3):
        start = np.ravel(0.5 * np.eye(2) + 0.1 * rng.standard_normal((2, 2)))
        found = minimize(value, start, jac=True, method="BFGS")
        assert found.fun == pytest.approx(best[0], rel=1e-8)
        A = np.eye(2) - found.x.reshape(2, 2) @ model.hessian
        np.testing.assert_allclose(A, best[1] * np.eye(2), atol=1e-4)


def test_trained_preconditioners_start_where_nqm_says_and_are_said_to_be_near_in_order() -> None:
    data = parts(nominal_training.FIGURE)
    H, looks = nominal_training.problem().hessian, nominal_training.looks()
    for share in nominal_training.CONFIG["shares"]:
        mean, _ = nominal_training.curve(data, "zero", share)
        alpha = nominal_training.nominal_step(share)
        moduli = np.sort(np.abs(1 - alpha * np.linalg.eigvalsh(H)))[::-1]
        np.testing.assert_allclose(mean[0, :2], moduli, rtol=1e-4)
        assert len(mean) == len(looks)
        assert (mean[:, 2] > nominal_training.optimum()[0] * (1 - 1e-4)).all()
    for start in nominal_training.CONFIG["starts"]:
        late = [nominal_training.when(data, start, near) for near in nominal_training.NEAR]
        assert (np.diff(late, axis=0) >= 0).all()  # nearer takes longer


def test_near_for_good() -> None:
    losses = np.full(nominal_training.looks().size, 1.0)
    assert nominal_training.reached(losses, 1.0) == 0
    losses[3] = 2.0
    assert nominal_training.reached(losses, 1.5) == nominal_training.looks()[4]
    losses[-1] = np.inf
    assert nominal_training.reached(losses, 1.5) is None
