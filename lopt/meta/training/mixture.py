"""What a meta-training run on several tasks watches: the eigenvalues on each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lopt.meta.config import TrainConfig
from lopt.meta.training.trainer import unique_names
from lopt.meta.training.watch import Watch
from lopt.monitor import ProbeReport
from lopt.monitor.probing.verdict import SEVERITY
from lopt.tasks.task import Task


@dataclass(frozen=True)
class TaskReports:
    """The measurements of several tasks."""

    reports: Mapping[str, ProbeReport]

    @property
    def worst(self) -> str:
        """The name of the first task with the gravest verdict."""
        return max(self.reports, key=lambda name: SEVERITY.index(self.reports[name].verdict))

    @property
    def verdict(self) -> str:
        """The gravest verdict."""
        return self.reports[self.worst].verdict

    def text(self) -> str:
        """A few words for a progress line, about the task with the gravest verdict."""
        return f"{self.reports[self.worst].text()} on {self.worst}"

    def to_json(self) -> dict[str, Any]:
        """What a line of the metrics holds: the points of all tasks, each with its task."""
        each = {name: report.to_json() for name, report in self.reports.items()}
        worst = each[self.worst]
        points = [{**point, "task": name} for name, one in each.items() for point in one["points"]]
        verdicts = {name: one["verdict"] for name, one in each.items()}
        return {**worst, "points": points, "tasks": verdicts}


class Mixture:
    """Measures a run on several tasks: each has a `Watch`, and the gravest verdict counts."""

    def __init__(self, config: TrainConfig, tasks: Sequence[Task]) -> None:
        self.watches = {
            name: Watch(config, task) for name, task in zip(unique_names(tasks), tasks, strict=True)
        }

    def measure(self, theta: Any, particles: Any = None, outer_step: int = 0) -> TaskReports:
        """The reports of all tasks; `particles` holds the state of the estimator of each."""
        each = particles or [None] * len(self.watches)
        return TaskReports(
            {
                name: watch.measure(theta, state, outer_step)
                for (name, watch), state in zip(self.watches.items(), each, strict=True)
            }
        )


def monitor(config: TrainConfig, tasks: Task | Sequence[Task]) -> Watch | Mixture:
    """Return what measures a run on one task, or on several."""
    listed = (tasks,) if isinstance(tasks, Task) else tuple(tasks)
    return Watch(config, listed[0]) if len(listed) == 1 else Mixture(config, listed)
