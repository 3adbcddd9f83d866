"""What the curves of a suite say: the candidate that is chosen, and each optimizer against Adam."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lopt.meta.evaluation.curves import clipped
from lopt.meta.evaluation.entrants import ADAM, Constants
from lopt.meta.evaluation.records import Record, edges
from nqm.json_values import json_value

# The share of a curve over which its final loss is averaged.
TAIL = 10
CHOSEN = ", β₁ chosen"


@dataclass(frozen=True)
class Row:
    """An optimizer on a task.

    Attributes
    ----------
    name
        The optimizer's, with a remark where beta_1 is chosen.
    constants
        Those it ran with.
    curves
        Means of the training loss over bins of steps, ``[seeds, points]``; NaN where not finite.
    ceiling
        Where losses of the task are cut.
    learned
        Whether it is a learned optimizer.
    """

    name: str
    constants: Constants
    curves: NDArray[np.float64]
    ceiling: float
    learned: bool = False

    @property
    def cut(self) -> NDArray[np.float64]:
        """The curves cut at the ceiling, which also stands for what is not finite."""
        return clipped(self.curves, self.ceiling)

    @property
    def final(self) -> NDArray[np.float64]:
        """The mean over the last tenth of the steps, ``[seeds]``."""
        return self.cut[:, -tail(self.curves) :].mean(axis=1)

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean over all steps, ``[seeds]``."""
        return self.cut.mean(axis=1)

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """Whether the final loss is not finite or above the ceiling, ``[seeds]``."""
        end = self.curves[:, -tail(self.curves) :].mean(axis=1)
        return ~(np.isfinite(end) & (end <= self.ceiling))


@dataclass(frozen=True)
class TaskOutcome:
    """All optimizers on one task, Adam, or what else they are compared with, first."""

    task: str
    steps: int
    rows: tuple[Row, ...]

    @property
    def adam(self) -> Row:
        """Tuned Adam, or what else the others are compared with."""
        return self.rows[0]

    def ratio(self, row: Row, what: str) -> float:
        """The ``"final"`` or ``"mean"`` loss of a row over tuned Adam's, of means over seeds."""
        own, other = (float(np.mean(getattr(r, what))) for r in (row, self.adam))
        return own / other if np.isfinite(own) and np.isfinite(other) and other else float("nan")

    def steps_to_adam(self, row: Row) -> int | None:
        """The step at which a row's loss, the mean over seeds and over the tenth of the steps
        before, has come down to Adam's final loss; None where it never does.
        """
        width, curve = tail(row.curves), row.cut.mean(axis=0)
        if not np.all(np.isfinite(curve)):
            return None
        level = np.convolve(curve, np.full(width, 1 / width), "valid")
        below = np.flatnonzero(level <= float(np.mean(self.adam.final)) * (1 + 1e-12))
        return int(edges(self.steps)[below[0] + width]) if below.size else None

    def to_json(self) -> dict[str, Any]:
        """Every number of the table, seed by seed; None for what is not finite."""
        rows = [
            {
                "optimizer": row.name,
                "constants": row.constants,
                "final": json_value(row.final),
                "mean": json_value(row.mean),
                "final_over_adam": json_value(self.ratio(row, "final")),
                "mean_over_adam": json_value(self.ratio(row, "mean")),
                "steps_to_adam": self.steps_to_adam(row),
                "diverged": row.diverged.tolist(),
            }
            for row in self.rows
        ]
        return {"task": self.task, "steps": self.steps, "optimizers": rows}


@dataclass(frozen=True)
class SuiteEvaluation:
    """What a suite has given.

    Attributes
    ----------
    seeds
        Held-out seeds of each task.
    tasks
        The tasks with their rows.
    skipped
        Why a task was left out, by name.
    """

    seeds: int
    tasks: tuple[TaskOutcome, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Every number of the tables."""
        return {
            "seeds": self.seeds,
            "tasks": [task.to_json() for task in self.tasks],
            "skipped": dict(self.skipped),
        }


def tail(curves: NDArray[Any]) -> int:
    """The number of points that a final loss is the mean of."""
    return max(1, curves.shape[-1] // TAIL)


def outcome(
    records: Sequence[Record],
    seeds: int,
    settings: Mapping[str, Sequence[Constants]] | None = None,
    reference: str = ADAM,
) -> TaskOutcome:
    """The rows of one task from the records of the reference, Adam, and of all that are compared
    with it.

    A baseline, and a learned optimizer with several values of beta_1, has the constants with the
    least final loss, the mean over seeds. `settings` limits the choice; without it there is a
    choice of all that is kept.
    """
    rows: list[Row] = []
    for record in sorted(records, key=lambda r: r.name != reference):
        found = record.settings(seeds) if settings is None else settings[record.name]
        each = {
            i: Row(record.name, c, record.of(c, seeds), record.ceiling, record.own is not None)
            for i, c in enumerate(found)
        }
        best = min(each, key=lambda i: float(np.mean(each[i].final)))
        if record.own is None:
            rows.append(each[best])
            continue
        rows.append(next(row for row in each.values() if row.constants == record.own))
        if len(each) > 1:
            chosen = each[best]
            name = record.name + CHOSEN
            rows.append(Row(name, chosen.constants, chosen.curves, chosen.ceiling, True))
    head = records[0].head
    return TaskOutcome(head["task"], head["steps"], tuple(rows))
