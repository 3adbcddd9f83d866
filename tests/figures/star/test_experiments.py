"""Outcomes follow from the curves of a run, and pages and cards from the results."""

import json
from dataclasses import replace
from types import MappingProxyType, SimpleNamespace

import jax
import numpy as np
import optax
import pytest

import lopt
from figures.engine.averages import moving_average
from figures.general.ship import NAME as GENERAL
from figures.star import inner_runs, meta_runs, ship
from figures.star.claims import RUNS
from figures.star.evidence.experiments import collect, inner, outer_steps_to, rises_for_good
from figures.star.evidence.verdicts import Claim, against, has_learned, lower
from figures.star.inner_runs import binned
from figures.star.settings import CIFAR, setting_of
from lopt.meta.evaluation.curves import held_out_keys, training_curves
from lopt.optimizers.files.saved import SHIPPED, card
from tests.lopt.meta.quick import bowl


def kept(losses, horizon=1000, width=50):
    """Return a kept record with these losses, one entry per bin."""
    losses = np.array(losses, float)
    return {
        "losses": losses, "horizon": horizon, "bin": width, "steps": losses.shape[1] * width,
        "ceiling": 3.0, "meta_loss": losses[:, : horizon // width].mean(axis=1),
    }  # fmt: skip


def test_outcomes_of_curves_that_are_known() -> None:
    """With horizon 1000 and bins of 50, its last tenth is bins 18 and 19, at level 1.0."""
    down = np.concatenate([np.full(18, 2.0), np.full(2, 1.0), np.full(20, 0.5)])
    up = np.concatenate([np.full(18, 2.0), np.full(2, 1.0), np.full(6, 0.8), np.full(14, 1.2)])
    away = np.concatenate([np.full(18, 2.0), np.full(2, 1.0), np.full(11, 0.9), np.full(9, np.nan)])
    found = inner(kept([down, up, away]))
    assert found["at_horizon"] == [1.0, 1.0, 1.0]
    assert found["final"] == [0.5, 1.2, None]
    assert found["best"] == [0.5, 0.8, 0.9]
    assert found["diverges"] == [None, None, 31 * 50]
    # The last windows of two bins that are at most 1.0 end at bins 26 and 30.
    assert found["rises"] == [None, 26 * 50, 30 * 50]
    assert found["at"][-1] == 40 * 50
    curves = np.array(found["curves"], float)
    assert curves.shape == (3, len(found["at"]))
    np.testing.assert_allclose(curves[0, -1], 0.5)


def test_a_loss_that_never_comes_back_rises_at_the_horizon() -> None:
    assert rises_for_good(np.array([2.0, 1.0, 1.5, 1.5]), 0.9, 100, 200) == 200
    assert rises_for_good(np.array([2.0, 1.0, 1.5, 0.8]), 0.9, 100, 200) is None


def test_moving_average_is_a_weighted_mean() -> None:
    values = np.random.default_rng(0).normal(size=30)
    weights = 0.98 ** np.arange(30)[::-1]
    np.testing.assert_allclose(moving_average(values)[-1], weights @ values / weights.sum())


def test_a_comparison_is_by_seed_of_use_and_counts_divergence_as_the_ceiling() -> None:
    data = {
        "a": {"meta_loss": [1.0, 1.0], "ceiling": 3.0},
        "b": {"meta_loss": [2.0, None], "ceiling": 3.0},
        "c": {"meta_loss": [4.0, 0.0], "ceiling": 3.0},
    }
    np.testing.assert_allclose(against(data, ["a"], ["b"]), [1.0, 2.0])
    np.testing.assert_allclose(against(data, ["a"], ["b", "c"]), [1.5, 0.5])
    assert lower(np.array([1.0, -3.0])) == "1.0000 ± 2.8284 higher, lower on 1 of 2 seeds"


@pytest.mark.parametrize(
    ("conditions", "verdict"),
    [
        ((True, True), "**holds**"),
        ((False, True), "**holds in part**"),
        ((False, False), "**does not hold**"),
        ((), "**not tested**"),
    ],
)
def test_a_claim_holds_if_all_of_its_conditions_do(conditions, verdict) -> None:
    cells = Claim(
        "A claim", [np.bool_(met) for met in conditions], "numbers", "python -m figures"
    ).cells()
    assert cells == ("A claim", verdict, "numbers", "`python -m figures`")


def test_an_optimizer_that_stays_at_the_loss_of_chance_has_not_learned() -> None:
    def at(*losses: float | None) -> dict:
        return {"run": {"at_horizon": list(losses), "ceiling": 1.5 * np.log(10)}}

    chance = np.log(10)
    assert not has_learned(at(chance, 0.98 * chance), ["run"])
    assert not has_learned(at(chance, None), ["run"])  # it has diverged, which is no learning
    assert has_learned(at(chance, 0.9 * chance), ["run"])


def test_bins_keep_what_is_not_finite() -> None:
    curves = np.ones((1, 110), np.float32)
    curves[0, 60] = np.nan
    np.testing.assert_array_equal(binned(curves), [[1.0, np.nan]])


def test_outer_steps_count_from_the_first_whole_episode() -> None:
    level = np.concatenate([np.zeros(30), np.ones(30)])
    assert outer_steps_to(level, 0.5) is None
    assert outer_steps_to(level, 1.0) == 40


def test_an_unknown_name_is_one_line(capsys) -> None:
    assert inner_runs.main(["adamw"]) == 2
    assert "no run is called adamw" in capsys.readouterr().err
    assert ship.main(["--again"]) == 2


def test_training_stops_where_everything_is_nan(monkeypatch) -> None:
    """With a step that is far too large, training stops after a chunk; the rest is NaN, too."""
    monkeypatch.setattr("lopt.meta.evaluation.curves.CHUNK", 200)
    taken = []
    curves = training_curves(
        bowl(), optax.sgd, np.array([1e6], np.float32), 1000, held_out_keys(2),
        taken.append,
    )  # fmt: skip
    assert curves.shape == (1, 2, 1000)
    assert sum(taken) == 200
    assert np.isnan(curves[..., 200:]).all()
    fine = training_curves(
        bowl(), optax.sgd, np.array([1e6, 1e-3], np.float32), 1000,
        held_out_keys(2),
    )  # fmt: skip
    assert np.isnan(fine[0, :, -1]).all()
    assert np.isfinite(fine[1]).all()


def test_more_held_out_seeds_join_those_that_are_kept(tmp_path, monkeypatch) -> None:
    config = lopt.TrainConfig(optimizer="hyperparam")
    theta = lopt.init_meta_parameters(jax.random.key(0), config.optimizer_config)
    small = replace(CIFAR, budget=MappingProxyType({"horizon": 100}), seeds=1)
    looked = []

    def monitor(*of):
        looked.append(of)
        return [{"verdict": "stable"}]

    def do(name, seeds):
        monkeypatch.setattr(inner_runs, "setting_of", lambda name: replace(small, seeds=seeds))
        inner_runs.do(name)
        return meta_runs.kept(f"{name}.inner")

    for module in (inner_runs, meta_runs):
        monkeypatch.setattr(module, "KEPT", tmp_path)
    monkeypatch.setattr(inner_runs, "experiments", lambda: dict.fromkeys(("a", "b"), config))
    monkeypatch.setattr(inner_runs, "load", lambda path: SimpleNamespace(meta_parameters=theta))
    monkeypatch.setattr(inner_runs, "_task", lambda name: bowl())
    monkeypatch.setattr(inner_runs, "_monitored", monitor)
    first = do("a", 1)
    monkeypatch.setattr(inner_runs, "setting_of", lambda name: replace(small, seeds=3))
    assert not inner_runs.is_kept("a")
    more, whole = do("a", 3), do("b", 3)
    assert inner_runs.is_kept("a")
    assert more["losses"][:1] == first["losses"]
    np.testing.assert_allclose(more["losses"], whole["losses"], rtol=1e-3)
    np.testing.assert_allclose(more["meta_loss"], whole["meta_loss"], rtol=1e-3)
    assert {**more, "losses": 0, "meta_loss": 0} == {**whole, "losses": 0, "meta_loss": 0}
    assert len(looked) == 2  # once for each


@pytest.mark.parametrize("name", sorted(RUNS))
def test_everything_behind_the_page_is_kept(name) -> None:
    """The meta-parameters fit the configuration, and all losses and seeds are kept."""
    known = meta_runs.experiments()
    assert inner_runs.is_kept(name)
    found = collect(name)
    assert len(found["meta_loss"]) == setting_of(name).seeds
    assert found["steps"] == setting_of(name).steps
    if name in known:
        config = known[name]
        record = json.loads((meta_runs.KEPT / f"{name}.json").read_text("utf-8"))
        assert lopt.TrainConfig.from_mapping(record["config"]) == config
        assert len(record["meta_loss"]) == config.outer_steps
        saved = lopt.load(meta_runs.KEPT / f"{name}.npz")
        assert saved.config == config.optimizer_config
        assert (meta_runs.KEPT / f"{name}.npz").stat().st_size < 1e6


def test_cards_are_of_the_results() -> None:
    evidence = json.loads(ship.EVIDENCE.read_text("utf-8"))
    for name, run in ship.CHOSEN.items():
        assert card(name) == ship.card(name, evidence)
        own, source = lopt.load(name), lopt.load(meta_runs.KEPT / f"{run}.npz")
        assert own.config == source.config
        assert source.origin["run"]["initial_head_scale"] == 0  # the text of the cards says so
        for a, b in zip(
            jax.tree.leaves(own.meta_parameters),
            jax.tree.leaves(source.meta_parameters),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)
    assert {path.stem for path in SHIPPED.iterdir()} == {*ship.CHOSEN, GENERAL}
