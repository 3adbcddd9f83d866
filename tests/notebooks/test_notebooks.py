"""Every notebook runs without a warning, and its results agree with its claims."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from nqm.examples import EXAMPLES

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

Execute = Callable[..., dict[str, Any]]


def numpy_eigenvalues(sliders: dict[str, float]) -> np.ndarray:
    """The eigenvalues of A = I - H^-q (alpha I + (1 - w) Delta P~) H, from the definition."""
    H = np.array([[2.0, 1.0], [1.0, 2.0]])
    h, U = np.linalg.eigh(H)
    P = np.array([[sliders["low"], sliders["coupling"]], [0.0, sliders["high"]]])
    P = (1 - sliders["weight_decay"]) * np.diag([sliders["d1"], sliders["d2"]]) @ P
    power = (U * h ** -sliders["preconditioning"]) @ U.T
    return np.linalg.eigvals(np.eye(2) - power @ (sliders["alpha"] * np.eye(2) + P) @ H)


@pytest.mark.slow
def test_01_a_slider_moves_the_drawn_eigenvalues(execute: Execute) -> None:
    moves = {
        "alpha": 0.4,
        "low": -0.2,
        "high": 0.35,
        "coupling": 1.5,
        "weight_decay": 0.25,
        "preconditioning": 0.3,
        "d1": 0.5,
        "d2": 1.5,
    }
    then = f"""
seen = []
for name, value in {moves}.items():
    explorer.sliders[name].value = value
    where = {{name: slider.value for name, slider in explorer.sliders.items()}}
    seen.append((where, explorer.dots.get_offsets().tolist(), hash(explorer.image.value)))
"""
    found = execute("01-eigenvalues", then=then, seen="seen")["seen"]
    before = None
    for sliders, dots, image in found:
        drawn = np.sort_complex([complex(*dot) for dot in dots])
        expected = np.sort_complex(numpy_eigenvalues(sliders))
        assert np.allclose(drawn, expected, atol=1e-6), sliders
        assert image != before
        before = image
    assert {name: sliders[name] for name in moves} == pytest.approx(moves)


@pytest.mark.slow
def test_02_the_bounds_hold_and_the_update_is_unstable(execute: Execute) -> None:
    found = execute(
        "02-where-theorem-1-fails",
        table="{n: (h, abs(x).max()) for n, (h, x) in table.items()}",
        share="list(unstable_share.items())",
        loss="edge[-1].value.tolist()",
    )
    assert set(found["table"]) >= {n for n in EXAMPLES if n.endswith("-eigenvalues")}
    for name, (bounds_hold, radius) in found["table"].items():
        assert bounds_hold, name
        assert radius > 1.1, name
    shares = dict(map(tuple, found["share"]))
    assert shares[0.0] == 0
    assert sorted(shares.values()) == list(shares.values())
    assert shares[-1.5] == 1
    # 1/2 E (phi_t - xi_t)^2 with Var phi_t = 4t: the mean over t = 1..T is T + 3/2.
    assert found["loss"] == pytest.approx([T + 1.5 for T in (10, 100, 1000)])


@pytest.mark.slow
def test_03_the_closed_form_is_that_of_the_runs(execute: Execute) -> None:
    found = execute(
        "03-meta-gradient-variance",
        z="z.tolist()",
        trace="exact.trace[[0, 50], :2].tolist()",
        growth="float(np.log(growth[1] / growth[0]) / np.log(rho))",
    )
    assert np.abs(found["z"]).max() < 4
    assert np.ptp(found["z"]) > 0.1
    # Exact values for T = 1 and 10 at alpha = 0 and at half of the edge.
    assert np.allclose(found["trace"], [[1042.27, 29035.6], [111.904, 4.97819]], rtol=1e-4)
    assert found["growth"] == pytest.approx(4, rel=1e-2)


# The controller of STAR's step alone compiles in a fraction of the time.
CONTROLLER = """
import functools, lopt
lopt.TrainConfig = functools.partial(
    lopt.TrainConfig, optimizer="hyperparam", pairs=2, horizon=50
)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("smaller", "horizon"),
    [(CONTROLLER, 50), pytest.param("", 500, marks=pytest.mark.thorough)],
    ids=["small", "whole"],
)
def test_04_records_meta_losses_and_eigenvalues(
    execute: Execute, smaller: str, horizon: int
) -> None:
    found = execute(
        "04-meta-train-star",
        "OUTER_STEPS, SEEDS, HORIZONS = 3, 2, 1" + smaller,
        then="""
import jax

files = run.initial, run.result
leaves = [jax.tree.leaves(lopt.load(file).meta_parameters) for file in files]
moved = max(float(abs(a - b).max()) for a, b in zip(*leaves, strict=True))
""",
        lines="run.read_metrics()",
        losses="live.losses",
        drawn="{n: len(x) for n, x in spectra.items()}",
        curves="{n: c.shape for n, c in evaluation.curves.items()}",
        moved="moved",
    )
    losses = [line["meta_loss"] for line in found["lines"] if "meta_loss" in line]
    assert list(found["losses"].values()) == losses
    assert len(losses) == 3
    assert np.all(np.isfinite(losses))
    measured = [line for line in found["lines"] if "monitor" in line]
    assert [line["outer_step"] for line in measured] == [0, 3]
    for line in measured:
        assert [point["inner_step"] for point in line["monitor"]["points"]] == [
            horizon // 10,
            horizon,
        ]
    assert all(count > 0 for count in found["drawn"].values())
    assert [shape[1] for shape in found["curves"].values()] == [horizon] * 3
    assert found["moved"] > 0


@pytest.mark.slow
def test_05_the_loss_falls_in_both_libraries(execute: Execute) -> None:
    found = execute(
        "05-your-own-model",
        losses="losses.tolist()",
        nnx="nnx_losses",
        optimizer="name",
        radius="found.frozen_radius.value",
        sharpness="found.sharpness.value",
        steps="found.steps.median",
        rates="[sorted(adam), best]",
    )
    assert found["optimizer"].endswith("outer steps on fashion-mnist-mlp")
    for curve in (found["losses"], found["nnx"]):
        assert len(curve) == 1000
        assert np.mean(curve[-50:]) < 0.5 * curve[0]
    rates, best = found["rates"]
    assert rates[0] < best < rates[-1]  # else Adam is not tuned
    assert 0.5 < found["radius"] < 2
    assert found["sharpness"] > 0
    assert found["steps"] > 0


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_is_stored_but_the_source(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs, f"{cell.id}: clear the outputs"
            assert cell.execution_count is None, cell.id
            assert len(cell.source.splitlines()) <= 45, f"{cell.id}: more than a screen"
        assert not any(name in cell.metadata for name in ("execution", "scrolled")), cell.id


def test_each_notebook_has_its_test_and_its_line_in_the_readme() -> None:
    readme = (ROOT / "notebooks" / "README.md").read_text("utf-8")
    source = Path(__file__).read_text("utf-8")
    assert len(NOTEBOOKS) == 5
    for path in NOTEBOOKS:
        assert path.name in readme
        assert f'"{path.stem}"' in source
