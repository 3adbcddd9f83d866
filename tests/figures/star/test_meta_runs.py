"""The runs behind Figure 3 are complete, share a budget, and keep their results."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

import lopt
from figures.star import full_size, meta_runs
from lopt.meta.config import TrainConfig


def test_every_variant_has_its_seeds_and_the_same_budget() -> None:
    found = meta_runs.experiments()
    for kind in ("star-wd0.1", "star-wd0.5", "blackbox", "hyperparam"):
        assert [found[f"{kind}-{seed}"].seed for seed in range(3)] == [0, 1, 2]
    compared = {name: c for name, c in found.items() if name.rpartition("-")[2].isdigit()}
    ablations = {name.rpartition("-")[0] for name in compared} - meta_runs.SEEDS.keys()
    assert ablations == {f"star-{term}" for term in ("sgd", "sgdm", "aggmo", "adam")} | {
        "star-wd0",
        "star-wd1.0",
        "star-no-preconditioner",
        "star-no-nominal",
    }
    for name, config in found.items():
        shared = (config.task, config.horizon, config.truncation, config.sigma, config.clip)
        assert shared == ("fashion-mnist-mlp", 2000, 50, 0.01, 1.0)
        if name in compared:
            assert meta_runs.BUDGET.items() <= asdict(config).items()
    assert [name.rpartition("-")[2] for name in found][:12] == [s for s in "012" for _ in range(4)]
    assert found["star-wd0.1-0"].optimizer_config.nominal_term == "AdamAggMo"  # no run of its own


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
