"""NAdamW as the authors' package tunes it: a thousand draws with schedules, judged by their end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from figures.engine.figure import ROOT
from figures.engine.store import rounded
from figures.star.settings import Setting
from lopt.meta.evaluation import records
from lopt.meta.evaluation.curves import training_curves
from lopt.meta.evaluation.entrants import NADAMW, Candidate, Entrant, nadamw_entrant, stacked
from lopt.meta.evaluation.outcome import Row
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
) -> tuple[dict[str, Any], Candidate, Entrant]:
    """Train with every draw over the horizon on one seed and with the best on all.

    Finished draws are kept in runs/search, so that an interrupted search goes on.

    Returns
    -------
    found
        Final and mean losses of all draws on one seed (`screened`) and of the finalists on all
        (`search`); the final loss is the mean over the last tenth of the horizon.
    best
        The draw with the least final loss, averaged over the seeds.
    entrant
        NAdamW over all draws.
    """
    horizon = setting.horizon
    evaluate_suite(
        {}, [task], place, seeds=1, rates=RATES, draws=draws, steps=horizon, advance=advance
    )
    entrant = nadamw_entrant(draws, horizon)
    record = records.read(place, records.head_of(task.name, entrant, horizon))
    screened = [
        Row(NADAMW, c.constants, record.of(c.constants, 1), task.loss_ceiling)
        for c in entrant.candidates
    ]
    order = np.argsort([row.final.mean() for row in screened], kind="stable")[:FINALISTS]
    chosen = [entrant.candidates[i] for i in order]
    thetas = stacked([candidate.theta for candidate in chosen])
    curves = records.binned(training_curves(task, entrant.make, thetas, horizon, keys))
    judged = [
        Row(NADAMW, c.constants, own, task.loss_ceiling)
        for c, own in zip(chosen, curves, strict=True)
    ]
    best = chosen[int(np.argmin([row.final.mean() for row in judged]))]
    found = {
        "screened": {
            "final": [row.final.mean() for row in screened],
            "mean": [row.mean.mean() for row in screened],
        },
        "search": [
            {
                "constants": row.constants,
                "final": row.final.mean(),
                "meta_loss": row.mean.mean(),
            }
            for row in judged
        ],
    }
    return rounded(found, 5), best, entrant
