"""The runs behind Figure 3 are complete, share a budget, and keep their results."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

import lopt
from figures.star import full_size, meta_runs
from figures.star.settings import CIFAR, COMPARED, FASHION, SETTINGS, Setting, setting_of
from lopt.meta.config import TrainConfig

SHARED = {
    FASHION: ("fashion-mnist-mlp", 2000, 600),
    CIFAR: ("cifar10-16x16-convnet-16x32x32-batch64", 500, 300),
}
ABLATIONS = {"star-wd0", "star-wd1.0", "star-no-preconditioner", "star-no-nominal"}
TERMS = {f"star-{term}" for term in ("sgd", "sgdm", "aggmo", "adam")}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.preset)
def test_every_variant_has_its_seeds_and_the_same_budget(setting: Setting) -> None:
    known = meta_runs.experiments()
    found = {name: known[name] for name in known if setting_of(name) is setting}
    for kind in ("star-wd0.1", "star-wd0.5", "blackbox", "hyperparam"):
        seeds = [found[f"{setting.prefix}{kind}-{seed}"].seed for seed in range(3)]
        assert seeds == [0, 1, 2]
    compared = {name: config for name, config in found.items() if name.rpartition("-")[2].isdigit()}
    kinds = {name.removeprefix(setting.prefix).rpartition("-")[0] for name in compared}
    assert kinds - set(COMPARED) == ABLATIONS | (TERMS if setting is FASHION else set())
    for name, config in found.items():
        shared = (config.truncation, config.sigma, config.clip, config.pairs)
        assert shared == (50, 0.01, 1.0, 2)
        assert (config.task, config.horizon) == SHARED[setting][:2]
        if name in compared:
            assert (config.outer_steps, config.learning_rate) == (SHARED[setting][2], 1e-3)
            assert setting.budget.items() <= asdict(config).items()
    assert [name.rpartition("-")[2] for name in found][:12] == [s for s in "012" for _ in range(4)]
    star = found[f"{setting.prefix}star-wd0.1-0"]
    assert star.optimizer_config.nominal_term == "AdamAggMo"  # no run of its own


def test_both_tasks_differ_in_task_horizon_and_outer_steps_alone() -> None:
    known = meta_runs.experiments()
    for name, config in known.items():
        other = known.get(f"{CIFAR.prefix}{name}")
        if other is not None:
            changed = {"task": config.task, "horizon": 2000, "outer_steps": config.outer_steps}
            assert replace(other, **changed) == config


def test_an_unknown_run_is_one_line(capsys) -> None:
    assert meta_runs.main(["star-wd0.2-0"]) == 2
    err = capsys.readouterr().err
    assert "no run is called star-wd0.2-0" in err
    assert err.count("\n") == 1


def test_what_is_kept_of_a_run(tmp_path, monkeypatch) -> None:
    config = TrainConfig(
        task="quadratic", optimizer="linear", nominal_step=0.2, horizon=6, truncation=3, pairs=2,
        outer_steps=4, devices=1, monitor_every=2,
    )  # fmt: skip
    monkeypatch.setattr(meta_runs, "PLACE", tmp_path / "work")
    monkeypatch.setattr(meta_runs, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(meta_runs, "experiments", lambda: {"small-0": config})
    assert meta_runs.state("small-0") == "not begun"
    assert meta_runs.main(["small-0"]) == 0
    kept = json.loads((tmp_path / "kept/small-0.json").read_text())
    lines = meta_runs.RunDirectory(tmp_path / "work/small-0").read_metrics()
    losses = [line["meta_loss"] for line in lines if "meta_loss" in line]
    np.testing.assert_allclose(kept["meta_loss"], losses, rtol=1e-3)
    assert [seen["outer_step"] for seen in kept["monitor"]] == [0, 2, 4]
    assert kept["monitor"][0]["points"][0]["radius"] < 1
    assert TrainConfig.from_mapping(kept["config"]) == config
    assert lopt.load(tmp_path / "kept/small-0.npz").meta_parameters.shape == (2, 2)
    assert meta_runs.state("small-0") == "kept"
    monkeypatch.setattr(meta_runs, "do", lambda *_: pytest.fail("it is kept already"))
    assert meta_runs.main(["--all"]) == 0


def test_the_full_size_curve_is_of_the_kept_run() -> None:
    kept = json.loads((meta_runs.KEPT / f"{full_size.NAME}.json").read_text())
    assert TrainConfig.from_mapping(kept["config"]) == full_size.RUN
    assert len(kept["meta_loss"]) == full_size.RUN.outer_steps
    saved = lopt.load(meta_runs.KEPT / f"{full_size.NAME}.npz")
    assert saved.config == full_size.RUN.optimizer_config
    assert saved.origin["outer_steps"] == full_size.RUN.outer_steps


def test_stored_results_outlive_fields_that_are_added() -> None:
    """A field at its default is left out where it came later, and is there where it is set."""
    plain = meta_runs.experiments()["star-wd0.1-0"]
    stored = json.loads((meta_runs.KEPT / "star-wd0.1-0.json").read_text("utf-8"))["config"]
    assert set(meta_runs.recorded(plain)) == set(stored)
    changed = replace(plain, meta_objective="validation")
    assert meta_runs.recorded(changed)["meta_objective"] == "validation"
