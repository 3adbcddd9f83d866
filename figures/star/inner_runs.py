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
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from figures.engine import listing
from figures.engine.store import rounded, write
from figures.star.meta_runs import KEPT, experiments
from figures.star.search import FINALISTS, search
from figures.star.settings import CIFAR, COMPARED, FASHION, SETTINGS, Setting, setting_of
from lopt.meta.evaluation.curves import held_out_keys, meta_loss, training_curves
from lopt.meta.evaluation.entrants import stacked
from lopt.meta.evaluation.tuning import Baseline, baselines, tune
from lopt.meta.training.watch import probe
from lopt.monitor import Probe
from lopt.optimizers.baselines import RANDOM_SEARCH
from lopt.optimizers.files.saved import load
from lopt.tasks.registry import make_task
from lopt.tasks.task import Task

BIN = 50
HEADLINE = ("star-wd0.1-0", "blackbox-0", "hyperparam-0", "adam")
FAR = "-far"
BLOCKED = "its meta-training is missing"
# The runs that the monitor also measures beyond the horizon.
BEYOND = (*(FASHION.runs(kind)[0] for kind in COMPARED), CIFAR.runs(COMPARED[0])[0])
# Adam's learning rates: half-decades.
RATES = tuple(float(f"{digit}e{power}") for power in range(-7, 1) for digit in (1, 3))[:15]
# Random draws for NAdamW, judged on one seed; the best of them are judged on all seeds.
DRAWS = 64
# NAdamW as the authors' package tunes it.
WIDE = "nadamw-1000"


def names() -> list[str]:
    """The names of all runs."""
    tuned = [
        *(f"{one.prefix}{baseline}" for one in SETTINGS for baseline in one.baselines),
        *(f"{one.prefix}{WIDE}" for one in SETTINGS),
    ]
    return [*tuned, *experiments(), *(f"{name}{FAR}" for name in HEADLINE)]


@cache
def _task(name: str) -> Task:
    return make_task(name)


def steps(name: str) -> int:
    """The number of inner steps of each seed."""
    setting = setting_of(name)
    return setting.long if name.endswith(FAR) else setting.steps


def do(name: str) -> None:
    """Train with an optimizer and keep the outcome."""
    own, setting = name.removesuffix(FAR), setting_of(name)
    task = _task(setting.task)
    found = _maker(own, setting)(own, setting, task, steps(name))
    curves = found.pop("curves")
    kept = {
        "task": setting.task,
        "horizon": setting.horizon,
        "steps": curves.shape[1],
        "bin": BIN,
        "ceiling": rounded(task.loss_ceiling, 6),
        "meta_loss": rounded(meta_loss(curves, setting.horizon, task.loss_ceiling), 5),
        **found,
        "losses": rounded(binned(curves), 4),
    }
    write(KEPT / f"{name}.inner.json", json.dumps(kept) + "\n")


def _maker(name: str, setting: Setting) -> Callable[..., dict[str, Any]]:
    kind = name.removeprefix(setting.prefix)
    if kind == WIDE:
        return _wide
    return _baseline if kind in setting.baselines else _learned


def binned(curves: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return means over bins of `BIN` steps, ``[seeds, bins]``; they may not be finite."""
    seeds, length = curves.shape
    parts = curves[:, : length // BIN * BIN].astype(np.float64).reshape(seeds, -1, BIN)
    return parts.mean(axis=2)


def _learned(name: str, setting: Setting, task: Task, length: int) -> dict[str, Any]:
    """Return the curves of a meta-trained optimizer and the monitor's results."""
    config, theta = experiments()[name], load(KEPT / f"{name}.npz").meta_parameters
    found = training_curves(
        task,
        config.optimizer_config.make,
        jax.tree.map(lambda leaf: leaf[None], theta),
        length,
        held_out_keys(setting.seeds),
        _progress(name, length),
    )[0]
    if not is_monitored(name):
        return {"curves": found}
    horizon = setting.horizon
    places = (horizon // 10, horizon, *([10 * horizon] if name in BEYOND else []))
    watch = probe(config, task)
    assert isinstance(watch, Probe)  # not the exact one of the linear optimizer
    report = replace(watch, steps=places).measure(theta).to_json()
    shown = ("inner_step", "verdict", "radius", "oscillatory_radius", "ascent_radius", "sharpness")
    points = [{key: point[key] for key in shown} for point in report["points"]]
    return {"curves": found, "monitor": rounded(points, 5)}


def is_monitored(name: str) -> bool:
    """Whether the monitor measures a run: on the ConvNet, where it is slow, one is measured."""
    return setting_of(name) is not CIFAR or name in BEYOND


def _baseline(name: str, setting: Setting, task: Task, length: int) -> dict[str, Any]:
    """Return the candidates with their meta-losses, the best constants, and their curves."""
    adam, _, nadamw = baselines(search=DRAWS)
    keys = held_out_keys(setting.seeds)
    found: dict[str, Any] = {}
    chosen = adam._replace(candidates=[{"learning_rate": rate} for rate in RATES])
    if name.endswith("nadamw"):
        found["screened"] = _search(nadamw, setting, task, keys[:1])
        order = np.argsort([one["meta_loss"] for one in found["screened"]])[:FINALISTS]
        chosen = nadamw._replace(candidates=[nadamw.candidates[i] for i in order])
    found["search"] = _search(chosen, setting, task, keys)
    best = min(found["search"], key=lambda one: one["meta_loss"])["constants"]
    tuned = tune(
        chosen._replace(candidates=[best]), task, BIN, length, keys,
        _progress(name, length),
    )  # fmt: skip
    return {"curves": tuned.curves, "constants": rounded(best, 4), **rounded(found, 5)}


def _wide(name: str, setting: Setting, task: Task, length: int) -> dict[str, Any]:
    """Return the losses of a thousand draws of NAdamW and the curves of the best, whose schedule
    ends at the horizon.
    """
    keys = held_out_keys(setting.seeds)
    screening = _progress(name, RANDOM_SEARCH * setting.horizon)
    found, best, entrant = search(setting, task, keys, advance=screening)
    theta, progress = stacked([best.theta]), _progress(name, length)
    curves = training_curves(task, entrant.make, theta, length, keys, progress)[0]
    return {"curves": curves, "constants": rounded(best.constants, 4), **found}


def _search(
    baseline: Baseline, setting: Setting, task: Task, keys: jax.Array
) -> list[dict[str, Any]]:
    """Return every candidate with its mean meta-loss."""
    found = []
    for first in range(0, len(baseline.candidates), FINALISTS):
        group = baseline.candidates[first : first + FINALISTS]
        each = {n: np.array([c[n] for c in group], np.float32) for n in group[0]}
        curves = training_curves(task, baseline.make, each, setting.horizon, keys)
        for constants, own in zip(group, curves, strict=True):
            mean = meta_loss(own, setting.horizon, task.loss_ceiling).mean()
            found.append({"constants": constants, "meta_loss": float(mean)})
    return found


def _progress(name: str, total: int) -> Callable[[int], None]:
    done = [0]

    def advance(taken: int) -> None:
        done[0] += taken
        print(f"\r{name}: {min(done[0] / total, 1):.0%} ", end="", file=sys.stderr, flush=True)

    return advance


def is_kept(name: str) -> bool:
    """Whether the curves of a run are kept."""
    return (KEPT / f"{name}.inner.json").exists()


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
