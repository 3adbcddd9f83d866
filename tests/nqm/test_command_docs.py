"""docs/nqm.md: its JSON table is the JSON's keys; examples read back; the spectrum is drawn."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from nqm.cli import main

TEXT = (Path(__file__).parents[2] / "docs" / "nqm.md").read_text(encoding="utf-8")


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
