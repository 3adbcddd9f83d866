"""Matrices as other programs write them, and the numbers of a command line."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nqm import NoisyQuadratic, read_array, spectral_loss
from nqm.cli import main

H = [[2.0, 1.0], [1.0, 2.0]]
CSV, JSON = "2,1\n1,2\n", "[[2, 1], [1, 2]]"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom.csv", CSV.encode("utf-8-sig")),
        ("carriage.csv", CSV.replace("\n", "\r\n").encode()),
        ("CAPITALS.CSV", CSV.encode()),
        ("semicolons.csv", CSV.replace(",", ";").encode()),
        ("decimal.csv", b"2.0;1.0\r\n1.0;2.0"),
        ("utf16.csv", CSV.encode("utf-16")),
        ("bom.json", JSON.encode("utf-8-sig")),
        ("utf16.json", JSON.encode("utf-16")),
        ("Capitals.Json", JSON.encode()),
        ("key.JSON", json.dumps({"hessian": H, "other": 1}).encode("utf-16")),
    ],
)
def test_text_as_windows_writes_it(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert read_array(str(path), "hessian").tolist() == H
    assert main(["check", "--hessian", str(path), "--nominal-step", "0.5"]) == 0


@pytest.mark.parametrize("name", ["h.NPY", "h.Npz"])
def test_binary_files_in_capitals(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        np.save(file, H) if name == "h.NPY" else np.savez(file, H)
    assert read_array(str(path), "hessian").tolist() == H


def swollen(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("hessian.npy", b"\0" * 2**20)
    data = path.read_bytes()
    path.write_bytes(data.replace((2**20).to_bytes(4, "little"), (2**32 - 2).to_bytes(4, "little")))


HEADER = "{'descr': '<f8', 'fortran_order': False, 'shape': (1048576, 1048576)}\n"
REFUSED = {
    "decimal commas.csv": (b"2,0;1,0\n1,0;2,0\n", "semicolons and commas"),
    "mixed.json": (b"[[true, 1], [1, 2]]", "true and false are not numbers"),
    "all.json": (b"[[true, true], [true, true]]", "true and false are not numbers"),
    "text.json": (b'[["2"]]', "numbers alone"),
    "deep.json": (b"[" * 10**5, "nested more than 64 levels"),
    "zeros.csv": (CSV.encode("utf-16-le"), "UTF-16"),
    "claims.npy": (
        b"\x93NUMPY\x01\x00" + len(HEADER).to_bytes(2, "little") + HEADER.encode(),
        "its header says",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_a_matrix_is_named_in_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, word = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    assert main(["check", "--hessian", str(tmp_path / name)]) == 2
    captured = capsys.readouterr()
    assert word in captured.err
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert len(captured.err) <= 301


def test_an_archive_is_refused_for_what_it_claims_to_inflate_to(tmp_path: Path) -> None:
    path = tmp_path / "h.npz"
    swollen(path)
    with pytest.raises(ValueError, match="inflates to 4294967294 bytes"):
        read_array(str(path), "hessian")


def test_a_negative_number_in_scientific_notation_is_a_value(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outputs = []
    for step in (["--nominal-step", "-1e-3"], ["--nominal-step=-0.001"]):
        argv = ["loss", "--hessian", "theorem1-real-eigenvalues", "--horizon", "2", *step]
        assert main([*argv, "--initial", "-1E-2", "--json"]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert json.loads(outputs[0])["expected_loss"] > 0
    for word in ("-.5e-3", "-1e999", "-inf", "-nan"):
        code = main(["check", "--hessian", "paper", "--nominal-step", word])
        assert "expected one argument" not in capsys.readouterr().err
        assert code == (1 if word == "-.5e-3" else 2)


def test_lopt_takes_a_negative_number_in_scientific_notation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lopt = pytest.importorskip("lopt.cli")
    lopt.main(["train", "--run", "/dev/null/x", "--nominal-step", "-1e-3"])
    assert "expected one argument" not in capsys.readouterr().err


@pytest.mark.parametrize("horizon", [2**53 + 1, 10**30 + 7, 10**300])
def test_horizons_are_exact_integers(horizon: int, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["loss", "--hessian", "paper", "--nominal-step", "0.1", "--noise", "identity", "--json"]
    assert main([*argv, "--horizon", str(horizon)]) == 0
    assert json.loads(capsys.readouterr().out)["horizon"] == horizon


def test_a_horizon_may_be_written_with_an_exponent(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["loss", "--hessian", "paper", "--nominal-step", "0.1", "--noise", "identity", "--json"]
    assert main([*argv, "--horizon", "1e300,2.5e3,1E1"]) == 0
    assert json.loads(capsys.readouterr().out)["horizon"] == [10**300, 2500, 10]
    for word in ("1e301", "1e999999999999", "0.5", "1e-400", "0"):
        assert main([*argv, "--horizon", word]) == 2
        assert "horizon must be a whole number" in capsys.readouterr().err


def test_a_sweep_over_horizons_ends_where_it_was_asked_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ["sweep", "--hessian", "paper", "--nominal-step", "0.5", "--noise", "identity"]
    argv += ["--quantity", "loss", "--over", "horizon", "--log", "--points", "3", "--json"]
    assert main([*argv, "--from", "1", "--to", str(2**53 + 1)]) == 0
    horizons = json.loads(capsys.readouterr().out)["horizon"]
    assert horizons[0] == 1
    assert horizons[-1] == 2**53 + 1
    assert len(horizons) == 3


def test_a_picture_may_be_named_in_capitals(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "s.PNG"
    argv = ["--hessian", "paper", "--nominal-step", "0.5", "--plot", str(path)]
    assert main(["spectrum", *argv]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert main(["sweep", *argv[:2], "--from", "0", "--to", "1", "--points", "2", *argv[4:]]) == 0


def test_a_picture_that_cannot_be_written_leaves_nothing_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["spectrum", "--hessian", "paper", "--json", "--plot", str(tmp_path / "no" / "s.png")]
    assert main(argv) == 2
    assert capsys.readouterr().out == ""


def test_the_limit_of_a_large_quadratic_needs_no_joint_matrix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With S = I and P = 0 the limit is sum h/(2 - alpha h), from the eigenvalues alone."""
    X = np.random.default_rng(0).standard_normal((300, 300))
    hessian = X @ X.T / 300
    np.save(tmp_path / "h.npy", hessian)
    argv = ["--hessian", str(tmp_path / "h.npy"), "--nominal-step", "0.3", "--noise", "identity"]
    assert main(["check", *argv, "--json"]) == 0
    limit = json.loads(capsys.readouterr().out)["limit_loss"]
    h = np.linalg.eigvalsh(hessian)
    assert abs(limit["value"] - np.sum(h / (2 - 0.3 * h))) <= limit["error"] < 1e-8
    far = spectral_loss(NoisyQuadratic(hessian, np.eye(300)), 0.3, horizon=10**12)
    assert limit["value"] == pytest.approx(far.value, rel=1e-9)


def test_a_picture_of_losses_that_are_all_zero_is_drawn(tmp_path: Path) -> None:
    """Warnings are errors in this suite, and a logarithmic axis would warn."""
    pytest.importorskip("matplotlib")
    argv = ["sweep", "--hessian", "paper", "--quantity", "loss", "--from", "0", "--to", "1"]
    path = tmp_path / "zero.png"
    assert (
        main([*argv, "--initial", "0", "--points", "2", "--noise", "0", "--plot", str(path)]) == 0
    )
    assert path.exists()
