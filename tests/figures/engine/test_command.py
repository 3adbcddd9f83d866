"""The command line draws figures, refuses bad input, and resumes interrupted recomputations."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from figures.engine import command, store
from figures.engine.figure import Figure, digest
from figures.engine.registry import MODULES, find


def counting(calls: list[str], stop_at: str = "") -> Figure:
    """Return a figure of five parts that records what it computes."""

    def compute(part: str) -> Any:
        calls.append(part)
        if part == stop_at:
            raise KeyboardInterrupt
        return {"square": int(part) ** 2}

    return Figure(
        name="counting",
        title="Squares",
        seen="Squares",
        config={"seed": 3},
        parts=("1", "2", "3", "4", "5"),
        compute=compute,
        draw=lambda data: None,
        caption=lambda data: "",
    )


@pytest.mark.parametrize("arguments", [["fig2"], ["fig1", "momentun"], ["--recompute"], ["--no"]])
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("figures: error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("wrong", "near"), [("fig2", "fig2a"), ("FIG1", "fig1"), ("momentun", "momentum")]
)
def test_an_error_names_the_figure_nearest_to_an_unknown_name(wrong: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"nearest is '{near}'"):
        find(wrong)


def test_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(MODULES)
    for line in lines:
        assert find(line.split()[0]).title in line


def test_a_figure_is_drawn_where_it_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["fig1", "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        f"fig1.{kind}" for kind in ("svg", "png", "md", "json")
    }
    assert str(tmp_path / "fig1") in capsys.readouterr().out.replace("\n", "")


def test_docs_gets_the_picture_and_the_page_that_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, docs = tmp_path / "build", tmp_path / "docs"
    monkeypatch.setattr(command, "DRAWN", drawn)
    monkeypatch.setattr(command, "PICTURES", docs / "figures")
    monkeypatch.setattr(command, "PAGE", docs / "figures.md")
    monkeypatch.setattr(command, "page", lambda: "all of them")
    assert command.main(["momentum"]) == 0
    assert len(list(drawn.iterdir())) == 4
    assert [path.name for path in (docs / "figures").iterdir()] == ["momentum.png"]
    picture = drawn / "momentum.png"
    assert (docs / "figures" / "momentum.png").read_bytes() == picture.read_bytes()
    assert (docs / "figures.md").read_text() == "all of them"


def test_an_interrupted_recomputation_resumes(tmp_path: Path) -> None:
    calls: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        store.recompute(counting(calls, stop_at="4"), tmp_path)
    assert not store.results_file(counting(calls), tmp_path).exists()
    assert calls == ["1", "2", "3", "4"]
    calls.clear()
    seen: list[tuple[int, int]] = []
    record = store.recompute(counting(calls), tmp_path, lambda *at: seen.append(at))
    assert calls == ["4", "5"]
    assert seen == [(3, 5), (4, 5), (5, 5)]
    assert record["parts"] == {str(i): {"square": i * i} for i in range(1, 6)}
    assert [path.name for path in tmp_path.iterdir()] == ["counting.json"]
    assert store.load(counting(calls), tmp_path) == record
    calls.clear()
    store.recompute(counting(calls), tmp_path)
    assert calls == ["1", "2", "3", "4", "5"]


def test_a_kill_leaves_what_was_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill leaves no time to write, so the file must be complete at each part."""
    monkeypatch.setattr(store, "KEEP_EVERY_SECONDS", -1.0)
    held: list[int] = []
    figure = counting([])

    def compute(part: str) -> Any:
        path = store.partial_file(figure, tmp_path)
        held.append(len(json.loads(path.read_text())["parts"]) if path.exists() else 0)
        return part

    store.recompute(replace(figure, compute=compute), tmp_path)
    assert held == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: text.replace('"numpy": "', '"numpy": "0'),
    ],
    ids=["cut off", "of another kind", "of another version"],
)
def test_a_partial_file_that_does_not_fit_is_ignored(tmp_path: Path, spoil: Any) -> None:
    calls: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        store.recompute(counting(calls, stop_at="3"), tmp_path)
    partial = store.partial_file(counting(calls), tmp_path)
    partial.write_text(spoil(partial.read_text()))
    calls.clear()
    store.recompute(counting(calls), tmp_path)
    assert calls == ["1", "2", "3", "4", "5"]


def test_results_of_another_configuration_are_refused(tmp_path: Path) -> None:
    figure = counting([])
    with pytest.raises(ValueError, match="no results"):
        store.load(figure, tmp_path)
    store.recompute(figure, tmp_path)
    for other in (
        replace(figure, config={"seed": 4}),
        replace(figure, parts=("1", "2")),
    ):
        with pytest.raises(ValueError, match="another configuration"):
            store.load(other, tmp_path)


def test_the_duration_is_said_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = counting([])
    for name, default in (
        ("load", store.load),
        ("kept", store.kept),
        ("recompute", store.recompute),
    ):
        monkeypatch.setattr(
            command, name, lambda f, *a, default=default, **k: default(f, tmp_path, *a, **k)
        )
    monkeypatch.setattr(command, "save", lambda *_: [tmp_path / "counting.svg"])
    monkeypatch.setattr(command, "find", lambda _: figure)
    assert command.main(["counting", "--recompute", "--out", str(tmp_path)]) == 0
    assert "not computed with this configuration before" in capsys.readouterr().out
    path = store.results_file(figure, tmp_path)
    path.write_text(path.read_text().replace('"seconds": ', '"seconds": 40'))
    monkeypatch.setattr(command, "find", lambda _: counting([], stop_at="2"))
    assert command.main(["counting", "--recompute", "--out", str(tmp_path)]) == 130
    out, err = capsys.readouterr()
    assert "when last computed" in out
    assert "interrupted; the same command resumes" in err


def test_the_hash_is_of_the_values_not_of_their_order() -> None:
    pairs = {"a": 1, "b": [1.5, None], "c": {"d": "é", "e": True}}
    hashes = {digest(dict(order)) for order in itertools.permutations(pairs.items())}
    assert len(hashes) == 1
    assert digest(pairs | {"a": 2}) not in hashes
    with pytest.raises(ValueError, match="JSON"):
        digest({"a": float("nan")})
