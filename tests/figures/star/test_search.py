"""The search of NAdamW: every draw over the horizon, the best by their end, interrupted or not."""

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import jax
import numpy as np
import pytest

from figures.star import search as module
from figures.star.search import search
from figures.star.settings import CIFAR, Setting
from lopt.meta.evaluation.curves import held_out_keys, training_curves
from tests.lopt.meta.quick import bowl

HORIZON, DRAWS = 20, 5


@pytest.fixture(scope="module")
def setting() -> Setting:
    """A task with a horizon of a few steps."""
    return replace(CIFAR, budget=MappingProxyType({"horizon": HORIZON}))


def test_the_draw_with_the_least_end_on_all_seeds_is_chosen(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FINALISTS", 3)
    task, keys = bowl(), held_out_keys(2)
    found, best, entrant = search(setting, task, keys, DRAWS, tmp_path)
    ends, means = [], []
    for candidate in entrant.candidates:
        theta = {name: np.float32([value]) for name, value in candidate.constants.items()}
        curves = np.asarray(training_curves(task, entrant.make, theta, HORIZON, keys)[0], float)
        cut = np.minimum(np.where(np.isfinite(curves), curves, np.inf), task.loss_ceiling)
        ends.append(cut[:, -HORIZON // 10 :].mean(axis=1))
        means.append(cut.mean(axis=1))
    first = np.array([end[0] for end in ends])
    np.testing.assert_allclose(found["screened"]["final"], first, rtol=1e-3)
    np.testing.assert_allclose(found["screened"]["mean"], [m[0] for m in means], rtol=1e-3)
    finalists = np.argsort(first)[:3]
    chosen = min(finalists, key=lambda i: ends[i].mean())
    assert best.constants == entrant.candidates[chosen].constants
    np.testing.assert_allclose(
        [one["final"] for one in found["search"]], [ends[i].mean() for i in finalists], rtol=1e-3
    )


def test_a_search_goes_on_where_it_was_interrupted(setting: Setting, tmp_path: Path) -> None:
    task, keys = bowl(), held_out_keys(1)
    few, *_ = search(setting, task, keys, 2, tmp_path)
    path = tmp_path / "bowl" / f"NAdamW.{HORIZON}.json"
    before = path.read_text("utf-8")
    again, *_ = search(setting, task, keys, 2, tmp_path)
    assert again == few
    assert path.read_text("utf-8") == before
    more, *_ = search(setting, task, keys, DRAWS, tmp_path)
    assert more["screened"]["final"][:2] == few["screened"]["final"]
    assert jax.tree.structure(more["screened"]["final"]).num_leaves == DRAWS
