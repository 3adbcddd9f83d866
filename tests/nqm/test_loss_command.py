"""`nqm loss` and `nqm sweep`: numbers, schema, and one line with exit code 2 for bad input."""

import contextlib
import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nqm import (
    NoisyQuadratic,
    check,
    example,
    expected_loss,
    heavy_ball_rule,
    meta_gradient_variance,
    plain_rule,
    spectral_loss,
)
from nqm.cli import main

H = np.array([[2.0, 1.0], [1.0, 2.0]])
P = np.array([[0.0, 0.2], [-0.1, 0.1]])
S = np.array([[1.0, 0.5], [0.5, 1.0]])


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    arrays = {"h": H, "p": P, "s": S, "m": np.array([1.0, -1.0]), "s0": 2 * S}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    return {name: str(tmp_path / f"{name}.npy") for name in arrays}


def words(files: dict[str, str], *more: str) -> list[str]:
    return [
        *("loss", "--hessian", files["h"], "--preconditioner", files["p"], "--noise", files["s"]),
        *("--initial", files["m"], "--initial-covariance", files["s0"], "--nominal-step", "0.3"),
        *more,
    ]


def test_loss_json(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(files, "--horizon", "17", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    model = NoisyQuadratic(H, S, [1.0, -1.0], 2 * S)
    exact = expected_loss(model, plain_rule(H, P, 0.3), 17)
    assert found["schema_version"] == 1
    assert found["horizon"] == 17
    assert found["expected_loss"] == pytest.approx(exact.value, rel=1e-14)
    assert found["log_expected_loss"] == pytest.approx(math.log(exact.value), rel=1e-12)
    assert 0 < found["relative_error"] < 1e-12
    assert found["limit"] == pytest.approx(
        expected_loss(model, plain_rule(H, P, 0.3), 10**9).value, rel=1e-6
    )


def test_a_million_unstable_steps_have_a_logarithm(capsys: pytest.CaptureFixture[str]) -> None:
    """rho = 1.1 at H = diag(1, 1/2), alpha = 2.1; JSON holds no infinity."""
    np_h = "theorem1-conservative"
    arguments = ["loss", "--hessian", np_h, "--nominal-step", "2.1", "--noise", "0"]
    assert main([*arguments, "--initial", "1", "--horizon", "1e6", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["expected_loss"] is None
    assert found["limit"] is None
    exact = math.log(0.5 * 1.21 / 0.21 / 1e6) + 2e6 * math.log1p(0.1)
    assert found["log_expected_loss"] == pytest.approx(exact, rel=1e-9)


def test_many_horizons_and_another_rule(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    rule = ["--rule", "heavy_ball:momentum=0.5", "--horizon", "1,2,100", "--json"]
    assert main(words(files, *rule)) == 0
    found = json.loads(capsys.readouterr().out)
    model = NoisyQuadratic(H, S, [1.0, -1.0], 2 * S)
    exact = expected_loss(model, heavy_ball_rule(H, P, 0.3, 0.5), [1, 2, 100]).value
    np.testing.assert_allclose(found["expected_loss"], exact, rtol=1e-13)
    assert main(words(files, "--horizon", "1,10")) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 4
    assert table[-1].startswith("limit: ")


def test_noise_on_the_gradient(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Footnote 1: the loss is then 1/2 phi^T H phi, with S = H^-1 S_g H^-1."""
    arguments = ["loss", "--hessian", files["h"], "--nominal-step", "0.3", "--horizon", "5"]
    assert main([*arguments, "--gradient-noise", files["s"], "--initial", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    cov, mean, total = np.zeros((2, 2)), np.array([2.0, 2.0]), 0.0
    A = np.eye(2) - 0.3 * H
    for _ in range(5):
        cov, mean = A @ cov @ A.T + 0.09 * S, A @ mean
        total += (np.sum(H * cov) + mean @ H @ mean) / 2
    assert found["expected_loss"] == pytest.approx(total / 5, rel=1e-12)


def test_an_example_brings_its_noise_and_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["loss", "--hessian", "paper", "--nominal-step", "1", "--horizon", "9", "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)["expected_loss"]
    assert found == pytest.approx(spectral_loss(example("paper").quadratic, 1.0, horizon=9).value)


def sweep(capsys: pytest.CaptureFixture[str], *more: str) -> list[dict[str, float]]:
    assert main(["sweep", "--hessian", "paper", *more]) == 0
    rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
    return [{key: float(value) for key, value in row.items()} for row in rows]


def test_sweep_of_the_radius_and_the_margin(capsys: pytest.CaptureFixture[str]) -> None:
    radius = sweep(capsys, "--from", "0", "--to", "2", "--points", "5")
    margin = sweep(capsys, "--from", "0", "--to", "2", "--points", "5", "--quantity", "margin")
    h = np.linalg.eigvalsh(example("paper").hessian)
    for r, m in zip(radius, margin, strict=True):
        exact = np.max(np.abs(1 - r["nominal_step"] * h))
        assert r["spectral_radius"] == pytest.approx(exact, rel=1e-12)
        assert m["margin"] == pytest.approx(1 - exact, abs=1e-12)


def test_sweep_over_the_momentum(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--over", "momentum", "--rule", "heavy_ball", "--nominal-step", "1.2"]
    rows = sweep(capsys, *options, "--from", "0", "--to", "0.8", "--points", "3")
    for row in rows:
        rule = f"heavy_ball:momentum={row['momentum']}"
        exact = check(example("paper").hessian, None, 1.2, rule=rule).spectrum.spectral_radius
        assert row["spectral_radius"] == pytest.approx(exact, rel=1e-12)


def test_sweep_of_the_loss_and_the_variance_over_the_horizon(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--over", "horizon", "--nominal-step", "0.5", "--log"]
    options += ["--from", "1", "--to", "1000", "--points", "4"]
    model, T = example("paper").quadratic, [1, 10, 100, 1000]
    rows = sweep(capsys, *options, "--quantity", "loss")
    exact = spectral_loss(model, 0.5, horizon=T).value
    np.testing.assert_allclose([row["expected_loss"] for row in rows], exact)
    assert [row["horizon"] for row in rows] == T
    rows = sweep(capsys, *options, "--quantity", "gradient-variance")
    variance = meta_gradient_variance(model, 0.5, horizon=T)
    found = [row["trace_over_preconditioner"] for row in rows]
    np.testing.assert_allclose(found, variance.trace)
    found = [row["nominal_step_variance"] for row in rows]
    np.testing.assert_allclose(found, variance.nominal_step)


def test_sweep_json_has_no_infinity(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--from", "1", "--to", "9", "--points", "2", "--horizon", "1000000"]
    assert main(["sweep", "--hessian", "paper", "--quantity", "loss", *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found["expected_loss"][1] is None
    assert found["log_expected_loss"][1] > 1e6


def test_sweep_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "loss.svg"
    options = ["--quantity", "loss", "--from", "0.1", "--to", "5", "--plot", str(file)]
    assert main(["sweep", "--hessian", "paper", *options, "--horizon", "1000000"]) == 0
    assert capsys.readouterr().out == f"wrote {file}\n"
    assert "<svg" in file.read_text()


BAD = {
    "horizon 0": (["--horizon", "0"], "horizon"),
    "horizon half": (["--horizon", "1.5"], "horizon"),
    "horizon text": (["--horizon", "ten"], "horizon"),
    "horizon infinite": (["--horizon", "inf"], "horizon"),
    "noise negative": (["--horizon", "3", "--noise", "-1"], "noise"),
    "noise missing": (["--horizon", "3", "--noise", "no.npy"], "noise"),
    "initial text": (["--horizon", "3", "--initial", "x"], "initial"),
    "covariance NaN": (["--horizon", "3", "--initial-covariance", "nan"], "initial_covariance"),
    "two noises": (["--horizon", "3", "--noise", "1", "--gradient-noise", "1"], "noise"),
    "rule": (["--horizon", "3", "--rule", "magic"], "rule"),
    "step": (["--horizon", "3", "--nominal-step", "nan"], "nominal_step"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_loss_arguments(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, word = BAD[name]
    assert main(["loss", "--hessian", "paper", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert word in error


WORDS = [
    "0",
    "-1",
    "1e400",
    "1e300",
    "1e9",
    "margin",
    "loss",
    "gradient-variance",
    "momentum",
    "horizon",
    "nan",
    "x",
    "",
    "1,2",
    "2.5",
    "nope.npy",
    "--log",
    "heavy_ball",
    "é",
]
SWEEP_OPTIONS = [
    *("--from", "--to", "--points", "--horizon", "--noise", "--initial", "--rule"),
    *("--over", "--quantity", "--plot", "--nominal-step", "--gradient-noise"),
]


@settings(max_examples=60)
@given(
    st.sampled_from(["loss", "sweep"]),
    st.lists(st.tuples(st.sampled_from(SWEEP_OPTIONS), st.sampled_from(WORDS)), max_size=5),
)
def test_fuzzed_arguments_give_one_line_or_a_result(
    command: str, options: list[tuple[str, str]]
) -> None:
    """Later options override the valid ones, which come first."""
    valid = {
        "loss": ["--horizon", "3", "--nominal-step", "1"],
        "sweep": ["--from", "1", "--to", "2", "--points", "2"],
    }
    changed = [word for pair in options for word in pair]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([command, "--hessian", "paper", *valid[command], *changed])
    assert code in (0, 2)
    assert err.getvalue().count("\n") == (1 if code == 2 else 0)
