"""Files that nobody should write: texts, arrays and archives, each from its own random numbers."""

import io
import json
import os
import random
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import settings

#: Inputs of each kind; more where the hypothesis profile asks for more examples.
COUNT = 30 if settings().max_examples <= 100 else 1000
LONGEST = 300

RAW = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1e999",
    "9" * 100_000,
    "[" * 100_000,
    '{"a":' * 500,
)
WORDS = ("", "x" * 50_000, "\x1b[31m", "star", "ä\n", "../../etc/passwd", "1e-3", "nan", "None")


def value(rng: random.Random) -> Any:
    """A value that is hardly what was meant."""
    return rng.choice(
        [
            *(None, True, False, [], {}, [[]], [None], {"a": {"b": []}}, [1, "a"], [True]),
            *(0, 1, -1, -5, 2**31, 2**63, 10**30, -(10**30), 10**390),
            *(0.0, -0.0, -1e-3, 0.5, 1e300, -1e300, 5e-324, float("nan"), float("inf")),
            *([0.9] * 1000, [-1.0], [1.5], [float("nan")], [10**300], list(range(70))),
            *WORDS,
        ]
    )


def changed(rng: random.Random, tree: Any) -> Any:
    """The tree with one of its values changed, left out, or with one more."""
    if not isinstance(tree, dict | list) or not tree or rng.random() < 0.15:
        return value(rng)
    made = dict(tree) if isinstance(tree, dict) else dict(enumerate(tree))
    key = rng.choice(list(made))
    kind = rng.randrange(8)
    if kind == 0:
        del made[key]
    elif kind == 1 and isinstance(tree, dict):
        made[rng.choice(WORDS)] = value(rng)
    else:
        made[key] = changed(rng, made[key])
    return made if isinstance(tree, dict) else list(made.values())


def json_text(rng: random.Random, tree: Any) -> str:
    """JSON with something wrong in it, or no JSON at all."""
    text = json.dumps(changed(rng, tree) if rng.random() < 0.7 else tree)
    kind = rng.randrange(12)
    if kind == 0:
        return text[: rng.randrange(len(text) + 1)]
    if kind == 1:
        return rng.choice(RAW)
    if kind == 2:  # a raw number or an endless list in the place of some value
        return text.replace(": ", f": {rng.choice(RAW)}, ", 1)
    if kind == 3 and text.startswith("{"):
        return text[:-1] + ", " + text[1:]
    if kind == 4:
        return text + rng.choice(["}", "]", " x", "\0", text])
    return text


def toml_text(rng: random.Random, fields: Mapping[str, Any]) -> str:
    """TOML with something wrong in it."""
    key = rng.choice(list(fields))
    raw = (
        "nan",
        "-inf",
        "1979-05-27",
        "[[[",
        "'''",
        "9" * 5000,
        "1e400",
        "0x" + "f" * 2000,
        "[1, {}]",
    )
    lines = [f"{name} = {json.dumps(entry)}" for name, entry in fields.items()]
    kind = rng.randrange(9)
    if kind == 0:
        lines.append(f"{key} = 1")
    elif kind == 1:
        lines.append(".".join(["a"] * rng.choice([2, 100, 3000])) + " = 1")
    elif kind == 2:
        lines = [f"{key} = " + "[" * 50_000]
    elif kind == 3:
        lines = [f"{key} = {rng.choice(raw)}"]
    elif kind == 4:
        lines.append(f"[{key}]\nx = 1")
    elif kind == 5:
        lines = [f"{key} = {json.dumps(value(rng))}"]
    return "\n".join(lines)


def encoded(rng: random.Random, text: str) -> bytes:
    """A text in one of the encodings that files come in, or in none."""
    encoding = rng.choice(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"])
    return stirred(rng, text.encode(encoding, "replace"), 0.15)


def stirred(rng: random.Random, data: bytes, share: float = 1.0) -> bytes:
    """In a share of cases the bytes cut, flipped, doubled, or others altogether."""
    if rng.random() >= share or not data:
        return data
    at = rng.randrange(len(data))
    return rng.choice(
        [
            data[:at],
            data[:at] + bytes([data[at] ^ rng.randrange(1, 256)]) + data[at + 1 :],
            data[:at] + rng.randbytes(rng.randint(1, 64)) + data[at:],
            data + data,
            b"",
            rng.randbytes(rng.randint(1, 400)),
            rng.choice(
                [b"version https://git-lfs.github.com/spec/v1\n", b"<html>", b"PK", b"\x93NUMPY"]
            ),
        ]
    )


def array(rng: random.Random, given: Any) -> Any:
    """An array of another type, another shape or with other numbers."""
    given = np.asarray(given)
    kind = rng.randrange(9)
    if kind == 0 and given.dtype.kind == "U":
        return given.astype(rng.choice(["U9", "O"]))
    if kind == 0 and given.dtype.kind in "biufc":  # a change before may have left another kind
        return given.astype(rng.choice(["<f8", ">f4", "i4", "c8", "f2", "?", "U7", "S7", "O"]))
    if kind == 1:
        return given.reshape(-1)
    if kind == 2:
        return rng.choice(
            [given[None], np.atleast_1d(given)[:0], given.T, np.zeros(()), np.zeros((3, 5))]
        )
    if kind == 3 and given.dtype.kind == "f" and given.size:
        made = given.astype(np.float64)
        made.reshape(-1)[rng.randrange(given.size)] = rng.choice([np.nan, np.inf, -np.inf, 1e300])
        return made
    if kind == 4:
        return np.zeros(3, rng.choice(["V9", "M8[s]", "m8[ns]"]))
    if kind == 5:
        return np.zeros(2, [("a", "f4"), ("b", "O" if rng.random() < 0.5 else "i2")])
    return given


def npy(rng: random.Random, given: Any) -> bytes:
    """The bytes of an array, with a header that may claim something else."""
    file = io.BytesIO()
    np.save(file, given, allow_pickle=True)
    if rng.random() < 0.97:
        return stirred(rng, file.getvalue(), 0.02)
    shape = rng.choice(
        ["(1099511627776,)", "(-1,)", "(0, 9223372036854775807)", "(True,)", "(1.5,)"]
    )
    kind = rng.choice(
        ["'<f4'", "'|O'", "'<U99999999'", "'V0'", "'<f4, (3,)i4'", "3", "[('a', '<f4')]"]
    )
    header = rng.choice(
        [
            f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}",
            f"{{'descr': {kind}, 'fortran_order': 7, 'shape': (1,), }}",
            "(" * rng.choice([20, 5000]),
            "__import__('os').system('false')",
            "",
        ]
    ).encode()
    width = rng.choice([1, 2, 3, 9])
    packed = struct.pack("<H" if width == 1 else "<I", rng.choice([len(header), 2**16 - 1]))
    return b"\x93NUMPY" + bytes([width, 0]) + packed + header + b"\0" * 8


def npz(rng: random.Random, arrays: Mapping[str, Any]) -> bytes:
    """An archive of arrays with something wrong in it."""
    made = dict(arrays)
    for _ in range(rng.randrange(3)):
        name = rng.choice(list(made))
        made[name] = array(rng, made[name])
    members = [(f"{name}.npy", npy(rng, entry)) for name, entry in made.items()]
    kind = rng.randrange(14)
    if kind == 0:
        members.pop(rng.randrange(len(members)))
    elif kind == 1:
        members.append(rng.choice(members))
    elif kind == 2:
        members.append(
            (rng.choice(["../../x.npy", "/etc/x", "a/", "x" * 3000, "readme.txt"]), b"?")
        )
    elif kind == 3:
        return members[0][1]
    file = io.BytesIO()
    method = rng.choice(
        [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    )
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    data = bytearray(file.getvalue())
    entry = data.rfind(b"PK\x01\x02")
    if kind == 4:  # encrypted
        data[entry + 8] |= 1
    elif kind == 5:  # inflates to almost 4 GiB, it says
        data[entry + 24 : entry + 28] = struct.pack("<I", rng.choice([2**32 - 2, 2**31, 1]))
    elif kind == 6:
        data[entry + 10 : entry + 12] = struct.pack("<H", rng.choice([1, 9, 77]))
    return stirred(rng, bytes(data), 0.2)


def put(rng: random.Random, path: Path, data: bytes) -> Path:
    """The bytes at a path; once in a while something that is no file."""
    kind = rng.randrange(40)
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        path.symlink_to(path.name)
    elif kind == 2:
        os.mkfifo(path)
    elif kind == 3:
        return path.with_name(
            rng.choice(["none.npz", "x" * 300 + ".npz", "\x1b[31m.npz", "\udc80.npz"])
        )
    else:
        path.write_bytes(data)
    return path


def assert_one_line(text: str) -> None:
    """What is told of a bad file is one printable line of at most 300 characters."""
    assert 0 < len(text) <= LONGEST, text
    assert text.isprintable(), text
