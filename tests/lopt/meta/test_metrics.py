"""What a run directory's text files hold is checked line by line, and what is skipped is told."""

import json
from pathlib import Path

import jax
import pytest

from lopt.files import written_whole
from lopt.meta.config import TrainConfig
from lopt.meta.run.directory import RunDirectory
from lopt.meta.run.metrics import has_spectrum, read
from lopt.optimizers.files.saved import save
from tests.lopt.meta.damage import NESTED

POINT = {
    "inner_step": 5,
    "radius": 0.9,
    "oscillatory_radius": None,
    "joint": {"values": [[0.9, 0.1], 0.5, [None, None]], "converged": [True, True, False]},
}


def line(outer_step: int, **values: object) -> dict:
    return {"outer_step": outer_step, "meta_loss": 1.0, **values}


def measured(**point: object) -> dict:
    changed = {name: value for name, value in {**POINT, **point}.items() if value != "missing"}
    return {"outer_step": 2, "monitor": {"verdict": "stable", "points": [changed]}}


def written(path: Path, *lines: object) -> Path:
    """Texts as they are, everything else as JSON."""
    texts = [text if isinstance(text, str) else json.dumps(text) for text in lines]
    path.write_text("".join(f"{text}\n" for text in texts), errors="surrogateescape")
    return path


BAD = {
    "no object": ([1], "it must be an object with keys; it is "),
    "no JSON": ("{", "it is no JSON"),
    "no text": ("\udcff\udc80", "it is no UTF-8 text"),
    "nested": (NESTED, "it is nested more than 64 levels deep"),
    "no step": ({"meta_loss": 1.0}, "it lacks 'outer_step'"),
    "step of text": (line("2"), "outer_step must be a whole number below 10^8; it is '2'"),
    "step of true": (line(True), "outer_step must be a whole number below 10^8; it is true"),
    "negative step": (line(-1), "outer_step must be a whole number"),
    "future step": (line(10**30), "outer_step must be a whole number below 10^8"),
    "loss of text": (line(2, meta_loss="low"), "meta_loss must be a number or null"),
    "loss of NaN": ('{"outer_step": 2, "meta_loss": NaN}', "the number NaN, which is not finite"),
    "huge loss": (line(2, meta_loss=10**399), "meta_loss must be a number or null"),
    "monitor": (line(2, monitor=None), "monitor must be an object"),
    "no points": (line(2, monitor={"verdict": "stable"}), "it lacks 'points'"),
    "empty points": (line(2, monitor={"points": []}), "points must be a list of points"),
    "point": (line(2, monitor={"points": [0]}), "a point must be an object"),
    "radius": (measured(radius="1"), "radius must be a number or null"),
    "verdict": (line(2, monitor={"verdict": [], "points": [{}]}), "verdict must be text"),
    "joint": (measured(joint=[]), "joint must be an object"),
    "values": (measured(joint={"converged": []}), "it lacks 'values'"),
    "lengths": (measured(joint={"values": [1.0], "converged": []}), "a list as long as the others"),
    "value": (measured(joint={"values": ["1"], "converged": [True]}), "an eigenvalue must be"),
    "null": (measured(joint={"values": [None], "converged": [True]}), "a converged eigenvalue"),
    "mark": (measured(joint={"values": [1.0], "converged": [1]}), "converged must be true or"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_line_that_is_no_metrics_is_skipped_and_told(tmp_path: Path, case: str) -> None:
    bad, message = BAD[case]
    path = written(tmp_path / "metrics.jsonl", line(1), bad, line(2))
    found = read(path)
    assert (found.lines, found.skipped, found.last) == ([line(1), line(2)], 1, 2)
    (told,) = found.told
    assert f"{path}: line 2 is skipped: " in told
    assert message in told
    assert len(told) <= 300


def test_lost_lines_are_told_and_an_unfinished_last_one_is_not(tmp_path: Path) -> None:
    path = written(tmp_path / "metrics.jsonl", line(1), line(2), measured(), line(3))
    path.write_text(path.read_text() + '{"outer_step": 4, "meta_')
    assert read(path).told == ()
    assert read(path).lines == [line(1), line(2), measured(), line(3)]
    written(path, line(2), line(3), line(7), line(9))
    (told,) = read(path).told
    assert told.endswith("has lost lines: outer steps 1, 4 to 6, 8 are missing.")
    written(path, *(line(2 * k) for k in range(1, 30)))
    assert "outer steps 1, 3, 5 and 26 more ranges are missing" in read(path).told[0]
    assert read(tmp_path / "absent") == ([], (), 0)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read: it is a folder"):
        read(tmp_path)


@pytest.mark.parametrize("missing", ["inner_step", "radius", "oscillatory_radius", "joint"])
def test_what_can_be_drawn(missing: str) -> None:
    assert has_spectrum(measured())
    assert not has_spectrum(line(1))
    assert not has_spectrum(measured(**{missing: "missing"}))
    assert not has_spectrum(measured(radius=1e200))
    assert not has_spectrum(measured(joint={"values": [[0.0, 1e200]], "converged": [True]}))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "run")
    run.create(TrainConfig(), lambda: None)
    return run


def test_a_cut_keeps_a_file_with_lines_that_it_cannot_read(run: RunDirectory) -> None:
    written(run.metrics_file, line(1), "not JSON", line(2), line(3))
    before = run.metrics_file.read_bytes()
    run.cut_metrics(3)
    assert run.read_metrics() == [line(1), line(2)]
    assert (run.path / "metrics.jsonl.aside-1").read_bytes() == before
    run.cut_metrics(2)
    assert sorted(p.name for p in run.path.iterdir()) == [
        *("config.json", "metrics.jsonl", "metrics.jsonl.aside-1"),
    ]


CONFIGS = {
    "list": ("[1]", "it must be an object with keys"),
    "null": ('{"config": null}', "config must be an object with keys; it is null"),
    "no configuration": ("{}", "config must be an object"),
    "nested": (NESTED, "nested more than 64 levels deep"),
    "truncated": ('{"config": {"task"', "it is no JSON"),
    "outer steps": ('{"config": {"outer_steps": 1%s}}' % ("0" * 30), "outer_steps must be at most"),
    "float": ('{"config": {"sigma": 1%s}}' % ("0" * 390), "sigma must be of type float"),
    "NaN": ('{"config": {"nominal_step": NaN}}', "the number NaN, which is not finite"),
    "long": (
        json.dumps({"config": {"task": "x" * 10**5}}),
        "task must have at most 200 characters",
    ),
    "long key": (json.dumps({"config": {"x" * 10**5: 1}}), "is no field of the configuration"),
    "long list": (json.dumps({"config": {"rules": ["x"] * 10**5}}), "rules has 100000 entries"),
    "object": (json.dumps({"config": {"pairs": {"a": 1}}}), "pairs must be of type int; it is an"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_bad_configuration_is_one_line(run: RunDirectory, case: str) -> None:
    text, message = CONFIGS[case]
    run.config_file.write_text(text)
    with pytest.raises(ValueError) as raised:
        run.read_config()
    assert message in str(raised.value)
    assert str(run.config_file) in str(raised.value)
    assert len(str(raised.value)) <= 300


def test_versions_are_read_as_far_as_they_are_told(run: RunDirectory) -> None:
    assert {"jax", "optax", "nqm-lopt"} <= set(run.read_versions())
    run.config_file.write_text('{"config": {}, "versions": {"jax": "0.8", "optax": 3}}')
    assert run.read_versions() == {"jax": "0.8"}
    run.config_file.write_text('{"config": {}, "versions": null}')
    assert run.read_versions() == {}


def test_the_result_of_another_run_is_refused(run: RunDirectory) -> None:
    config = TrainConfig()
    other = TrainConfig(nominal_step=0.5)
    theta = config.optimizer_config.init(jax.random.key(0))
    save(run.result, theta, other.optimizer_config)
    assert run.read_result(other).config == other.optimizer_config
    with pytest.raises(ValueError, match="belongs to another run"):
        run.read_result(config)


def test_a_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("not to be touched")
    (tmp_path / "a.part").symlink_to(outside)
    with written_whole(tmp_path / "a") as file:
        file.write(b"new")
    assert outside.read_text() == "not to be touched"
    assert (tmp_path / "a").read_text() == "new"
