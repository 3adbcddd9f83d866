"""``lopt inspect`` and ``lopt monitor`` from the outside."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lopt
import lopt.cli.inspect as command
from lopt.cli import main
from lopt.meta.config import TrainConfig
from lopt.meta.run.directory import RunDirectory
from lopt.monitor import InspectSettings, Probe
from lopt.tasks.data.datasets import fashion_mnist_8x8
from lopt.tasks.images import image_task
from lopt.tasks.networks import MLP

STEPS = [0, 5]


@pytest.fixture(scope="module")
def saved() -> lopt.Saved:
    """An untrained hyperparameter controller, which compiles quickest."""
    theta = lopt.init_meta_parameters(jax.random.key(0), lopt.HYPERPARAM)
    return lopt.Saved(theta, lopt.HYPERPARAM, {})


@pytest.fixture(
    scope="module",
    params=[False, pytest.param(True, marks=pytest.mark.thorough)],
    ids="joint={}".format,
)
def looks(saved, request) -> list[command.Look]:
    """Two inspections on a linear classifier; the joint map takes as long again to compile."""
    task = image_task("tiny", fashion_mnist_8x8().train, MLP((), 10), 10, batch_size=16)
    settings = InspectSettings(vectors=4, hessian_vectors=12, joint=request.param)
    over = command.OverBatches(3, density=True, tensors=True)
    return command.look(saved, task, STEPS, 32, settings, over=over)


def test_the_looks_are_along_one_trajectory(looks) -> None:
    first, second = (one.found for one in looks)
    assert [one.inner_step for one in looks] == STEPS
    assert first.loss != second.loss
    assert first.sharpness.value > 0
    assert first.blackbox is None


def test_inspect_prints_a_table_or_json(saved, looks, tmp_path, capsys, monkeypatch) -> None:
    file = tmp_path / "theta.npz"
    lopt.save(file, saved.meta_parameters, saved.config)
    seen = []

    def known(*arguments):
        seen.append(arguments)
        return looks

    monkeypatch.setattr(command, "look", known)
    assert main(["inspect", str(file), "--steps", "5", "0", "5", "--vectors", "8"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert seen[0][2] == STEPS
    assert seen[0][4].vectors == 8
    for word in ("sharpness", "radius, joint", "effective alpha", "Theorem 1'"):
        assert word in out
    assert main(["inspect", str(file), "--steps", "0", "5", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [entry["inner_step"] for entry in printed] == STEPS
    assert printed[0]["sharpness"]["value"] == looks[0].found.sharpness.value
    assert set(printed[0]["radius"]) == {"value", "residual", "error", "converged"}


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    """A run directory without a run: its configuration, and room for metrics."""
    run = RunDirectory(tmp_path / "run")
    run.create(TrainConfig(), lambda: None)
    return run


def test_the_hessian_over_batches_is_told_with_both_errors(
    saved, looks, tmp_path, capsys, monkeypatch
) -> None:
    file = tmp_path / "theta.npz"
    lopt.save(file, saved.meta_parameters, saved.config)
    monkeypatch.setattr(command, "look", lambda *arguments: looks)
    flags = ["--steps", "0", "5", "--batches", "3", "--density", "--tensors"]
    assert main(["inspect", str(file), *flags]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Hessian of 650 parameters over 3 batches" in out
    assert "(numerical) ±" in out
    assert "Dense_0/kernel" in out
    assert "eigenvalues above 2 / alpha" in out
    assert main(["inspect", str(file), *flags, "--json"]) == 0
    documents = json.loads(capsys.readouterr().out)
    over = documents[0]["over_batches"]
    # The batch of the inspection is another: the two differ by sampling, not by much more.
    assert over["largest"]["sampling"] > 0
    assert over["largest"]["value"] == pytest.approx(documents[0]["sharpness"]["value"], rel=0.5)


def test_the_density_needs_batches(capsys) -> None:
    assert main(["inspect", "fashion-mnist-mlp", "--density"]) == 2
    assert "--density needs --batches, such as --batches 20" in capsys.readouterr().err


def test_inspect_wants_a_complete_run(run, capsys) -> None:
    assert main(["inspect", str(run.path)]) == 2
    assert "is not complete" in capsys.readouterr().err


@pytest.fixture(scope="module")
def measurements() -> list[dict]:
    """What the trainer writes, for an optimizer whose step grows from 0.1 to 0.6."""
    curvature = jnp.array([1.0, 2.0, 4.0])
    probe = Probe(
        optax.sgd, lambda p, c: jnp.sum(c * p**2) / 2, jnp.ones(3), curvature[None], curvature,
        steps=(1, 3),
    )  # fmt: skip
    rates = (0.1, 0.3, 0.6)
    reports = [probe.measure(rate).to_json() for rate in rates]
    return [{"outer_step": 50 * i, "monitor": r} for i, r in enumerate(reports)]


def test_monitor_draws_what_the_metrics_hold(run, measurements, capsys, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    lines = [{"outer_step": 0, "meta_loss": 2.0}, *measurements]
    run.metrics_file.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"outer')
    assert main(["monitor", str(run.path)]) == 0
    out = capsys.readouterr().out
    assert "3 measurements: 2 stable, 1 unstable" in out.replace("\n", " ")
    assert "at outer step 100: unstable" in out
    assert (run.path / "monitor.png").read_bytes().startswith(b"\x89PNG")
    other = tmp_path / "other.png"
    assert main(["monitor", str(run.path), "--out", str(other)]) == 0
    assert other.exists()


def test_the_picture_shows_the_eigenvalues_and_radii(measurements) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from lopt.monitor.picture import converged_values, spectra_over_time

    figure = spectra_over_time(measurements)
    planes, radii = figure.axes[0:4:2], figure.axes[1:4:2]
    assert planes[0].get_title(loc="left").endswith("inner step 1")
    (line,) = [x for x in radii[1].lines if x.get_label() == "largest converged"]
    np.testing.assert_allclose(line.get_ydata(), [0.9, 0.7, 1.4], atol=1e-3)
    values = converged_values(measurements[-1]["monitor"]["points"][0]["joint"])
    assert np.abs(values - -1.4).min() < 1e-3
    matplotlib.pyplot.close(figure)


def point(verdict, direction, joint, frozen, **numbers):
    """A measured point as JSON; eigenvalues as (value, error, converged)."""

    def estimate(rows):
        values, errors, sure = zip(*rows, strict=True)
        pairs = [[complex(v).real, complex(v).imag] for v in values]
        return {"values": pairs, "errors": list(errors), "converged": list(sure)}

    radii = dict.fromkeys(("radius", "oscillatory_radius", "ascent_radius", "growth"))
    found = {"inner_step": 5, "verdict": verdict, "direction": direction, **radii, **numbers}
    return found | {"joint": estimate(joint), "frozen": estimate(frozen)}


def test_what_has_not_converged_and_what_decided_are_drawn_and_told(run, capsys) -> None:
    """An ascent of the frozen map beside a joint one whose largest value has not converged."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib.colors import to_rgba

    from lopt.monitor.picture import deciding_eigenvalue, largest_possible, spectra_over_time

    joint = [(1.216, 0.03, False), (0.84j, 1e-4, True), (0.5, None, False)]
    frozen = [(-1.5, 0.9, False), (1.014, 1e-4, True), (0.9, 0.0, True)]
    radii = {"radius": 0.84, "oscillatory_radius": 0.84, "ascent_radius": 1.014}
    old = point("unstable", "ascent", joint, frozen, **radii)
    new = old | {"bound": 1.3, "eigenvalue": [1.014, 0.0]}
    calm = point("stable", "", joint, frozen, radius=0.84, bound=None, eigenvalue=None)
    assert deciding_eigenvalue(old) == deciding_eigenvalue(new) == 1.014
    assert deciding_eigenvalue(calm) is None
    assert largest_possible(new) == 1.3
    assert largest_possible(old | {"joint": {**old["joint"], "errors": [0.03, 0.0, 0.1]}}) == (
        pytest.approx(1.246)
    )
    lines = [
        {"outer_step": 10 * i, "monitor": {"verdict": p["verdict"], "points": [p]}}
        for i, p in enumerate((old, calm, new))
    ]
    figure = spectra_over_time(lines)
    plane, radii_axes = figure.axes[:2]
    hollow = [c for c in plane.collections if not len(c.get_facecolors())]
    shown = np.concatenate([c.get_offsets() for c in hollow])
    assert np.abs(shown - [1.216, 0.0]).max(axis=1).min() == 0
    stars = [c for c in plane.collections if c.get_facecolors().tolist() == [[*to_rgba("k")]]]
    assert [c.get_offsets().tolist() for c in stars] == 2 * [[[1.014, 0.0]]]
    bars = {round(float(np.ptp(bar.get_xdata())), 6) for bar in plane.lines}
    assert 0.06 in bars
    curves = {line.get_label(): line.get_ydata() for line in radii_axes.lines}
    np.testing.assert_array_equal(curves["largest converged"], [0.84, 0.84, 0.84])
    np.testing.assert_array_equal(curves["decided"], [1.014, np.nan, 1.014])
    np.testing.assert_array_equal(curves["bound"], [np.nan, np.nan, 1.3])
    legend = [text.get_text() for text in radii_axes.get_legend().get_texts()]
    assert "not converged" in legend
    matplotlib.pyplot.close(figure)
    run.metrics_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["monitor", str(run.path)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "decided by ascent of modulus 1.014, largest converged 0.84, none beyond 1.3" in told


BAD = {
    "no such file": (["inspect", "absent.npz"], "does not exist"),
    "no such name": (["inspect", "absent"], "neither a file nor the name"),
    "negative step": (["inspect", "x.npz", "--steps", "-1"], "--steps must be at least 0"),
    "no number": (["inspect", "x.npz", "--steps", "many"], "--steps"),
    "no vectors": (["inspect", "x.npz", "--vectors", "0"], "vectors must be at least 1"),
    "no examples": (["inspect", "x.npz", "--examples", "0"], "--examples must be at least 1"),
    "unknown task": (["inspect", "x.npz", "--task", "mnist"], "no task is called"),
    "no run": (["monitor", "absent"], "holds no run"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(case, tmp_path, capsys, monkeypatch) -> None:
    arguments, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    err = capsys.readouterr().err
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_monitor_without_measurements_or_place_to_write(run, measurements, capsys) -> None:
    assert main(["monitor", str(run.path)]) == 2
    assert "has no measurements of the eigenvalues yet" in capsys.readouterr().err
    run.metrics_file.write_text(json.dumps(measurements[0]) + "\n")
    assert main(["monitor", str(run.path), "--out", str(Path("absent") / "x.png")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["monitor", str(run.path), "--out", str(run.path / "x.strange")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_runs_skips_what_it_cannot_read_and_says_so(tmp_path, capsys, monkeypatch) -> None:
    for name in ("bad", "good", "[/odd]"):
        RunDirectory(tmp_path / name).create(TrainConfig(outer_steps=1500), lambda: None)
    (tmp_path / "bad" / "config.json").write_text('{"config": {"outer_steps": 1%s}}' % ("0" * 30))
    (tmp_path / "good" / "metrics.jsonl").write_text('{"outer_step": 4, "meta_loss": 2}\n[]\n')
    assert main(["runs", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert "line 2 is skipped: it must be an object with keys" in lines[0]
    assert "outer steps 1 to 3 are missing" in lines[1]
    assert lines[2].startswith("lopt runs: skipped: ")
    assert "outer_steps must be at most 99999999; it is 10000000" in lines[2]
    assert all(len(line) <= 300 for line in lines)
    shown = captured.out.replace("\n", "")
    assert "4/1500" in shown
    assert "bad" not in shown
    assert main(["runs", str(tmp_path / "bad")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "["]) == 0  # what the table takes for the end of a style
    assert "[/odd]" in capsys.readouterr().out


CONTENT = {
    "list": "[1, 2]",
    "null": "null",
    "nested": "[" * 10**5,
    "no fields": '{"config": [1]}',
    "outer steps": '{"config": {"outer_steps": 1%s}}' % ("0" * 30),
    "unknown task": '{"config": {"task": "%s"}}' % ("x" * 199),
    "binary": "\0\1\2",
}


@pytest.mark.parametrize("content", CONTENT)
@pytest.mark.parametrize("command", ["runs", "monitor", "inspect", "evaluate", "train"])
def test_a_bad_configuration_is_one_line_and_exit_code_2(run, command, content, capsys) -> None:
    run.config_file.write_text(CONTENT[content])
    arguments = ["train", "--resume"] if command == "train" else [command]
    assert main([*arguments, str(run.path)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert len(err) <= 301
    assert str(run.config_file.name) in err


def test_monitor_tells_what_it_does_not_draw(run, measurements, capsys) -> None:
    pytest.importorskip("matplotlib")
    bare = {"outer_step": 3, "monitor": {"verdict": "stable", "points": [{"radius": 0.9}]}}
    lines = [*measurements, bare, {"outer_step": "4"}]
    run.metrics_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["monitor", str(run.path)]) == 0
    captured = capsys.readouterr()
    assert "3 measurements: " in captured.out
    assert "line 5 is skipped: outer_step must be a whole number" in captured.err
    assert "1 measurement holds nothing to draw" in captured.err


def test_the_picture_of_a_run_is_not_written_through_a_link(run, measurements, capsys) -> None:
    outside = run.path.parent / "outside"
    outside.write_text("not to be touched")
    (run.path / "monitor.png").symlink_to(outside)
    run.metrics_file.write_text(json.dumps(measurements[0]) + "\n")
    assert main(["monitor", str(run.path)]) == 2
    assert "is a link" in capsys.readouterr().err
    assert outside.read_text() == "not to be touched"
