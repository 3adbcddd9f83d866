"""docs/nqm.md: its commands print what it shows, and its JSON table is the JSON's keys."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from nqm.cli import main

PAPER = [[1.11, 0.596], [0.596, 0.486]]
TEXT = (Path(__file__).parents[2] / "docs" / "nqm.md").read_text(encoding="utf-8")


def shown() -> list[tuple[str, str]]:
    """(command, output) of every console block."""
    blocks = re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
    found = []
    for block in blocks:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def visible(output: str, filters: list[str]) -> str:
    """What `head -N` or `sed -n Np` leaves of the output."""
    lines = output.splitlines(keepends=True)
    for item in filters:
        words = shlex.split(item)
        if words[0] == "head":
            lines = lines[: -int(words[1])] if int(words[1]) > 0 else lines[: int(words[1][1:])]
        elif words[:2] == ["sed", "-n"]:
            k = int(words[2].removesuffix("p"))
            lines = lines[k - 1 : k]
        else:
            raise ValueError(f"unknown filter {item}")
    return "".join(lines)


@pytest.mark.parametrize(("command", "output"), shown(), ids=lambda v: v[:40])
def test_the_page_shows_what_the_commands_print(
    command: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call, *filters = [part.strip() for part in command.split("|")]
    program, *argv = shlex.split(call)
    assert program == "nqm"
    assert main(argv) in (0, 1, 3)
    printed = visible(capsys.readouterr().out, filters)
    # Sizes of rounding errors differ between machines.
    rounding = re.compile(r"\d+e-1\d")
    assert rounding.sub("tiny", printed) == rounding.sub("tiny", output)


def keys_of_the_table() -> set[str]:
    table = TEXT.split("## JSON of nqm check")[1].split("Each condition has")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {key for row in rows for key in re.findall(r"`(\w+)`", row)}


def test_the_json_has_the_documented_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["check", "--hessian", "paper", "--nominal-step", "0.5", "--json", "--rigorous"]
    main([*argv, "--dbar", "1", "--noise", "identity"])
    first = json.loads(capsys.readouterr().out)
    main([*argv, "--noise", "minibatch:4"])
    second = json.loads(capsys.readouterr().out)
    assert first.keys() | second.keys() == keys_of_the_table()
    conditions = TEXT.split("Each condition has")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", conditions)) == set(first["conditions"][0])
    assert first["robust"]["status"] in ("certified", "refuted", "unknown")
    assert first["rigorous"] == "proved_stable"
    low, high = first["spectral_radius_bounds"]
    assert low <= first["spectral_radius"] <= high
    assert first["limit_loss"]["value"] == pytest.approx(
        np.trace(
            np.linalg.inv(2 * np.linalg.inv([[1.11, 0.596], [0.596, 0.486]]) - 0.5 * np.eye(2))
        )
    )


def test_an_example_printed_reads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["examples", "theorem1-real-eigenvalues"])
    path = tmp_path / "example.json"
    path.write_text(capsys.readouterr().out)
    main(["check", "--hessian", str(path), "--preconditioner", str(path), "--json"])
    again = json.loads(capsys.readouterr().out)
    main(["check", "--hessian", "theorem1-real-eigenvalues", "--json"])
    assert again == json.loads(capsys.readouterr().out)


def test_the_spectrum_can_be_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    for suffix in ("png", "svg"):
        path = tmp_path / f"spectrum.{suffix}"
        argv = ["spectrum", "--hessian", "paper", "--nominal-step", "2", "--plot", str(path)]
        assert main(argv) == 1
        assert path.stat().st_size > 5000
    assert main([*argv[:-1], str(tmp_path / "no" / "such.png")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_spectrum_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spectrum", "--hessian", "paper", "--nominal-step", "0.5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert np.allclose(found["eigenvalues"][0], [0.9373628992620912, 0])
