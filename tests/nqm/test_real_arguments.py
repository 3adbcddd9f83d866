"""Every public function refuses what is not an array of real numbers, instead of converting it."""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nqm
from nqm import NoisyQuadratic, judge, lyapunov_certificate, plain_rule, spectral_radius
from nqm.namespace import common

H = np.array([[2.0, 1.0], [1.0, 2.0]])
P = np.array([[0.1, 0.0], [0.0, 0.2]])
MODEL = NoisyQuadratic(H, np.eye(2))
RNG = np.random.default_rng(0)

# Public function -> arguments, of which each array is replaced in turn.
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "NoisyQuadratic": (H, np.eye(2), np.ones(2), np.eye(2)),
    "aggmo_rule": (H, P, 0.1),
    "aggregated_momentum_rule": (H, [P], [0.5]),
    "averaged_rule": (plain_rule(H, P, 0.1), 0.5),
    "cancellation_rule": (H, P, 0.1, np.ones(2)),
    "cancelled_step_matrix": (P, 0.1, np.ones(2)),
    "check": (H, P, 0.1),
    "check_lyapunov": (P, H),
    "crossing_steps": (H, P),
    "delayed_rule": (H, P, 0.1),
    "descent": (H, P, 0.1),
    "descent_norm": (H, P, 0.1),
    "eigenvalues": (P,),
    "eigenvector_condition": (H, P, 0.1),
    "every_hessian": (H, P, 0.1),
    "every_hessian_stability": (P, 3.0),
    "expected_loss": (MODEL, plain_rule(H, P, 0.1), 3),
    "exponential_average_rule": (H, P, 0.1),
    "frozen_adam_rule": (H, P, 0.1),
    "heavy_ball_rule": (H, P, 0.1),
    "joint_spectral_radius": (np.stack([H, P]) / 4,),
    "judge": (P,),
    "kreiss_constant": (P,),
    "lemma2": (H, P, 0.1),
    "lemma2_interval": (H, P),
    "lemma3": (H, P, 0.1, np.ones(2)),
    "lemma3_bounds": (H, 0.1, np.ones(2)),
    "limit_loss": (MODEL, plain_rule(H, P, 0.1)),
    "limit_moments": (MODEL, plain_rule(H, P, 0.1)),
    "loss_norm_matrix": (H, P, 0.1),
    "loss_spectrum": (MODEL, 0.1, P),
    "lyapunov_certificate": (P,),
    "mean_square_matrix": (np.stack([H, P]), np.array([0.25, 0.75])),
    "memoryless_rule": (P,),
    "meta_gradient_variance": (MODEL, 0.1, P),
    "expected_meta_gradient": (MODEL, 0.1, P),
    "minibatch_mean_square": (H, P, 0.1, 4.0),
    "minibatch_step_limit": (H, 4.0),
    "momentum_condition": (H, [P], [0.5]),
    "momentum_eigenvalues": (H, [P], [0.5]),
    "nesterov_rule": (H, P, 0.1),
    "nominal_momentum_rule": (H, P, 0.1),
    "nominal_step_interval": (H, P),
    "nominal_step_intervals": (H, P),
    "normalized_limit": (MODEL, 0.1),
    "numerical_radius": (P,),
    "numerical_radius_condition": (H, P, 0.1),
    "parameter_moments": (MODEL, plain_rule(H, P, 0.1), 3),
    "perturbed_preconditioner": (P, np.ones(2)),
    "perturbed_rule": (H, P, 0.1, np.ones(2)),
    "plain_rule": (H, P, 0.1),
    "preconditioner_box": (P, 2 * P),
    "preconditioned_update_matrix": (H, P, 0.1),
    "prove_matrix": (P,),
    "prove_stability": (H, P, 0.1),
    "robust_stability": (H, P, 0.1, np.ones(2)),
    "root_and_inverse_root": (H,),
    "sample_meta_gradients": (MODEL, 0.1, P),
    "sample_trajectories": (MODEL, plain_rule(H, P, 0.1), 3),
    "second_compound": (P,),
    "second_moment_step": (H, P, 4.0, P),
    "spectral_loss": (MODEL, 0.1, P),
    "spectral_radius": (P,),
    "step_matrix": (P, 0.1),
    "switched": (H, np.stack([P, P / 2]), 0.1),
    "symmetric_eigenvalues": (H, P, 0.1),
    "symmetric_spectrum": (np.array([0.5]), 0.1),
    "theorem1": (H, P, 0.1),
    "theorem1_interval": (H, P),
    "theorem1_prime": (H, P, 0.1),
    "theorem1_prime_norm": (H, P, 0.1),
    "transient_growth": (P,),
    "update_matrix": (H, P, 0.1),
}
KEYWORDS: dict[str, dict[str, Any]] = {
    "expected_meta_gradient": {"horizon": 3},
    "meta_gradient_variance": {"horizon": 3},
    "sample_meta_gradients": {"horizon": 3, "seeds": 2, "rng": RNG},
    "sample_trajectories": {"seeds": 2, "rng": RNG},
    "spectral_loss": {"horizon": 3},
}
# They take numbers or text alone, or, the last one, complex eigenvalues on purpose.
WITHOUT_ARRAYS = {
    *("aggmo_limit", "delay_limit", "example", "exponential_average_limit", "heavy_ball_limit"),
    *("nesterov_limit", "parse_rule", "read_array", "heavy_ball_ellipse"),
}
SPOILT: dict[str, Callable[[np.ndarray], Any]] = {
    "complex": lambda a: a + 1j,
    "complex without imaginary part": lambda a: a.astype(complex),
    "booleans": lambda a: a > 0,
    "a list of a boolean and numbers": lambda a: np.where(
        a == a.flat[0], True, a.astype(object)
    ).tolist(),
    "a list of a masked array": lambda a: [np.ma.array(row, mask=True) for row in a],
    "masked": lambda a: np.ma.array(a, mask=a == a.flat[0]),
    "objects": lambda a: a.astype(object),
    "text": lambda a: a.astype("U9"),
}


def replaced(value: Any, spoil: Callable[[np.ndarray], Any]) -> list[Any]:
    """The value with each of its arrays spoilt in turn."""
    if isinstance(value, np.ndarray):
        return [spoil(value)]
    if isinstance(value, (list, tuple)) and any(isinstance(v, np.ndarray) for v in value):
        made = []
        for i, entry in enumerate(value):
            for bad in replaced(entry, spoil):
                parts = [*value[:i], bad, *value[i + 1 :]]
                made.append(type(value)(*parts) if hasattr(value, "_fields") else parts)
        return made
    return []


def test_the_table_has_every_public_function() -> None:
    functions = {name for name in nqm.__all__ if inspect.isfunction(getattr(nqm, name))}
    assert functions | {"NoisyQuadratic"} == set(ARGUMENTS) | WITHOUT_ARRAYS


@pytest.mark.parametrize("name", ARGUMENTS)
def test_what_is_not_real_is_refused_in_one_line(name: str) -> None:
    if name.startswith("prove"):
        pytest.importorskip("flint")
    function, arguments, keywords = getattr(nqm, name), ARGUMENTS[name], KEYWORDS.get(name, {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        function(*arguments, **keywords)
        for kind, spoil in SPOILT.items():
            for position, value in enumerate(arguments):
                for bad in replaced(value, spoil):
                    given = [*arguments[:position], bad, *arguments[position + 1 :]]
                    with pytest.raises(ValueError, match="real numbers") as caught:
                        function(*given, **keywords)
                    message = str(caught.value)
                    assert "\n" not in message, (kind, position)
                    assert len(message) <= 300, (kind, position)


@pytest.mark.parametrize(
    "step", [True, np.True_, 1 + 0j, np.complex128(1), np.ma.masked, [0.1, 0.2], None]
)
def test_a_step_is_one_real_number(step: Any) -> None:
    with pytest.raises(ValueError, match="nominal_step must"):
        nqm.theorem1(H, P, step)


@pytest.mark.parametrize("count", [True, np.True_, 1.0, "1", None, [True]])
def test_a_count_is_a_whole_number_and_no_truth_value(count: Any) -> None:
    rule = plain_rule(H, P, 0.1)
    with pytest.raises(ValueError, match="horizon must be an integer"):
        nqm.expected_loss(MODEL, rule, count)
    with pytest.raises(ValueError, match="seeds must be an integer"):
        nqm.sample_trajectories(MODEL, rule, 1, seeds=count, rng=RNG)
    if type(count) in (float, str):  # a number, as the command line gives it
        assert nqm.delayed_rule(H, P, 0.1, count).joint_matrix.shape == (4, 4)
    else:
        with pytest.raises(ValueError, match="delay must"):
            nqm.delayed_rule(H, P, 0.1, count)


def test_jax_arrays_are_refused_by_their_dtype() -> None:
    jnp = pytest.importorskip("jax.numpy")
    for dtype in (complex, bool):
        with pytest.raises(ValueError, match="real numbers"):
            common(jnp.ones((2, 2), dtype), 0.1)
    with pytest.raises(ValueError, match="real numbers"):
        common(jnp.ones((2, 2)), np.ones(2) * 1j)
    assert common(jnp.ones((2, 2), int))[1][0].dtype.kind == "f"


@pytest.mark.parametrize("size", [1e101, 1e138, 1e160, 1e300])
def test_entries_whose_products_overflow_are_refused(size: float) -> None:
    F = size * np.array([[0.5, 1.0], [0.0, 0.5]])
    for function in (judge, lyapunov_certificate):
        with pytest.raises(ValueError, match="1e\\+100"):
            function(F)
    with pytest.raises(ValueError, match="1e\\+100"):
        nqm.check_lyapunov(P, F)


def test_up_to_the_largest_entries_an_enclosure_encloses() -> None:
    F = 1e99 * np.array([[0.5, 1.0], [0.0, 0.25]])
    found = judge(F)
    assert found.lower <= 0.5e99 <= found.upper < 1e99
    certificate = lyapunov_certificate(F)
    assert not certificate.valid
    assert np.isfinite(certificate.allowance) or "overflow" in certificate.reason
    assert float(spectral_radius(F)) == pytest.approx(0.5e99)
