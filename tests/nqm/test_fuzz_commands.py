"""Hostile files for every reader and mixed options for every command of nqm.

Forty inputs each by default; NQM_FUZZ=1000 in the environment, or the hypothesis profile
`thorough`, asks for more. Warnings are errors in this suite, so none may leak either.
"""

import io
import json
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nqm import read_array
from nqm.cli import COMMANDS, main
from nqm.examples import EXAMPLES
from nqm.rules.table import RULES
from nqm.untrusted import LONGEST_LINE

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
CASES = int(os.environ.get("NQM_FUZZ", "1000" if THOROUGH else "40"))

HOSTILE_NUMBERS = (
    *("nan", "inf", "-inf", "1e999", "-1e999", "1e-999", "1e100", "1e101", "-1e100", "1e308"),
    *("0", "-0", "-1e-3", "5e-324", "0x10", "1_0", "+1", " 1", "1 ", "", " ", "-", "--", "1,2"),
    *("9" * 400, "1" * 5000, "1e" + "9" * 30, "٣", "½", "1j", "True", "None", "null", "[]", "\0"),
)
HOSTILE_JSON = (
    *("", "null", "true", "1", '"x"', "[]", "[[]]", "{}", "[{}]", "[[[1]]]", "[null]", "[NaN]"),
    *(
        "[[1,2],[3]]",
        "[[true,1],[1,2]]",
        "[[1e999]]",
        '[["1"]]',
        '{"hessian": 1}',
        "[[1],]",
        "[1 2]",
    ),
    *('{"hessian": [[1]], "hessian": [[2]]}', '{"hessian": {"hessian": [[1]]}}', "[" * 100_000),
    *('{"a":' * 50_000, "[" * 63 + "1" + "]" * 63, f"[[{'9' * 4000}]]", f"[[{10**300}]]"),
    *('{"' + "k" * 40_000 + '": 1}', "[[-Infinity]]", "[[1.5e-400]]", "\ufeff[[1]]", "[[1]]\0"),
)
HOSTILE_CSV = (
    *("", "\n", "1", "1,2\n2,1", "1;2\n2;1", "1,0;2,0\n2,0;1,0", "1\t2\n2\t1", "a,b\n1,2\n2,1"),
    *("1,2\n2", "1,,2\n2,1,1", "# 1,2", '"1","2"\n"2","1"', "1,2,\n2,1,", "nan,1\n1,nan", "1e999"),
    *("\ufeff2,1\n1,2", "2,1\r1,2", "1+2j", "0x1p3", "9" * 5000, "1," * 5000, "\0" * 10, "=1+1"),
)


def header(descr: object, shape: object) -> bytes:
    """An .npy header that may claim anything."""
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + len(text + b"\n").to_bytes(2, "little") + text + b"\n"


def hostile_npy(rng: random.Random) -> bytes:
    descr = rng.choice(["<f8", "<f2", "<i4", "|b1", "<c16", "|O", "<U9", "|V8", "<M8[s]", "x", 3])
    sizes = (0, 1, 2, -1, 2**40, 2**64, True, 1.5, "2")
    shape = tuple(rng.choice(sizes) for _ in range(rng.randint(0, 3)))
    body = rng.randbytes(rng.choice([0, 8, 32, 33]))
    return header(descr, rng.choice([shape, shape, list(shape), (2, 2)])) + body


def good_array(rng: random.Random) -> np.ndarray:
    X = np.random.default_rng(rng.randrange(2**32)).standard_normal((rng.randint(1, 4),) * 2)
    return X @ X.T + np.eye(len(X)) / 10


def good_npy(rng: random.Random) -> bytes:
    file = io.BytesIO()
    np.save(file, good_array(rng))
    return file.getvalue()


def zipped(rng: random.Random) -> bytes:
    """An archive with sound, hostile and swollen members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        if rng.random() < 0.5:
            archive.writestr("hessian.npy", good_npy(rng))
        for name in rng.sample(["noise", "../x", "", "a" * 500], rng.randint(0, 2)):
            kinds = [good_npy(rng), hostile_npy(rng), b"", b"\0" * 2**22, header("<f8", (2**20,))]
            archive.writestr(f"{name}.npy", rng.choice(kinds))
    return file.getvalue()


def mutated(rng: random.Random, data: bytes) -> bytes:
    """The bytes with up to three cuts, flips, insertions and repetitions."""
    for _ in range(rng.choice([0, 0, 1, 2, 3])):
        place = rng.randint(0, len(data))
        data = rng.choice(
            [
                data[:place],
                data[place:],
                data[:place] + rng.randbytes(rng.randint(1, 9)) + data[place:],
                data[: max(place - 1, 0)] + rng.randbytes(1) + data[place:],
                data[:place] + data[max(0, place - 20) :],
            ]
        )
    return data


def hostile_bytes(rng: random.Random, suffix: str) -> bytes:
    """What a file with that suffix may hold."""
    if rng.random() < 0.1:
        suffix = rng.choice([".npy", ".npz", ".csv", ".json"])
    if suffix == ".npy":
        return mutated(rng, rng.choice([good_npy, hostile_npy])(rng))
    if suffix == ".npz":
        return mutated(rng, zipped(rng))
    rows = good_array(rng).tolist()
    if suffix == ".csv":
        sound = "\n".join(",".join(map(str, row)) for row in rows)
        text = rng.choice([sound, rng.choice(HOSTILE_CSV)])
    else:
        text = rng.choice(
            [json.dumps(rows), json.dumps({"hessian": rows}), rng.choice(HOSTILE_JSON)]
        )
    encoding = rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
    return mutated(rng, text.encode(encoding))


def hostile_file(rng: random.Random, folder: Path, suffix: str | None = None) -> str:
    suffix = suffix or rng.choice([".npy", ".npz", ".csv", ".json"])
    path = folder / f"f{rng.randrange(10**9)}{rng.choice([suffix, suffix.upper()])}"
    path.write_bytes(hostile_bytes(rng, suffix))
    return str(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".json"])
def test_a_reader_returns_numbers_or_one_line(suffix: str, tmp_path: Path) -> None:
    read = 0
    for case in range(CASES):
        path = hostile_file(random.Random(f"{suffix}{case}"), tmp_path, suffix)
        try:
            array = read_array(path, "hessian")
        except ValueError as error:
            message = str(error)
            assert message.startswith("hessian: cannot read "), (case, message)
            assert len(message) <= LONGEST_LINE, (case, message)
            assert message.isprintable(), (case, message)
        else:
            assert isinstance(array, np.ndarray), case
            assert array.dtype.kind in "biufcU", case
            read += 1
    assert 0 < read < CASES


def number(rng: random.Random) -> str:
    return rng.choice(
        [rng.choice(HOSTILE_NUMBERS), f"{rng.uniform(-1, 3):.3g}", "0.1", "1", "-1e-3"]
    )


def quantity(rng: random.Random, folder: Path) -> str:
    """A number, a file, or what is neither."""
    choices = [
        number(rng),
        number(rng),
        "identity",
        hostile_file(rng, folder),
        "none.npy",
        str(folder),
    ]
    return rng.choice(choices)


def hessian(rng: random.Random, folder: Path) -> str:
    sound = folder / f"h{rng.randrange(10**9)}.npy"
    np.save(sound, good_array(rng))
    names = [*EXAMPLES, rng.choice(["", "papers", "é" * 999])]
    return rng.choice(
        [
            *[str(sound)] * 4,
            rng.choice(list(EXAMPLES)),
            rng.choice(names),
            hostile_file(rng, folder),
        ]
    )


def rule(rng: random.Random) -> str:
    named = RULES[rng.choice(list(RULES))]
    words = [f"{key}={rng.choice([number(rng), '0/0.5', '2'])}" for key in named.parameters]
    broken = rng.choice(
        ["", ":", "x" * 999, "plain:" + "x," * 999, f"{named.name}:=", "heavy_ball:="]
    )
    return rng.choice([named.name, f"{named.name}:{','.join(words)}", broken])


def horizon(rng: random.Random) -> str:
    sound = ["1", "7", "1e6", "9007199254740993", "1e300", "1,2,3"]
    return rng.choice([rng.choice(sound), rng.choice(sound), number(rng), "0", "1.5", "1e301"])


def picture(rng: random.Random, folder: Path) -> str:
    broken = ["x.txt", "", "no/such/folder.png", str(folder), "\0.png", "p" * 999 + ".png"]
    return rng.choice([*broken, str(folder / "p.SVG")])


Value = Callable[[random.Random, Path], str]
OPTIONS: dict[str, dict[str, Value | None]] = {
    "check": {
        "--noise": lambda r, f: r.choice([quantity(r, f), f"minibatch:{number(r)}"]),
        "--dbar": quantity,
        "--preconditioners": hostile_file,
        "--rigorous": None,
        "--json": None,
    },
    "spectrum": {"--plot": picture, "--json": None},
    "loss": {
        "--horizon": lambda r, f: horizon(r),
        "--noise": quantity,
        "--gradient-noise": quantity,
        "--initial": quantity,
        "--initial-covariance": quantity,
        "--json": None,
    },
    "sweep": {
        "--quantity": lambda r, f: r.choice(["margin", "radius", "loss", "gradient-variance", "x"]),
        "--over": lambda r, f: r.choice(["nominal-step", "momentum", "horizon", "horizon", ""]),
        "--from": lambda r, f: r.choice([number(r), horizon(r)]),
        "--to": lambda r, f: r.choice([number(r), horizon(r)]),
        "--points": lambda r, f: r.choice(["1", "2", "3", number(r)]),
        "--horizon": lambda r, f: r.choice(["3", "50", horizon(r)]),
        "--noise": quantity,
        "--initial": quantity,
        "--log": None,
        "--json": None,
        "--plot": picture,
    },
}
NEEDED = {
    "check": {},
    "spectrum": {},
    "loss": {"--horizon": "5"},
    "sweep": {"--from": "0", "--to": "1"},
}


def command_line(rng: random.Random, folder: Path, command: str) -> list[str]:
    if command == "examples":
        words = [*EXAMPLES, "x" * 999, "", "--json", "-1e-3", "\0", "paper extra"]
        return ["examples", *rng.sample(words, rng.randint(0, 2))]
    given: dict[str, str | None] = {"--hessian": hessian(rng, folder), **NEEDED[command]}
    for option, value in OPTIONS[command].items():
        if rng.random() < 0.25:
            given[option] = None if value is None else value(rng, folder)
    if rng.random() < 0.2:
        given["--preconditioner"] = hostile_file(rng, folder)
    if rng.random() < 0.7:
        given["--nominal-step"] = number(rng)
    if rng.random() < 0.4:
        given["--rule"] = rule(rng)
    if rng.random() < 0.03:
        given[rng.choice(["--unknown", "--hess", "-x"])] = number(rng)
    pairs = list(given.items())
    rng.shuffle(pairs)
    return [command, *(word for pair in pairs for word in pair if word is not None)]


@pytest.mark.parametrize("command", [name.removeprefix("nqm.cli.") for name in COMMANDS])
def test_a_command_answers_or_refuses_in_one_line(
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    answered = {0, 1, 3} if command in ("check", "spectrum") else {0}
    codes: dict[int, int] = {}
    for case in range(CASES):
        argv = command_line(random.Random(f"{command}{case}"), tmp_path, command)
        code = main(argv)
        captured = capsys.readouterr()
        codes[code] = codes.get(code, 0) + 1
        if code == 2:
            assert captured.out == "", (case, argv)
            assert captured.err.startswith("nqm: error: "), (case, argv)
            assert captured.err.endswith("\n"), (case, argv)
            assert captured.err[:-1].isprintable(), (case, argv, captured.err)
            assert len(captured.err) <= LONGEST_LINE + 1, (case, argv, captured.err)
        else:
            assert code in answered, (case, argv, code)
            assert captured.err == "", (case, argv)
            if "--json" in argv and "--plot" not in argv:
                json.loads(captured.out, parse_constant=pytest.fail)
    print(f"{command}: {codes}")
    assert 0 < codes.get(2, 0) < CASES
