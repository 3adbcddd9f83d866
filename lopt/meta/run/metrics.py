"""Reading the metrics of a run, one JSON object per line, without trusting them."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from lopt.checks import require
from nqm.untrusted import (
    as_object,
    decode,
    one_line,
    parse_json,
    reading,
    reason,
    regular_size,
)

LARGEST_FILE, LONGEST_LINE = 2**29, 2**22
# No eigenvalue of float32 dynamics is larger than this, and no picture has an axis for it.
LARGEST_DRAWN = 1e100
WORDS = ("verdict", "direction", "warning", "task")
NUMBERS = (
    *("meta_loss", "diverged", "gradient_norm", "inner_steps_per_second", "skipped"),
    *("loss", "sharpness", "preconditioned_sharpness", "radius", "oscillatory_radius"),
    *("ascent_radius", "growth", "error", "held", "bound"),
)
ESTIMATES = ("joint", "frozen", "hessian")


class Metrics(NamedTuple):
    """The content of a file of metrics."""

    lines: list[dict[str, Any]]
    told: tuple[str, ...]
    """One sentence for each thing that was skipped or is missing."""
    skipped: int
    """The number of lines that are not metrics; the unfinished last line of a killed run does not
    count.
    """

    @property
    def last(self) -> int | None:
        """The last outer step that there is a line for."""
        return max((line["outer_step"] for line in self.lines), default=None)


def read(path: Path) -> Metrics:
    """Read every line that is an object with an outer step and numbers where numbers belong.

    A file that does not exist counts as empty.

    Raises
    ------
    ValueError
        Where the file cannot be read at all; one line.
    """
    lines, bad = [], []
    with reading(path):
        for number, raw in enumerate(_raw_lines(path), start=1):
            try:
                lines.append(_checked(parse_json(decode(raw.rstrip(b"\n")))))
            except (KeyError, TypeError, ValueError) as error:
                if raw.endswith(b"\n"):
                    bad.append((number, reason(error)))
    name = one_line(str(path), 90)
    told = [f"{name}: {_skipped(bad)}."] if bad else []
    if gaps := _gaps(line["outer_step"] for line in lines if "meta_loss" in line):
        told.append(f"{name} has lost lines: outer steps {gaps} are missing.")
    return Metrics(lines, tuple(map(one_line, told)), len(bad))


def has_spectrum(line: Mapping[str, Any]) -> bool:
    """Whether a line contains a measurement whose eigenvalues can be drawn."""
    monitor = line.get("monitor", {})
    drawn = {"inner_step", "radius", "oscillatory_radius", "joint"}
    return isinstance(monitor.get("verdict"), str) and all(
        drawn <= set(point)
        and all(abs(point[name] or 0) <= LARGEST_DRAWN for name in NUMBERS if name in point)
        and all(abs(x or 0) <= LARGEST_DRAWN for x in _flat(point["joint"]["values"]))
        for point in monitor.get("points", ())
    )


def _raw_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines; one that is too long comes in pieces, none of which is JSON."""
    try:
        size = regular_size(path)
    except FileNotFoundError:
        return
    if size > LARGEST_FILE:
        raise ValueError(f"it has {size} bytes; {LARGEST_FILE} is the most")
    with path.open("rb") as file:
        while raw := file.readline(LONGEST_LINE):
            yield raw


def _skipped(bad: list[tuple[int, str]]) -> str:
    number, why = bad[0]
    if len(bad) == 1:
        return f"line {number} is skipped: {why}"
    return f"{len(bad)} lines are skipped, the first of them line {number}: {why}"


def _gaps(outer_steps: Iterable[int]) -> str:
    """The ranges of outer steps that are missing before the last one.

    Examples
    --------
    >>> _gaps([1, 2, 5, 7]), _gaps([1, 2, 3])
    ('3 to 4, 6', '')
    """
    present = sorted({0, *outer_steps})
    gaps = [(a + 1, b - 1) for a, b in pairwise(present) if b > a + 1]
    shown = [f"{a} to {b}" if b > a else f"{a}" for a, b in gaps[:3]]
    return ", ".join(shown) + (f" and {len(gaps) - 3} more ranges" if len(gaps) > 3 else "")


def _checked(line: Any) -> dict[str, Any]:
    """Return the line if every entry that is used has the right type."""
    line = as_object(line, "it")
    _check_count("outer_step", line["outer_step"])
    _check_entries(line)
    if "monitor" in line:
        monitor = as_object(line["monitor"], "monitor")
        _check_entries(monitor)
        points = monitor["points"]
        require("points", points, isinstance(points, list) and bool(points), "a list of points")
        for point in points:
            _check_point(as_object(point, "a point"))
    return line


def _check_point(point: dict[str, Any]) -> None:
    _check_entries(point)
    if "inner_step" in point:
        _check_count("inner_step", point["inner_step"])
    for name in ESTIMATES:
        if name in point:
            _check_estimate(as_object(point[name], name))
    if (decided := point.get("eigenvalue")) is not None:
        fits = isinstance(decided, list) and len(decided) == 2 and None not in decided
        require("eigenvalue", decided, fits and all(map(_is_number, decided)), "a pair of numbers")
    for value in point.get("curvatures", ()):
        require("a curvature", value, _is_number(value), "a number or null")


def _check_estimate(estimate: dict[str, Any]) -> None:
    """Check that eigenvalues are numbers or pairs of them, with as many marks and bounds."""
    values, converged = estimate["values"], estimate["converged"]
    bounds = [estimate[name] for name in ("residuals", "errors") if name in estimate]
    for entries in (values, converged, *bounds):
        fits = isinstance(entries, list) and len(entries) == len(values)
        require("each part of an estimate", entries, fits, "a list as long as the others")
    for value, sure, *around in zip(values, converged, *bounds, strict=True):
        parts = value if isinstance(value, list) else [value]
        fits = 1 <= len(parts) <= 2 and all(map(_is_number, parts))
        require("an eigenvalue", value, fits, "a number or a pair of them")
        require("converged", sure, type(sure) is bool, "true or false")
        require("a converged eigenvalue", value, not sure or None not in parts, "a number")
        for bound in around:
            require("an error", bound, _is_number(bound), "a number or null")


def _check_entries(entries: dict[str, Any]) -> None:
    for name, value in entries.items():
        if name in NUMBERS:
            require(name, value, _is_number(value), "a number or null")
        if name in WORDS:
            require(name, value, value is None or isinstance(value, str), "text")


def _check_count(name: str, value: Any) -> None:
    require(name, value, type(value) is int and 0 <= value < 10**8, "a whole number below 10^8")


def _is_number(value: Any) -> bool:
    """Whether a value is a number within float64, or null, which stands for NaN and infinity."""
    return value is None or (type(value) in (int, float) and abs(value) <= sys.float_info.max)


def _flat(values: list[Any]) -> Iterator[Any]:
    """Yield the numbers, and those of pairs one by one."""
    for value in values:
        yield from value if isinstance(value, list) else [value]
