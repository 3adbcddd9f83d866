"""NAdamW as the authors' package tunes it: a thousand draws with schedules, judged by their end."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from figures.engine.figure import ROOT
from figures.engine.store import rounded
from figures.star.settings import Setting
from lopt.meta.evaluation import records
from lopt.meta.evaluation.curves import clipped, training_curves
from lopt.meta.evaluation.entrants import NADAMW, Entrant, nadamw_entrant, stacked
from lopt.meta.evaluation.suite import evaluate_suite
from lopt.optimizers.baselines import RANDOM_SEARCH
from lopt.tasks.task import Task

PLACE = ROOT / "runs" / "search"
# Draws that are judged on all seeds after all were judged on one.
FINALISTS = 8
# A suite has Adam too.
RATES = (1e-3,)


def search(
    setting: Setting,
    task: Task,
    keys: jax.Array,
    draws: int = RANDOM_SEARCH,
    place: Path = PLACE,
    advance: Callable[[int], None] = lambda steps: None,
) -> tuple[dict[str, Any], dict[str, float], Entrant]:
    """Train with every draw over the horizon on one seed and with the best on all.

    Finished draws are kept in runs/search, so that an interrupted search goes on.

    Returns
    -------
    found
        Final and mean losses of all draws on one seed (`screened`) and of the finalists on all
        (`search`); the final loss is the mean over the last tenth of the horizon.
    constants
        Those of the draw with the least final loss, averaged over the seeds.
    entrant
        NAdamW over all draws.
    """
    horizon = setting.horizon
    evaluate_suite(
        {}, [task], place, seeds=1, rates=RATES, draws=draws, steps=horizon, advance=advance
    )
    entrant = nadamw_entrant(draws, horizon)
    head = {
        "task": task.name,
        "optimizer": NADAMW,
        "steps": horizon,
        "identity": entrant.identity,
        "own": None,
    }
    record = records.read(place, head)
    each = [record.of(candidate.constants, 1) for candidate in entrant.candidates]
    screened = _ends(np.stack(each), task.loss_ceiling)
    order = np.argsort(screened["final"], kind="stable")[:FINALISTS]
    chosen = [entrant.candidates[i] for i in order]
    thetas = stacked([candidate.theta for candidate in chosen])
    curves = training_curves(task, entrant.make, thetas, horizon, keys)
    judged = _ends(records.binned(curves), task.loss_ceiling)
    best = chosen[int(np.argmin(judged["final"]))]
    finals = [
        {"constants": c.constants, "final": final, "meta_loss": mean}
        for c, final, mean in zip(chosen, judged["final"], judged["mean"], strict=True)
    ]
    return rounded({"screened": screened, "search": finals}, 5), best.constants, entrant


def _ends(curves: Any, ceiling: float) -> dict[str, Sequence[float]]:
    """Final and mean losses of binned curves ``[draws, seeds, points]``, averaged over seeds."""
    cut = clipped(curves, ceiling)
    last = max(1, cut.shape[-1] // 10)
    return {"final": cut[..., -last:].mean(axis=(1, 2)), "mean": cut.mean(axis=(1, 2))}
