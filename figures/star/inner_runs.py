"""Training with the meta-trained optimizers far beyond their horizon, and with tuned baselines.

    python -m figures.star.inner_runs              list the runs and their states
    python -m figures.star.inner_runs NAME ...     train with these
    python -m figures.star.inner_runs --all        train with all that are missing, in order

NAME is a kept run of figures.star.meta_runs, `adam` or `nadamw`. Five held-out seeds train for ten
horizons, or for fifty with NAME-far. figures/results/runs/NAME.inner.json keeps means of the
training loss over bins of 50 steps for each seed, and the results of the monitor at a tenth of the
horizon and at the horizon, for the runs in BEYOND also at ten times the horizon.
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
from figures.star.meta_runs import KEPT, TASK, experiments
from lopt.meta.evaluation.curves import held_out_keys, meta_loss, training_curves
from lopt.meta.evaluation.tuning import Baseline, baselines, tune
from lopt.meta.training.watch import probe
from lopt.monitor import Probe
from lopt.optimizers.files.saved import load
from lopt.tasks.registry import make_task
from lopt.tasks.task import Task

SEEDS, HORIZON, STEPS, LONG, BIN = 5, 2000, 20_000, 100_000, 50
HEADLINE = ("star-wd0.1-0", "blackbox-0", "hyperparam-0", "adam")
FAR = "-far"
BLOCKED = "its meta-training is missing"
# The runs that the monitor also measures beyond the horizon.
BEYOND = ("star-wd0.1-0", "star-wd0.5-0", "blackbox-0", "hyperparam-0")
# The number of random draws for NAdamW, judged on one seed, and of those judged on all seeds.
DRAWS, FINALISTS = 64, 8
BASELINES = ("adam", "nadamw")


def names() -> list[str]:
    """The names of all runs."""
    return [*BASELINES, *experiments(), *(f"{name}{FAR}" for name in HEADLINE)]


@cache
def _task() -> Task:
    return make_task(TASK)


def steps(name: str) -> int:
    """The number of inner steps of each seed."""
    return LONG if name.endswith(FAR) else STEPS


def do(name: str) -> None:
    """Train with an optimizer and keep the outcome."""
    own = name.removesuffix(FAR)
    found = _baseline(own, steps(name)) if own in BASELINES else _learned(own, steps(name))
    curves = found.pop("curves")
    kept = {
        "task": TASK,
        "horizon": HORIZON,
        "steps": curves.shape[1],
        "bin": BIN,
        "ceiling": rounded(_task().loss_ceiling, 6),
        "meta_loss": rounded(meta_loss(curves, HORIZON, _task().loss_ceiling), 5),
        **found,
        "losses": rounded(binned(curves), 4),
    }
    write(KEPT / f"{name}.inner.json", json.dumps(kept) + "\n")


def binned(curves: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return means over bins of `BIN` steps, ``[seeds, bins]``; they may not be finite."""
    seeds, length = curves.shape
    parts = curves[:, : length // BIN * BIN].astype(np.float64).reshape(seeds, -1, BIN)
    return parts.mean(axis=2)


def _learned(name: str, length: int) -> dict[str, Any]:
    """Return the curves of a meta-trained optimizer and the monitor's results."""
    config, theta = experiments()[name], load(KEPT / f"{name}.npz").meta_parameters
    found = training_curves(
        _task(),
        config.optimizer_config.make,
        jax.tree.map(lambda leaf: leaf[None], theta),
        length,
        held_out_keys(SEEDS),
        _progress(name, SEEDS * length),
    )[0]
    places = (HORIZON // 10, HORIZON, *([10 * HORIZON] if name in BEYOND else []))
    watch = probe(config, _task())
    assert isinstance(watch, Probe)  # not the exact one of the linear optimizer
    report = replace(watch, steps=places).measure(theta).to_json()
    shown = ("inner_step", "verdict", "radius", "oscillatory_radius", "ascent_radius", "sharpness")
    points = [{key: point[key] for key in shown} for point in report["points"]]
    return {"curves": found, "monitor": rounded(points, 5)}


def _baseline(name: str, length: int) -> dict[str, Any]:
    """Return the candidates with their meta-losses, the best constants, and their curves."""
    adam, _, nadamw = baselines(search=DRAWS)
    keys, task = held_out_keys(SEEDS), _task()
    found: dict[str, Any] = {}
    chosen = adam
    if name == "nadamw":
        found["screened"] = _search(nadamw, keys[:1])
        order = np.argsort([one["meta_loss"] for one in found["screened"]])[:FINALISTS]
        chosen = nadamw._replace(candidates=[nadamw.candidates[i] for i in order])
    found["search"] = _search(chosen, keys)
    best = min(found["search"], key=lambda one: one["meta_loss"])["constants"]
    tuned = tune(
        chosen._replace(candidates=[best]), task, BIN, length, keys,
        _progress(name, SEEDS * length),
    )  # fmt: skip
    return {"curves": tuned.curves, "constants": rounded(best, 4), **rounded(found, 5)}


def _search(baseline: Baseline, keys: jax.Array) -> list[dict[str, Any]]:
    """Return every candidate with its mean meta-loss."""
    found = []
    for first in range(0, len(baseline.candidates), FINALISTS):
        group = baseline.candidates[first : first + FINALISTS]
        stacked = {n: np.array([c[n] for c in group], np.float32) for n in group[0]}
        curves = training_curves(_task(), baseline.make, stacked, HORIZON, keys)
        for constants, own in zip(group, curves, strict=True):
            mean = meta_loss(own, HORIZON, _task().loss_ceiling).mean()
            found.append({"constants": constants, "meta_loss": float(mean)})
    return found


def _progress(name: str, total: int) -> Callable[[int], None]:
    done = [0]

    def advance(taken: int) -> None:
        done[0] += taken * SEEDS
        print(f"\r{name}: {min(done[0] / total, 1):.0%} ", end="", file=sys.stderr, flush=True)

    return advance


def is_kept(name: str) -> bool:
    """Whether the curves of a run are kept."""
    return (KEPT / f"{name}.inner.json").exists()


def can_be_done(name: str) -> bool:
    """Whether the meta-training that a run needs is kept."""
    own = name.removesuffix(FAR)
    return own in BASELINES or (KEPT / f"{own}.npz").exists()


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
