"""Training with the meta-trained optimizers far beyond their horizon, and with tuned baselines.

    python -m figures.star.inner_runs              list the runs and their states
    python -m figures.star.inner_runs NAME ...     train with these
    python -m figures.star.inner_runs --all        train with all that are missing, in order

NAME is a kept run of figures.star.meta_runs or a baseline, as `adam` or `cifar10-adam`. The
held-out seeds of its setting train for ten horizons, or for fifty with NAME-far.
figures/results/runs/NAME.inner.json keeps means of the training loss over bins of 50 steps for each
seed, and the results of the monitor at a tenth of the horizon and at the horizon, for the runs in
BEYOND also at ten times the horizon.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from figures.engine import listing
from figures.engine.store import rounded, write
from figures.star.meta_runs import KEPT, experiments, kept
from figures.star.search import search
from figures.star.settings import (
    CIFAR,
    COMPARED,
    FASHION,
    SETTINGS,
    Setting,
    setting_of,
    tenfold,
)
from lopt.meta.evaluation.curves import held_out_keys, meta_loss, training_curves
from lopt.meta.evaluation.entrants import stacked
from lopt.meta.training.watch import probe
from lopt.monitor import Probe
from lopt.optimizers.baselines import RANDOM_SEARCH, adam
from lopt.optimizers.files.saved import load
from lopt.tasks.registry import make_task
from lopt.tasks.task import Task

BIN = 50
HEADLINE = ("star-wd0.1-0", "blackbox-0", "hyperparam-0", "adam")
FAR = "-far"
BLOCKED = "its meta-training is missing"
# The runs that the monitor also measures beyond the horizon.
BEYOND = (
    *(FASHION.runs(kind)[0] for kind in COMPARED),
    *map(tenfold, COMPARED),
    CIFAR.runs(COMPARED[0])[0],
)
# Adam's learning rates: half-decades.
RATES = tuple(float(f"{digit}e{power}") for power in range(-7, 1) for digit in (1, 3))[:15]


def names() -> list[str]:
    """The names of all runs."""
    tuned = [f"{one.prefix}{baseline}" for one in SETTINGS for baseline in one.baselines]
    return [*tuned, *experiments(), *(f"{name}{FAR}" for name in HEADLINE)]


@cache
def _task(name: str) -> Task:
    return make_task(name)


def steps(name: str) -> int:
    """The number of inner steps of each seed."""
    setting = setting_of(name)
    return setting.long if name.endswith(FAR) else setting.steps


def do(name: str) -> None:
    """Train with an optimizer and keep the outcome; seeds that a learned one has had are kept."""
    own, setting = name.removesuffix(FAR), setting_of(name)
    task, keys = _task(setting.task), held_out_keys(setting.seeds)
    make, before = _maker(own, setting), {}
    if make is _learned and _place(name).exists():
        before = kept(f"{name}.inner")
        keys = keys[len(before["losses"]) :]
    found = make(own, setting, task, keys, steps(name))
    curves = found.pop("curves")
    losses = rounded(binned(curves), 4)
    means = rounded(meta_loss(curves, setting.horizon, task.loss_ceiling), 5)
    outcome = {
        "task": setting.task,
        "horizon": setting.horizon,
        "steps": curves.shape[1],
        "bin": BIN,
        "ceiling": rounded(task.loss_ceiling, 6),
        "meta_loss": before.get("meta_loss", []) + means,
        **found,
        "losses": before.get("losses", []) + losses,
    }
    if make is _learned and is_monitored(name):
        outcome["monitor"] = before.get("monitor") or _monitored(name, setting, task)
    write(_place(name), json.dumps(outcome) + "\n")


def _place(name: str) -> Path:
    return KEPT / f"{name}.inner.json"


def _maker(name: str, setting: Setting) -> Callable[..., dict[str, Any]]:
    makers = {"adam": _adam, "nadamw": _nadamw}
    return makers.get(name.removeprefix(setting.prefix), _learned)


def binned(curves: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return means over bins of `BIN` steps, ``[seeds, bins]``; they may not be finite."""
    seeds, length = curves.shape
    parts = curves[:, : length // BIN * BIN].astype(np.float64).reshape(seeds, -1, BIN)
    return parts.mean(axis=2)


def _learned(
    name: str, setting: Setting, task: Task, keys: jax.Array, length: int
) -> dict[str, Any]:
    """Return the curves of a meta-trained optimizer."""
    config, theta = experiments()[name], load(KEPT / f"{name}.npz").meta_parameters
    thetas = jax.tree.map(lambda leaf: leaf[None], theta)
    make = config.optimizer_config.make
    found = training_curves(task, make, thetas, length, keys, _progress(name, length))
    return {"curves": found[0]}


def _monitored(name: str, setting: Setting, task: Task) -> list[dict[str, Any]]:
    """Return the monitor's results within the horizon, for some runs also beyond it."""
    config, theta = experiments()[name], load(KEPT / f"{name}.npz").meta_parameters
    horizon = setting.horizon
    places = (horizon // 10, horizon, *([10 * horizon] if name in BEYOND else []))
    watch = probe(config, task)
    assert isinstance(watch, Probe)  # not the exact one of the linear optimizer
    report = replace(watch, steps=places).measure(theta).to_json()
    shown = ("inner_step", "verdict", "radius", "oscillatory_radius", "ascent_radius", "sharpness")
    return rounded([{key: point[key] for key in shown} for point in report["points"]], 5)


def is_monitored(name: str) -> bool:
    """Whether the monitor measures a run: on the ConvNet, where it is slow, one is measured."""
    return name in BEYOND or not (setting_of(name) is CIFAR or name.endswith(FAR))


def _adam(name: str, setting: Setting, task: Task, keys: jax.Array, length: int) -> dict[str, Any]:
    """Return the rates with their meta-losses, the best one, and its curves."""

    def curves_of(rates: list[float], steps: int, progress: Callable[[int], None]) -> Any:
        constants = np.array(rates, np.float32)
        return training_curves(task, adam, constants, steps, keys, progress)

    tried = curves_of(list(RATES), setting.horizon, _progress(name, len(RATES) * setting.horizon))
    means = [float(meta_loss(own, setting.horizon, task.loss_ceiling).mean()) for own in tried]
    best = RATES[int(np.argmin(means))]
    search = [
        {"constants": {"learning_rate": rate}, "meta_loss": rounded(mean, 5)}
        for rate, mean in zip(RATES, means, strict=True)
    ]
    curves = curves_of([best], length, _progress(name, length))[0]
    return {"curves": curves, "constants": {"learning_rate": best}, "search": search}


def _nadamw(
    name: str, setting: Setting, task: Task, keys: jax.Array, length: int
) -> dict[str, Any]:
    """Return the losses of a thousand draws and the curves of the best, whose schedule ends at the
    horizon.
    """
    screening = _progress(name, RANDOM_SEARCH * setting.horizon)
    found, best, entrant = search(setting, task, keys, advance=screening)
    theta, progress = stacked([best.theta]), _progress(name, length)
    curves = training_curves(task, entrant.make, theta, length, keys, progress)[0]
    return {"curves": curves, "constants": rounded(best.constants, 4), **found}


def _progress(name: str, total: int) -> Callable[[int], None]:
    done = [0]

    def advance(taken: int) -> None:
        done[0] += taken
        print(f"\r{name}: {min(done[0] / total, 1):.0%} ", end="", file=sys.stderr, flush=True)

    return advance


def is_kept(name: str) -> bool:
    """Whether the curves of a run are kept for all held-out seeds."""
    if not _place(name).exists():
        return False
    return len(kept(f"{name}.inner")["losses"]) >= setting_of(name).seeds


def can_be_done(name: str) -> bool:
    """Whether the meta-training that a run needs is kept."""
    own, setting = name.removesuffix(FAR), setting_of(name)
    return _maker(own, setting) is not _learned or (KEPT / f"{own}.npz").exists()


def state(name: str) -> str:
    """The state of a run."""
    if not can_be_done(name):
        return BLOCKED
    return listing.KEPT if is_kept(name) else "missing"


def main(arguments: list[str]) -> int:
    """List the runs, or train with those that are named; return the exit code."""
    states = {name: state(name) for name in names()}
    return listing.main("inner_runs", arguments, states, do, skip=(BLOCKED,))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
