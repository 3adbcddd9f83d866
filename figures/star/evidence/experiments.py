"""The outcomes of the meta-training runs and of their use beyond the horizon."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from figures.engine.averages import moving_average, smooth
from figures.engine.store import rounded
from figures.star import inner_runs, meta_runs

Array = NDArray[np.float64]

# The level of the meta-loss is a mean over so many outer steps, one episode of both pairs.
EPISODE = 40


def collect(name: str) -> dict[str, Any]:
    """Return all results about one optimizer; missing runs are done first."""
    known = meta_runs.experiments()
    if name in known and meta_runs.state(name) != "kept":
        meta_runs.do(name, known[name])
    if not inner_runs.is_kept(name):
        inner_runs.do(name)
    found = inner(meta_runs.kept(f"{name}.inner"))
    if inner_runs.is_kept(f"{name}{inner_runs.FAR}"):
        found["far"] = inner(meta_runs.kept(f"{name}{inner_runs.FAR}.inner"))
    return {**found, **outer(name)} if name in known else found


def outer(name: str) -> dict[str, Any]:
    """Return the meta-losses of a kept run: smoothed, their level, and the share that is cut."""
    run = meta_runs.kept(name)
    losses = np.array(run["meta_loss"])
    return {
        "outer": rounded(moving_average(losses)[9::10], 4),
        "level": rounded(smooth(losses, EPISODE), 4),
        "lost": run["diverged"],
    }


def inner(kept: dict[str, Any]) -> dict[str, Any]:
    """Return the outcome of held-out seeds: losses, events, and points of their curves."""
    losses = np.array(kept["losses"], float)
    bins, length = kept["horizon"] // kept["bin"], losses.shape[1]
    window = max(1, bins // 10)
    level = losses[:, bins - window : bins].mean(axis=1)
    # Means over a tenth of the horizon, so that a rise is one of the run and not of a batch.
    coarse = losses[:, : length // window * window].reshape(len(losses), -1, window).mean(axis=2)
    edges = points(length)
    thinned = [losses[:, a:b].mean(axis=1) for a, b in pairwise(edges)]
    width = window * kept["bin"]
    found = {
        "meta_loss": kept["meta_loss"],
        "at_horizon": level,
        "final": losses[:, -window:].mean(axis=1),
        "best": np.where(np.isfinite(coarse), coarse, np.inf).min(axis=1),
        "steps": kept["steps"],
        "ceiling": kept["ceiling"],
        "diverges": [first_above(row, kept["ceiling"], kept["bin"]) for row in losses],
        "rises": [
            rises_for_good(row, at, width, kept["horizon"])
            for row, at in zip(coarse, level, strict=True)
        ],
        "at": edges[1:] * kept["bin"],
        "curves": rounded(np.array(thinned).T, 4),
    }
    extra = {key: kept[key] for key in ("monitor", "constants", "search") if key in kept}
    return {**rounded(found, 5), **extra}


def points(length: int, count: int = 160) -> NDArray[np.intp]:
    """Return the edges of bins that widen logarithmically."""
    return np.unique(np.round(np.geomspace(1, length + 1, count)).astype(int)) - 1


def first_above(curve: Array, ceiling: float, width: int) -> int | None:
    """Return the inner step where the first bin that is not finite or above the ceiling begins.

    Examples
    --------
    >>> first_above(np.array([1.0, 2.0, np.nan]), 3.0, 50), first_above(np.ones(3), 3.0, 50)
    (100, None)
    """
    above = np.flatnonzero(~(curve <= ceiling))
    return int(above[0]) * width if above.size else None


def rises_for_good(curve: Array, level: float, width: int, horizon: int) -> int | None:
    """Return the inner step, from the horizon on, after which all bins are above the level.

    Examples
    --------
    >>> rises_for_good(np.array([3.0, 2.0, 1.5, 2.5, np.nan]), 2.0, 10, 20)
    30
    >>> rises_for_good(np.array([3.0, 2.0, 2.5, 1.9]), 2.0, 10, 20) is None
    True
    """
    below = np.flatnonzero(curve <= level)
    last = (int(below[-1]) + 1) * width if below.size else 0
    return None if last >= curve.size * width else max(last, horizon)


def outer_steps_to(level: Array, target: float) -> int | None:
    """Return the first outer step, after a whole episode, whose level is at most the target.

    Examples
    --------
    >>> falling = np.linspace(3.0, 1.0, 101)
    >>> outer_steps_to(falling, 2.0), outer_steps_to(falling, 2.9), outer_steps_to(falling, 0.5)
    (51, 40, None)
    """
    below = np.flatnonzero(np.asarray(level, float)[EPISODE - 1 :] <= target)
    return int(below[0]) + EPISODE if below.size else None
