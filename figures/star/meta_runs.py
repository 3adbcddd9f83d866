"""The meta-training runs behind Figure 3 and its ablations: done one after another, kept small.

    python -m figures.star.meta_runs              list them and how far each is
    python -m figures.star.meta_runs NAME ...     do these; what was stopped goes on
    python -m figures.star.meta_runs --all        do all that are missing, in order

A run works in runs/experiments/NAME. What is kept of it when it is complete is in
figures/results/runs: NAME.json with configuration, versions, meta-losses and what the monitor saw,
and NAME.npz with the meta-parameters.
"""

import json
import shutil
import sys
from contextlib import suppress
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from figures.engine import listing
from figures.engine.figure import RESULTS, ROOT
from figures.engine.store import rounded, write
from lopt.cli.display import Display
from lopt.meta.config import TrainConfig
from lopt.meta.presets import presets
from lopt.meta.run.directory import RunDirectory
from lopt.meta.training.loop import train
from lopt.meta.training.watch import Watch

# The same for every run. The paper has 10 times smaller a learning rate, constant, and prints
# neither outer steps nor particles.
BUDGET: dict[str, Any] = {
    "outer_steps": 600,
    "pairs": 2,
    "devices": 1,
    "learning_rate": 1e-3,
    "final_learning_rate": 0.1,
    "monitor_every": 0,
    # A random last layer pushes all weights one way before anything is learned. With it Blackbox
    # at the printed constants never leaves the loss of chance (blackbox-printed).
    "initial_head_scale": 0.0,
}
# The paper's beta_1 is 1e-3, for which tuned Adam's rate is the better start.
NOMINAL: dict[str, Any] = {"nominal_step": 0.003}
TASK = "fashion-mnist-mlp"
SEEDS = {"star-wd0.1": 3, "star-wd0.5": 3, "blackbox": 3, "hyperparam": 3}
PLACE, KEPT = ROOT / "runs" / "experiments", RESULTS / "runs"


def experiments() -> dict[str, TrainConfig]:
    """Every run by name, those of Figure 3 first, seed by seed."""
    found = {}
    for name, preset in presets().items():
        task, _, kind = name.partition(f"{TASK}-")
        if task or kind == "star-adamaggmo":  # which is star-wd0.1
            continue
        config = TrainConfig.from_mapping({**preset.values, **BUDGET})
        if config.optimizer != "blackbox" and config.nominal_term != "none":
            config = replace(config, **NOMINAL)
        for seed in range(SEEDS.get(kind, 1)):
            found[f"{kind}-{seed}"] = replace(config, seed=seed)
    ordered = dict(sorted(found.items(), key=lambda item: _order(*item)))
    return {**ordered, **_besides(ordered)}


def _besides(found: dict[str, TrainConfig]) -> dict[str, TrainConfig]:
    """Runs beside the comparison: a smaller beta_3; random heads, for longer; and the four of
    Figure 3 with ten times the outer steps.
    """
    long: dict[str, Any] = {
        "initial_head_scale": None, "outer_steps": 2000, "devices": 2, "monitor_every": 500,
    }  # fmt: skip
    star, blackbox = found["star-wd0.1-0"], found["blackbox-0"]
    return {
        "star-small-blackbox": replace(star, blackbox_step=1e-6),
        "star-wd0.1-long": replace(star, **long),
        "blackbox-printed": replace(blackbox, **long),
        **{
            f"{kind}-10x": replace(found[f"{kind}-0"], outer_steps=10 * BUDGET["outer_steps"])
            for kind in SEEDS
        },
    }


def _order(name: str, config: TrainConfig) -> tuple[bool, int]:
    return name.rpartition("-")[0] not in SEEDS, config.seed


def do(name: str, config: TrainConfig) -> None:
    """Go on with a run to its end, and keep what is small of it."""
    run, task = RunDirectory(PLACE / name), config.make_task()
    if not run.result.exists():
        resume, watch = run.config_file.exists(), Watch(config, task)
        with Display(config, run.path) as display:
            train(config, run, task=task, resume=resume, monitor=watch.measure, observer=display)
    if run.read_config() != config:
        raise ValueError(f"{run.path} holds another run. Remove it.")
    KEPT.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run.result, KEPT / f"{name}.npz")
    write(KEPT / f"{name}.json", json.dumps(summary(run)) + "\n")


def summary(run: RunDirectory) -> dict[str, Any]:
    """What is kept of a complete run."""
    lines = run.read_metrics()
    steps = [line for line in lines if "meta_loss" in line]
    seen = [
        {"outer_step": line["outer_step"], **_short(line["monitor"])}
        for line in lines
        if "monitor" in line
    ]
    return {
        **json.loads(run.config_file.read_text("utf-8")),
        "skipped": steps[-1]["skipped"],
        "diverged": rounded(float(np.mean([line["diverged"] for line in steps])), 3),
        "meta_loss": rounded([line["meta_loss"] for line in steps], 4),
        "monitor": seen,
    }


def _short(report: dict[str, Any]) -> dict[str, Any]:
    names = ("inner_step", "verdict", "sharpness", "radius", "oscillatory_radius", "ascent_radius")
    points = [rounded({name: p[name] for name in names}, 5) for p in report["points"]]
    return {"verdict": report["verdict"], "direction": report["direction"], "points": points}


def state(name: str) -> str:
    """How far a run is."""
    if (KEPT / f"{name}.json").exists():
        return listing.KEPT
    lines = RunDirectory(PLACE / name).read_metrics()
    return f"outer step {lines[-1]['outer_step']}" if lines else "not begun"


def main(arguments: list[str]) -> int:
    """List the runs, or do those that are asked for; return the exit code."""
    known = experiments()

    def run(name: str) -> None:
        with suppress(RuntimeError):  # JAX has started
            jax.config.update("jax_num_cpu_devices", BUDGET["devices"])
        do(name, known[name])

    states = {name: state(name) for name in known}
    return listing.main("meta_runs", arguments, states, run, nothing="no run")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
