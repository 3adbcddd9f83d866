"""A trained optimizer against tuned baselines, on the same held-out seeds."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lopt.meta.config import TrainConfig
from lopt.meta.evaluation.curves import Summary, held_out_keys, summarize, training_curves
from lopt.meta.evaluation.tuning import Baseline, Constants, baselines, tune
from lopt.meta.run.directory import RunDirectory
from lopt.optimizers.files.saved import Saved, load, shipped
from lopt.optimizers.linear import LinearConfig
from lopt.optimizers.star_update import StarConfig
from lopt.tasks.registry import make_task
from lopt.tasks.task import Task
from nqm.json_values import json_value

# Where nothing says over how many steps it was meta-trained: the paper's.
HORIZON = 2000


class Evaluation(NamedTuple):
    """Training curves ``[seeds, steps]`` by name of the optimizer, the trained one first."""

    task: str
    horizon: int
    curves: dict[str, NDArray[np.float32]]
    ceiling: float
    constants: dict[str, Constants]
    """What tuning has chosen, by the same names."""

    def summaries(self) -> list[Summary]:
        """A summary for each optimizer."""
        return [summarize(n, c, self.horizon, self.ceiling) for n, c in self.curves.items()]

    def to_json(self) -> dict[str, Any]:
        """Every number of the table, seed by seed; None for NaN and infinity."""
        seeds, steps = next(iter(self.curves.values())).shape
        rows = [
            {
                "name": s.name,
                "constants": self.constants.get(s.name),
                "meta_loss": json_value(s.meta_loss),
                "at_horizon": json_value(s.at_horizon),
                "at_end": json_value(s.at_end),
                "rises": s.rises,
                "diverged": s.diverged,
            }
            for s in self.summaries()
        ]
        head = {"task": self.task, "horizon": self.horizon, "steps": steps, "seeds": seeds}
        return {**head, "optimizers": rows}


class Subject(NamedTuple):
    """What is evaluated: meta-parameters by name with one configuration."""

    thetas: dict[str, Any]
    config: StarConfig | LinearConfig
    task: Task
    horizon: int
    told: tuple[str, ...] = ()
    """What there is to say of a run that is not complete, a sentence each."""

    def curves(
        self, steps: int, keys: jax.Array, advance: Callable[[int], None] = lambda steps: None
    ) -> dict[str, NDArray[np.float32]]:
        """Its training curves."""
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *self.thetas.values())
        found = training_curves(self.task, self.config.make, stacked, steps, keys, advance)
        return dict(zip(self.thetas, found, strict=True))


def find(what: str, task: str | None = None, horizon: int | None = None) -> Subject:
    """The optimizer of a run (of its newest checkpoint where it is not complete), or saved or
    shipped meta-parameters with a task.
    """
    path = Path(what)
    if path.suffix != ".npz" and what not in shipped():
        return _of_run(RunDirectory(path), task, horizon)
    if task is None:
        raise ValueError(f"--task is needed to evaluate {what}: it belongs to no run.")
    saved = load(what)
    return Subject(
        {f"{path.stem}": saved.meta_parameters},
        saved.config,
        make_task(task),
        horizon or _recorded_horizon(saved),
    )


def _recorded_horizon(saved: Saved) -> int:
    with suppress(KeyError, TypeError, ValueError):
        return int(saved.origin["run"]["horizon"])
    return HORIZON


def trained(what: str) -> tuple[str, Saved, tuple[str, ...]]:
    """The name, the meta-parameters and what there is to say of a run, a file or a shipped name."""
    path = Path(what)
    if path.suffix == ".npz" or what in shipped():
        return path.stem, load(what), ()
    run = RunDirectory(path)
    config = run.read_config()
    theta, told = _newest(run, config)
    return path.absolute().name, Saved(theta, config.optimizer_config, {}), told


def _newest(run: RunDirectory, config: TrainConfig) -> tuple[Any, tuple[str, ...]]:
    """The meta-parameters of the newest checkpoint, and what there is to say where the run is not
    complete.
    """
    newest = run.read_trained(config)
    told: tuple[str, ...] = ()
    if newest.outer_step < config.outer_steps:
        told = (
            *newest.damaged,
            f"{run.path} is not complete: its checkpoint after outer step {newest.outer_step} of "
            f"{config.outer_steps} is evaluated.",
        )
    return newest.state, told


def _of_run(run: RunDirectory, task: str | None, horizon: int | None) -> Subject:
    config = run.read_config()
    name = config.optimizer.upper() if config.optimizer == "star" else config.optimizer
    theta, told = _newest(run, config)
    thetas = {
        f"{name}, meta-trained": theta,
        f"{name}, untrained": run.read_initial(config).meta_parameters,
    }
    made = make_task(task or config.task)
    return Subject(thetas, config.optimizer_config, made, horizon or config.horizon, told)


def evaluate(
    subject: Subject,
    compared: list[Baseline],
    seeds: int,
    steps: int,
    advance: Callable[[int], None] = lambda steps: None,
) -> Evaluation:
    """The training curves of the optimizer, of the tuned baselines, and of its initialization."""
    task, keys, horizon = subject.task, held_out_keys(seeds), min(subject.horizon, steps)
    own = subject.curves(steps, keys, advance)
    first, *rest = own
    curves, constants = {first: own[first]}, {}
    for baseline in compared:
        tuned = tune(baseline, task, horizon, steps, keys, advance)
        name = f"{tuned.name}, rate {tuned.constants['learning_rate']:.3g}"
        curves[name], constants[name] = tuned.curves, tuned.constants
    curves |= {name: own[name] for name in rest}
    return Evaluation(task.name, horizon, curves, task.loss_ceiling, constants)


def evaluate_run(run: RunDirectory, seeds: int, horizons: int) -> Evaluation:
    """The training curves of the run's optimizer, of tuned Adam and of its initialization."""
    subject = find(str(run.path))
    return evaluate(subject, baselines(search=0)[:1], seeds, horizons * subject.horizon)
