"""`nqm check` as people and scripts meet it: verdicts, exit codes, one line for bad input."""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nqm.cli import main

H = np.array([[2.0, 1.0], [1.0, 2.0]])


def save(path: Path, array: object) -> str:
    np.save(path, np.asarray(array))
    return str(path)


def text(path: Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def archive(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return str(path)


def no_archive(path: Path) -> str:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("hessian.npy", b"not an array")
    return str(path)


def pickled(path: Path) -> str:
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return str(path)


HUGE_HEADER = io.BytesIO()
np.lib.format.write_array_header_1_0(
    HUGE_HEADER, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**9)}
)

# What makes the arguments in a folder, and a word that the line must say.
MALFORMED: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "not square": (lambda d: ["--hessian", save(d / "h.npy", np.ones((2, 3)))], "square"),
    "not symmetric": (lambda d: ["--hessian", save(d / "h.npy", [[1, 2], [3, 4]])], "symmetric"),
    "NaN": (lambda d: ["--hessian", save(d / "h.npy", [[np.nan, 0], [0, 1]])], "finite"),
    "infinite": (lambda d: ["--hessian", save(d / "h.npy", [[np.inf, 0], [0, 1]])], "finite"),
    "indefinite": (lambda d: ["--hessian", save(d / "h.npy", np.diag([1, -1.0]))], "semidefinite"),
    "zero": (lambda d: ["--hessian", save(d / "h.npy", np.zeros((2, 2)))], "zero"),
    "a vector": (lambda d: ["--hessian", save(d / "h.npy", np.ones(4))], "square"),
    "a scalar": (lambda d: ["--hessian", save(d / "h.npy", 3.0)], "square"),
    "three axes": (lambda d: ["--hessian", save(d / "h.npy", np.ones((2, 2, 2)))], "square"),
    "empty": (lambda d: ["--hessian", save(d / "h.npy", np.ones((0, 0)))], "empty"),
    "complex": (lambda d: ["--hessian", save(d / "h.npy", 1j * H)], "real"),
    "strings": (lambda d: ["--hessian", save(d / "h.npy", [["a", "b"], ["c", "d"]])], "real"),
    "objects": (lambda d: ["--hessian", pickled(d / "h.npy")], "cannot read"),
    "missing file": (lambda d: ["--hessian", str(d / "none.npy")], "No such file"),
    "a folder": (lambda d: [*_folder(d)], "cannot read"),
    "unknown suffix": (lambda d: ["--hessian", text(d / "h.txt", "1")], ".npy"),
    "unknown example": (lambda d: ["--hessian", "papper"], "paper"),
    "words in CSV": (lambda d: ["--hessian", text(d / "h.csv", "1,two\n3,4\n")], "cannot read"),
    "ragged CSV": (lambda d: ["--hessian", text(d / "h.csv", "1,2\n3\n")], "cannot read"),
    "empty CSV": (lambda d: ["--hessian", text(d / "h.csv", "")], "empty"),
    "binary CSV": (lambda d: ["--hessian", text(d / "h.csv", b"\xff\xfe\x00")], "cannot read"),
    "truncated JSON": (lambda d: ["--hessian", text(d / "h.json", "[[1, 2]")], "cannot read"),
    "ragged JSON": (lambda d: ["--hessian", text(d / "h.json", "[[1, 2], [3]]")], "cannot read"),
    "deep JSON": (lambda d: ["--hessian", text(d / "h.json", "[" * 10**5)], "cannot read"),
    "keyless JSON": (lambda d: ["--hessian", text(d / "h.json", '{"a": 1}')], "hessian"),
    "number JSON": (lambda d: ["--hessian", text(d / "h.json", "1")], "list"),
    "bool JSON": (lambda d: ["--hessian", text(d / "h.json", "[[true]]")], "true"),
    "huge number": (lambda d: ["--hessian", text(d / "h.json", "[[1e999]]")], "finite"),
    "truncated npy": (lambda d: ["--hessian", text(d / "h.npy", b"\x93NUMPY")], "cannot read"),
    "huge npy": (lambda d: ["--hessian", text(d / "h.npy", HUGE_HEADER.getvalue())], "cannot read"),
    "bad npz": (lambda d: ["--hessian", text(d / "h.npz", b"PK")], "cannot read"),
    "wrong npz": (lambda d: ["--hessian", no_archive(d / "h.npz")], "hessian"),
    "ambiguous npz": (lambda d: ["--hessian", archive(d / "h.npz", a=H, b=H)], "arrays"),
    "NaN step": (lambda d: ["--hessian", "paper", "--nominal-step", "nan"], "finite"),
    "infinite step": (lambda d: ["--hessian", "paper", "--nominal-step", "1e999"], "finite"),
    "step in words": (lambda d: ["--hessian", "paper", "--nominal-step", "small"], "number"),
    "wrong P": (
        lambda d: ["--hessian", "paper", "--preconditioner", save(d / "p.npy", np.eye(3))],
        "2 x 2",
    ),
    "NaN in P": (
        lambda d: ["--hessian", "paper", "--preconditioner", save(d / "p.npy", H * np.nan)],
        "preconditioner",
    ),
    "no hessian": (lambda d: [], "--hessian"),
    "unknown option": (lambda d: ["--hessian", "paper", "--frobnicate"], "--frobnicate"),
}


def _folder(directory: Path) -> list[str]:
    (directory / "h.npy").mkdir()
    return ["--hessian", str(directory / "h.npy")]


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_input_is_one_line_and_exit_code_2(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, word = MALFORMED[case]
    assert main(["check", *make(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.endswith("\n")
    assert captured.err.startswith("nqm: error: ")
    assert word in captured.err


@pytest.mark.parametrize(
    ("step", "code", "verdict"),
    [("0.5", 0, "stable"), ("1.6", 1, "unstable"), ("0", 3, "marginal")],
)
def test_exit_code_tells_the_verdict(
    step: str, code: int, verdict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["check", "--hessian", "paper", "--nominal-step", step]
    assert main(arguments) == code
    assert capsys.readouterr().out.startswith(verdict.upper())
    assert main([*arguments, "--json"]) == code
    assert json.loads(capsys.readouterr().out)["verdict"] == verdict


def test_every_file_format_gives_the_same_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [
        save(tmp_path / "h.npy", H),
        archive(tmp_path / "h.npz", hessian=H, other=np.eye(2)),
        archive(tmp_path / "one.npz", anything=H),
        text(tmp_path / "h.csv", "2,1\n1,2\n"),
        text(tmp_path / "h.json", "[[2, 1], [1, 2]]"),
        text(tmp_path / "o.json", '{"hessian": [[2, 1], [1, 2]]}'),
    ]
    reports = []
    for path in paths:
        assert main(["check", "--hessian", path, "--nominal-step", "0.25", "--json"]) == 0
        reports.append(capsys.readouterr().out)
    assert len(set(reports)) == 1
    found = json.loads(reports[0])
    assert np.allclose(found["eigenvalues"], [[0.75, 0], [0.25, 0]])  # 1 - h/4, h = 1, 3
    assert found["spectral_radius"] == pytest.approx(0.75)
    assert found["nominal_step_interval"] == pytest.approx([0, 2 / 3])


def test_the_module_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "nqm", "check", "--hessian", "papper"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert "Traceback" not in found.stderr
