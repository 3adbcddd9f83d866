"""A thousand malformed command lines: exit code 2, one line on stderr, nothing else."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nqm.cli import COMMANDS, main

CASES = 1000
Make = Callable[[random.Random, Path], list[str]]


def matrix(rng: random.Random, n: int) -> np.ndarray:
    X = np.array([[rng.gauss(0, 1) for _ in range(n)] for _ in range(n)])
    return X @ X.T + 0.1 * np.eye(n)


def broken_array(rng: random.Random) -> np.ndarray:
    """An array that is no Hessian."""
    n = rng.randint(2, 5)
    H = matrix(rng, n)
    i, j = rng.sample(range(n), 2)
    kind = rng.randrange(10)
    if kind == 0:
        H = H[:, : rng.randint(0, n - 1)]
    elif kind == 1:
        H[i, j] = H[j, i] = rng.choice([np.nan, np.inf, -np.inf])
    elif kind == 2:
        H[i, j] += rng.choice([-1, 1]) * rng.uniform(0.01, 10)
    elif kind == 3:
        H = H - rng.uniform(1.01, 3) * np.linalg.eigvalsh(H)[-1] * np.eye(n)
    elif kind == 4:
        H = H.astype(rng.choice(["S5", "U5", "complex128"]))
    elif kind == 5:
        H = rng.choice([H[None], H[0], H[0, 0], H[:0, :0], H.reshape(-1)])
    elif kind == 6:
        H = np.zeros((n, n))
    elif kind == 7:
        H = H * rng.choice([1e101, 1e200, 1e-200, 5e-324, -1.0])
    elif kind == 8:
        H = np.array([(1, 2.0)], dtype=[("a", int), ("b", float)])
    else:
        H = np.array(["1970-01-01"] * n, dtype="datetime64[D]")
    return np.asarray(H)


def saved(rng: random.Random, folder: Path, array: np.ndarray) -> str:
    suffix = rng.choice([".npy", ".npz"])
    path = folder / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, array)
    else:
        np.savez(path, **{rng.choice(["hessian", "preconditioner", "x"]): array})  # type: ignore[arg-type]
    return str(path)


def broken_text(rng: random.Random, folder: Path) -> str:
    """A CSV or JSON file that holds no array, or cut and stirred bytes."""
    H = matrix(rng, rng.randint(2, 4))
    csv = "\n".join(",".join(f"{x:.17g}" for x in row) for row in H)
    document = json.dumps(H.tolist())
    word = rng.choice(["x", "NaN!", "1.2.3", "--", "0x1p3", "一", "1e", ";"])
    name, content = rng.choice(
        [
            ("h.csv", csv.replace(",", word + ",", 1)),
            ("h.csv", csv + "\n" + word),
            ("h.csv", csv.replace("\n", ",1\n", 1)),
            ("h.csv", "\x00" + csv),
            ("h.csv", ""),
            ("h.json", document[: rng.randrange(len(document))]),
            ("h.json", document + word),
            ("h.json", document.replace(",", ",,", 1)),
            (
                "h.json",
                rng.choice(["null", "true", '"paper"', "{}", "[]", "[[]]", "[null]", "[{}]"]),
            ),
            ("h.json", "[" * rng.randint(2000, 90000)),
            ("h.json", json.dumps({"h": H.tolist()})),
            ("h.npz", document),
            ("h.npy", csv),
            ("h.txt", csv),
            ("h", csv),
        ]
    )
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return str(path)


def cut_binary(rng: random.Random, folder: Path) -> str:
    path = Path(saved(rng, folder, matrix(rng, 3)))
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data) - 24)])
    return str(path)


def bad_hessian(rng: random.Random, folder: Path) -> list[str]:
    kind = rng.randrange(4)
    if kind == 0:
        return ["--hessian", saved(rng, folder, broken_array(rng))]
    if kind == 1:
        return ["--hessian", broken_text(rng, folder)]
    if kind == 2:
        return ["--hessian", cut_binary(rng, folder)]
    name = rng.choice(
        ["", "Paper", "papers", "../paper", "none.npy", "a\nb", "é", "paper.npy", "-"]
    )
    return ["--hessian", name]


def bad_preconditioner(rng: random.Random, folder: Path) -> list[str]:
    P = matrix(rng, 2)
    broken = [P[:1], P[0], matrix(rng, 3), P * np.nan, P * 1j, P.astype("U9"), P * 1e120, P[None]]
    value = rng.choice(
        [saved(rng, folder, rng.choice(broken)), broken_text(rng, folder), "none.csv", "paper", ""]
    )
    return ["--hessian", "paper", "--preconditioner", value]


def bad_option(rng: random.Random, folder: Path) -> list[str]:
    number = rng.choice(
        ["nan", "inf", "-inf", "1e999", "one", "", "0,5", "1e120", "0x2", "[1]", "1 2"]
    )
    options = [
        ["--nominal-step", number],
        ["--nominal-step"],
        ["--unknown"],
        ["--rule", rng.choice(["", "adam", ":", "heavy_ball:", "plain:x=1", "PLAIN"])[:30] + "!"],
        ["--rule", f"heavy_ball:momentum={rng.choice(['1', '-1', 'nan', 'x', '', '1e999'])}"],
        ["--rule", f"aggmo:dampings={rng.choice(['', '/', '1/2', 'a/b', '0/nan'])}"],
        ["--rule", f"delayed:delay={rng.choice(['-1', '0.5', 'nan', 'x'])}"],
        [rng.choice(["extra", "--hessian"])],
    ]
    return ["--hessian", "paper", *rng.choice(options)]


def bad_check_option(rng: random.Random, folder: Path) -> list[str]:
    number = rng.choice(["nan", "inf", "-1", "x", "", "none.npy"])
    options = [
        ["--dbar", number],
        ["--dbar", "0"],
        ["--noise", number],
        ["--noise", f"minibatch:{rng.choice(['0', '-1', 'nan', 'x', ''])}"],
        ["--dbar", "1", "--rule", "nesterov"],
        ["--noise", "minibatch:4", "--rule", "heavy_ball"],
        ["--noise", saved(rng, folder, matrix(rng, 3))],
        ["--noise", saved(rng, folder, -matrix(rng, 2))],
    ]
    return ["--hessian", "paper", "--nominal-step", "0.5", *rng.choice(options)]


def bad_loss_option(rng: random.Random, folder: Path) -> list[str]:
    number = rng.choice(["nan", "inf", "-1", "x", "", "none.npy"])
    options = [
        ["--horizon", rng.choice(["0", "-1", "1.5", "nan", "x", "", "1,,2", "1,0"])],
        ["--noise", number],
        ["--initial-covariance", number],
        ["--initial", rng.choice(["nan", "x", "none.npy"])],
        ["--initial", saved(rng, folder, np.ones(3))],
        ["--noise", saved(rng, folder, matrix(rng, 3))],
    ]
    return ["--hessian", "paper", "--nominal-step", "0.5", *rng.choice(options)]


def bad_sweep_option(rng: random.Random, folder: Path) -> list[str]:
    options = [
        [rng.choice(["--from", "--to"]), rng.choice(["nan", "inf", "x", ""])],
        ["--points", rng.choice(["0", "-1", "x", "1.5", "nan"])],
        ["--quantity", rng.choice(["", "speed"])],
        ["--over", rng.choice(["", "time"])],
        ["--plot", rng.choice(["", "x.txt", "no/such/folder.png"])],
        ["--log"],
    ]
    return ["--hessian", "paper", *rng.choice(options)]


def malformed(rng: random.Random, folder: Path) -> list[str]:
    command = rng.choice(["check", "check", "spectrum", "loss", "sweep", "examples", "none"])
    if command == "none":
        return rng.choice(
            [[], ["chekc"], ["--json"], [""], ["check"], ["spectrum"], ["-x", "check"]]
        )
    if command == "examples":
        return ["examples", rng.choice(["Paper", "", "x y", "paper extra", "../paper"])]
    makers: list[Make] = [bad_hessian, bad_preconditioner, bad_option]
    if command == "check":
        makers.append(bad_check_option)
    if command == "loss":
        makers.append(bad_loss_option)
    if command == "sweep":
        makers.append(bad_sweep_option)
    more = {"loss": ["--horizon", "10"], "sweep": ["--from", "0", "--to", "1"]}.get(command, [])
    return [command, *more, *rng.choice(makers)(rng, folder)]


@pytest.mark.parametrize("part", range(10))
def test_malformed_command_lines(
    part: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for case in range(part, CASES, 10):
        folder = tmp_path / str(case)
        folder.mkdir()
        argv = malformed(random.Random(case), folder)
        code = main(argv)
        captured = capsys.readouterr()
        assert code == 2, (case, argv, captured)
        assert captured.out == "", (case, argv)
        assert captured.err.startswith("nqm: error: "), (case, argv)
        assert captured.err.count("\n") == 1, (case, argv, captured.err)
        assert len(captured.err) < 1000, (case, argv)


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listing = capsys.readouterr().out
    for module in COMMANDS:
        command = module.removeprefix("nqm.cli.")
        assert command in listing
        assert main([command, "--help"]) == 0
        assert capsys.readouterr().out.startswith(f"usage: nqm {command}")
