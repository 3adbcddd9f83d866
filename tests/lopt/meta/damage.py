"""Run directories damaged at random: each kind of file, in each way that it can be wrong."""

import copy
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lopt.meta.run.checkpoint import ABOUT, SUMS

WEIRD: list[Any] = [
    *(None, True, -1, 0, 2.5, 10**30, 10**400, 1e300, float("nan"), float("inf")),
    *("", "x" * 10_000, "[/]", "two\nlines\x1b[31m", [], {}, [[]], [None], {"a": [1]}, "nested"),
]
NESTED = "[" * 100_000 + "]" * 100_000


def damage(run: Path, outside: Path, draw: random.Random) -> str:
    """Damage something in the run directory; what was done. Links lead to `outside`."""
    checkpoints = sorted((run / "checkpoints").glob("0*")) or [run]
    newest = checkpoints[-1]
    inner = sorted(p for p in newest.rglob("*") if p.is_file())
    parts = [
        (run / "config.json", _json_file),
        (run / "metrics.jsonl", _json_lines),
        (newest / ABOUT, _json_file),
        (draw.choice(inner), draw.choice(FILE_CHANGES[:4])),
    ]
    path, change = draw.choice(parts)
    if draw.random() < 0.4 and path.is_file():
        change(path, draw)
        if newest != run and path.is_relative_to(newest) and path.name != SUMS:
            sign(newest)  # as one writes who wants to be believed
        return f"{change.__name__} {path.relative_to(run)}"
    names = ("config.json", "metrics.jsonl", "initial.npz", "meta_parameters.npz", "lock")
    files = [run / name for name in names if (run / name).is_file()]
    places = [*files, run / "checkpoints", draw.choice(checkpoints), draw.choice(inner)]
    path = draw.choice([p for p in places if p.exists() and p != run])
    if draw.random() < 0.15:
        _link(path, outside, draw)
        return f"link {path.relative_to(run)}"
    change = draw.choice(FILE_CHANGES if path.is_file() else ANY_CHANGES)
    change(path, draw)
    return f"{change.__name__} {path.relative_to(run)}"


def dumped(value: Any) -> str:
    """JSON in which the word "nested" stands for a list that is nested too deeply."""
    return json.dumps(value).replace('"nested"', NESTED)


def altered(value: Any, draw: random.Random) -> Any:
    """The same with one entry, anywhere inside, missing or of another kind."""
    value = copy.deepcopy(value)
    if not isinstance(value, dict | list) or not value or draw.random() < 0.1:
        return draw.choice(WEIRD)
    holder = value
    while True:
        key = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        if not isinstance(holder[key], dict | list) or not holder[key] or draw.random() < 0.2:
            break
        holder = holder[key]
    if draw.random() < 0.2:
        del holder[key]
    else:
        holder[key] = draw.choice(WEIRD)
    return value


def _truncate(path: Path, draw: random.Random) -> None:
    os.truncate(path, draw.randrange(path.stat().st_size + 1))


def _empty(path: Path, draw: random.Random) -> None:
    path.write_bytes(b"")


def _fill(path: Path, draw: random.Random) -> None:
    path.write_bytes(draw.randbytes(draw.choice([1, 10, 1000, 100_000])))


def _flip(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes() or b"\0")
    for _ in range(draw.choice([1, 1, 20])):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def _remove(path: Path, draw: random.Random) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _folder(path: Path, draw: random.Random) -> None:
    _remove(path, draw)
    path.mkdir()


def _pipe(path: Path, draw: random.Random) -> None:
    _remove(path, draw)
    os.mkfifo(path)


def _forbid(path: Path, draw: random.Random) -> None:
    path.chmod(0)


def _swap(path: Path, draw: random.Random) -> None:
    """With another file or folder beside it."""
    other = draw.choice(sorted(path.parent.iterdir()))
    between = path.with_name("between")
    path.rename(between)
    if other != path:
        other.rename(path)
    between.rename(other)


def _rename(path: Path, draw: random.Random) -> None:
    names = ["00000000", "00000007", "99999999", "1", path.name + ".part", path.name + ".aside-1"]
    free = [path.with_name(n) for n in names if not os.path.lexists(path.with_name(n))]
    path.rename(draw.choice(free))


def _json_file(path: Path, draw: random.Random) -> None:
    path.write_text(dumped(altered(json.loads(path.read_text()), draw)))


def _json_lines(path: Path, draw: random.Random) -> None:
    """A line that is altered, missing, twice, elsewhere, or no text."""
    lines = path.read_text().splitlines()
    at = draw.randrange(len(lines))
    line = lines.pop(at)
    match draw.randrange(6):
        case 0:
            pass
        case 1:
            lines[draw.randrange(len(lines)) : 0] = [line, line]
        case 2:
            lines.insert(at, "\udcff\udc80 no text")
        case _:
            lines.insert(at, dumped(altered(json.loads(line), draw)))
    text = "\n".join(lines) + draw.choice(["\n", ""])
    path.write_bytes(text.encode(errors="surrogateescape"))


def _link(path: Path, outside: Path, draw: random.Random) -> None:
    """To a file, a folder or the same thing outside of the run, to nothing, or in a circle."""
    copied = outside / path.name
    target = draw.choice([outside / "file", outside, outside / "absent", path, copied])
    if target == copied and not copied.exists():
        shutil.copytree(path, copied) if path.is_dir() else shutil.copyfile(path, copied)
    _remove(path, draw)
    path.symlink_to(target)


def sign(checkpoint: Path) -> None:
    """Sums that fit what lies there."""
    files = sorted(p for p in checkpoint.rglob("*") if p.is_file() and p.name != SUMS)
    sums = [(hashlib.sha256(p.read_bytes()).hexdigest(), p.relative_to(checkpoint)) for p in files]
    (checkpoint / SUMS).write_text("".join(f"{s}  {p.as_posix()}\n" for s, p in sums))


Change = Callable[[Path, random.Random], None]
ANY_CHANGES: list[Change] = [_remove, _folder, _pipe, _forbid, _swap, _rename]
FILE_CHANGES: list[Change] = [_truncate, _empty, _fill, _flip, *ANY_CHANGES]
