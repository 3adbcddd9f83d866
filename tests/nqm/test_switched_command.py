"""`nqm check --preconditioners`: text, JSON, exit codes, and one line for bad files."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nqm import preconditioner_box, switched
from nqm.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "switched.md").read_text("utf-8")
H = np.array([[2.0, 1.0], [1.0, 2.0]])
P = np.array([[[0.1, 0.2], [0.0, 0.1]], [[0.1, 0.0], [-0.3, 0.1]]])


@pytest.fixture
def hessian(tmp_path: Path) -> str:
    np.save(tmp_path / "h.npy", H)
    return str(tmp_path / "h.npy")


def written(path: Path, array: np.ndarray) -> str:
    """The array in a file of any of the kinds."""
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, preconditioners=array, other=np.zeros(3))
    elif path.suffix == ".json":
        path.write_text(json.dumps({"preconditioners": array.tolist()}))
    else:
        np.savetxt(path, array.reshape(-1, array.shape[-1]), delimiter=",")
    return str(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".json", ".csv"])
def test_every_kind_of_file_gives_the_same_report(
    suffix: str, hessian: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / f"p{suffix}", P)
    argv = ["check", "--hessian", hessian, "--preconditioners", path, "--nominal-step", "0.2"]
    report = switched(H, P, 0.2)
    assert main(argv) == report.exit_code == 0
    assert capsys.readouterr().out == report.text() + "\n"
    assert main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == report.as_dict()


@pytest.mark.parametrize(("scale", "code"), [(0.99, 0), (1.0, 3), (1.01, 1)])
def test_exit_codes(
    scale: float, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shift = np.array([[0.0, scale], [0.0, 0.0]])
    path = written(tmp_path / "p.npy", np.array([shift, shift.T]))
    np.save(tmp_path / "h.npy", np.eye(2))
    argv = ["check", "--hessian", str(tmp_path / "h.npy"), "--nominal-step", "1"]
    assert main([*argv, "--preconditioners", path]) == code
    assert (
        capsys.readouterr().out.split(":")[0] == {0: "STABLE", 1: "UNSTABLE", 3: "MARGINAL"}[code]
    )


def test_a_box_a_single_matrix_and_a_bound(
    hessian: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lower, upper = P[0] - 0.01, P[0] + 0.01
    (tmp_path / "box.json").write_text(
        json.dumps({"lower": lower.tolist(), "upper": upper.tolist()})
    )
    np.savez(tmp_path / "box.npz", lower=lower, upper=upper)
    (tmp_path / "one.json").write_text(json.dumps({"preconditioner": P[0].tolist()}))
    argv = ["check", "--hessian", hessian, "--nominal-step", "0.2", "--json", "--preconditioners"]
    expected = switched(H, preconditioner_box(lower, upper), 0.2).as_dict()
    for name in ("box.json", "box.npz"):
        assert main([*argv, str(tmp_path / name)]) == 0
        assert json.loads(capsys.readouterr().out) == expected
    main([*argv, str(tmp_path / "one.json"), "--dbar", "0.5"])
    found = json.loads(capsys.readouterr().out)
    assert found == switched(H, P[0], 0.2, disturbance_bound=0.5).as_dict()
    assert found["preconditioners"] == 4
    assert np.all(np.isin(found["word_disturbances"], [0, 0.5]))


def test_the_json_has_the_documented_keys(
    hessian: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "p.npy", P)
    main(["check", "--hessian", hessian, "--preconditioners", path, "--json"])
    table = PAGE.split("## JSON")[1]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    documented = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert documented == json.loads(capsys.readouterr().out).keys()


BAD: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "no file": (lambda d: [str(d / "none.npy")], "cannot read"),
    "no kind": (lambda d: ["words.txt"], "must end in one of"),
    "another size": (lambda d: [written(d / "p.npy", np.zeros((2, 3, 3)))], "2 x 2"),
    "not square": (lambda d: [written(d / "p.npy", np.zeros((2, 2, 3)))], "square matrices"),
    "a vector": (lambda d: [written(d / "p.npy", np.zeros(3))], "square matrices"),
    "NaN": (lambda d: [written(d / "p.npy", P * np.nan)], "finite"),
    "with --preconditioner": (
        lambda d: [written(d / "p.npy", P), "--preconditioner", "x.npy"],
        "cannot be combined with preconditioner",
    ),
    "with --noise": (lambda d: [written(d / "p.npy", P), "--noise", "1"], "combined with noise"),
    "with --rigorous": (lambda d: [written(d / "p.npy", P), "--rigorous"], "with rigorous"),
    "a bad bound": (lambda d: [written(d / "p.npy", P), "--dbar", "-1"], "positive"),
    "a bad rule": (lambda d: [written(d / "p.npy", P), "--rule", "x"], "is not one of"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_exit_code_2(
    name: str, hessian: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, word = BAD[name]
    assert main(["check", "--hessian", hessian, "--preconditioners", *make(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("nqm: error: ")
    assert captured.err.count("\n") == 1
    assert word in captured.err
