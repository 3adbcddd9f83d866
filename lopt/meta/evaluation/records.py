"""The results folder of a suite: a file for each task, optimizer and number of steps, with every
finished curve.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lopt.files import written_whole
from lopt.meta.evaluation.entrants import Constants, Entrant
from lopt.meta.run.versions import versions
from nqm.untrusted import as_object, format_number, one_line, quoted, read_json, reading

FORMAT = 1
# Points of a kept curve.
POINTS = 100
DIGITS = 5
HEAD = ("task", "optimizer", "steps", "identity", "own")
NAME = re.compile(r"[\w][\w.+=@-]*")

Key = tuple[tuple[tuple[str, float], ...], int]
"""The constants, sorted by name, and the index of the seed."""


def key_of(constants: Mapping[str, float], seed: int) -> Key:
    """Where a curve stands in its record."""
    return tuple(sorted(constants.items())), seed


def edges(steps: int) -> NDArray[np.intp]:
    """The steps at which the bins of a kept curve begin, and the end of the last one.

    Examples
    --------
    >>> edges(2000)[:3].tolist(), len(edges(2000)), edges(3).tolist()
    ([0, 20, 40], 101, [0, 1, 2, 3])
    """
    points = min(POINTS, steps)
    return np.arange(points + 1) * steps // points


def binned(curve: NDArray[Any]) -> NDArray[np.float64]:
    """The means over the bins, as they are kept; NaN where a mean is not finite."""
    at = edges(curve.shape[-1])
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.add.reduceat(np.asarray(curve, np.float64), at[:-1], axis=-1)
    means = sums / np.diff(at)
    flat = [float(f"{x:.{DIGITS}g}") if np.isfinite(x) else np.nan for x in means.ravel()]
    return np.array(flat).reshape(means.shape)


@dataclass
class Record:
    """The finished curves of one optimizer on one task.

    Attributes
    ----------
    head
        What identifies them: task, optimizer, steps, identity, and the constants of a learned
        optimizer as it is saved.
    ceiling
        Where losses of the task are cut.
    examples
        How many examples the task's data had; 0 before there is a curve.
    curves
        The binned losses ``[points]`` by constants and seed.
    """

    head: dict[str, Any]
    ceiling: float = math.inf
    examples: int = 0
    curves: dict[Key, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the optimizer."""
        return str(self.head["optimizer"])

    @property
    def own(self) -> Constants | None:
        """The constants of a learned optimizer as it is saved; None for a baseline."""
        return self.head["own"]

    def settings(self, seeds: int) -> list[Constants]:
        """The constants of which the curves of so many seeds are there."""
        each = dict.fromkeys(constants for constants, _ in self.curves)
        return [dict(c) for c in each if all((c, seed) in self.curves for seed in range(seeds))]

    def missing(self, settings: Iterable[Constants], seeds: int) -> Iterator[tuple[int, int]]:
        """The indices of the settings and seeds whose curve is not there."""
        for place, constants in enumerate(settings):
            for seed in range(seeds):
                if key_of(constants, seed) not in self.curves:
                    yield place, seed

    def of(self, constants: Constants, seeds: int) -> NDArray[np.float64]:
        """The curves ``[seeds, points]`` of one setting."""
        return np.stack([self.curves[key_of(constants, seed)] for seed in range(seeds)])


def head_of(task: str, entrant: Entrant, steps: int) -> dict[str, Any]:
    """What identifies the record of an entrant on a task."""
    own = entrant.candidates[0].constants if entrant.learned else None
    values = (task, entrant.name, steps, entrant.identity, own)
    return dict(zip(HEAD, values, strict=True))


def path_of(folder: Path, head: Mapping[str, Any]) -> Path:
    """The file of a record.

    Raises
    ------
    ValueError
        Where a name is none for a file.
    """
    for what in ("task", "optimizer"):
        if not NAME.fullmatch(head[what]):
            raise ValueError(
                f"the {what} {quoted(head[what])} cannot name a file of results; use letters, "
                "digits and . + = @ - _ only."
            )
    return folder / head["task"] / f"{head['optimizer']}.{head['steps']}.json"


def read(folder: Path, head: dict[str, Any]) -> Record:
    """The record that is kept, or an empty one.

    Raises
    ------
    ValueError
        Where the file is damaged, or of another optimizer or task under the same names.
    """
    path = path_of(folder, head)
    if not path.exists():
        return Record(head)
    found = load(path)
    for name, value in head.items():
        if found.head[name] != value:
            raise ValueError(
                f"{one_line(str(path), 150)} holds curves of another {name} under the same name. "
                "Remove it, or take another folder of results."
            )
    return found


def load(path: Path) -> Record:
    """The record of a file.

    Raises
    ------
    ValueError
        Where it is damaged.
    """
    with reading(path, "holds no curves of a suite", "Remove it."):
        found = as_object(read_json(path), "it")
        format_number(found["format"], FORMAT)
        head = {name: found[name] for name in HEAD}
        curves = dict(_curve(as_object(one, "a curve"), head["steps"]) for one in found["curves"])
        ceiling = math.inf if found["ceiling"] is None else float(found["ceiling"])
        return Record(head, ceiling, int(found["examples"]), curves)


def write(folder: Path, record: Record) -> None:
    """Keep a record, whole or not at all."""
    path = path_of(folder, record.head)
    path.parent.mkdir(parents=True, exist_ok=True)
    curves = [
        {
            "constants": dict(constants),
            "seed": seed,
            "losses": [x if np.isfinite(x) else None for x in map(float, losses)],
        }
        for (constants, seed), losses in sorted(record.curves.items())
    ]
    ceiling = record.ceiling if math.isfinite(record.ceiling) else None
    about = {"ceiling": ceiling, "examples": record.examples, "versions": versions()}
    text = json.dumps({"format": FORMAT, **record.head, **about, "curves": []}, indent=1)
    lines = ",\n".join("  " + json.dumps(one, separators=(",", ":")) for one in curves)
    with written_whole(path) as file:
        file.write((text.replace('"curves": []', f'"curves": [\n{lines}\n ]') + "\n").encode())


def _curve(one: Mapping[str, Any], steps: int) -> tuple[Key, NDArray[np.float64]]:
    losses = np.array([np.nan if x is None else x for x in one["losses"]], np.float64)
    if losses.shape != (len(edges(steps)) - 1,):
        raise ValueError(f"a curve has {losses.size} points")
    constants = {str(k): float(v) for k, v in one["constants"].items()}
    return key_of(constants, int(one["seed"])), losses
