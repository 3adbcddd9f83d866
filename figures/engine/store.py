"""Stored results of figures, complete or of an unfinished recomputation."""

import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from figures.engine.figure import RESULTS, Figure

PACKAGES = ("numpy", "scipy", "matplotlib", "nqm-lopt")
KEEP_EVERY_SECONDS = 1.0


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that make the figures."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def rounded(value: Any, digits: int = 6) -> Any:
    """Return the value as JSON with rounded floats; numbers that are not finite become null.

    Examples
    --------
    >>> rounded({"a": np.array([1 / 3, np.inf]), "b": 2}, 3)
    {'a': [0.333, None], 'b': 2}
    """
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [rounded(item, digits) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if np.isfinite(value) else None
    return value


def write(path: Path, content: str | bytes) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    part.replace(path)


def results_file(figure: Figure, folder: Path = RESULTS) -> Path:
    """The path of the results."""
    return folder / f"{figure.name}.json"


def partial_file(figure: Figure, folder: Path = RESULTS) -> Path:
    """The path of the results of an unfinished recomputation."""
    return folder / f"{figure.name}.partial.json"


def load(figure: Figure, folder: Path = RESULTS) -> dict[str, Any]:
    """Return the record: the parts, with configuration, versions and seconds of computation.

    Raises
    ------
    ValueError
        If the record is missing, damaged or of another configuration.
    """
    path, remedy = results_file(figure, folder), f"python -m figures {figure.name} --recompute"
    if not path.exists():
        raise ValueError(f"{figure.name} has no results in {folder}; compute them with: {remedy}")
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
        same = record["hash"] == figure.hash and list(record["parts"]) == list(figure.parts)
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is damaged; recompute it with: {remedy}") from None
    if not same:
        raise ValueError(f"{path} is of another configuration; recompute it with: {remedy}")
    return record


def kept(figure: Figure, folder: Path = RESULTS) -> dict[str, Any]:
    """Return the record of an unfinished recomputation of this configuration, or an empty one."""
    empty: dict[str, Any] = {
        "figure": figure.name,
        "config": dict(figure.config),
        "hash": figure.hash,
        "versions": versions(),
        "seconds": 0.0,
        "parts": {},
    }
    path = partial_file(figure, folder)
    if not path.exists():
        return empty
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
        same = all(record[key] == empty[key] for key in ("hash", "versions"))
    except (ValueError, KeyError, TypeError):
        return empty
    return record if same else empty


def recompute(
    figure: Figure, folder: Path = RESULTS, report: Callable[[int, int], None] = lambda *_: None
) -> dict[str, Any]:
    """Compute the missing parts, keep each one, and return the whole record.

    Raises
    ------
    KeyboardInterrupt
        If interrupted; the computed parts are kept, and the next call resumes.
    """
    record, partial = kept(figure, folder), partial_file(figure, folder)
    began = last = time.monotonic()
    before = record["seconds"]
    try:
        for name in figure.parts:
            if name in record["parts"]:
                continue
            report(len(record["parts"]), len(figure.parts))
            record["parts"][name] = figure.compute(name)
            now = time.monotonic()
            record["seconds"] = before + now - began
            if now - last > KEEP_EVERY_SECONDS:
                write(partial, json.dumps(record, ensure_ascii=False))
                last = now
    except BaseException:
        if record["parts"]:
            write(partial, json.dumps(record, ensure_ascii=False))
        raise
    report(len(figure.parts), len(figure.parts))
    record["parts"] = {name: record["parts"][name] for name in figure.parts}
    record["seconds"] = rounded(record["seconds"], 2)
    write(results_file(figure, folder), text(record))
    partial.unlink(missing_ok=True)
    return record


def text(record: dict[str, Any]) -> str:
    """Return the record as JSON with a line for each part."""
    head = json.dumps({**record, "parts": {}}, ensure_ascii=False, indent=1)
    parts = [
        f"  {json.dumps(name, ensure_ascii=False)}: {json.dumps(part, ensure_ascii=False)}"
        for name, part in record["parts"].items()
    ]
    return head.replace('"parts": {}', '"parts": {\n' + ",\n".join(parts) + "\n }") + "\n"
