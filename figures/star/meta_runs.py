"""The meta-training runs behind Figure 3 and its ablations.

    python -m figures.star.meta_runs              list the runs and their states
    python -m figures.star.meta_runs NAME ...     do these; interrupted ones are resumed
    python -m figures.star.meta_runs --all        do all that are missing, in order

A run works in runs/experiments/NAME. When it is complete, figures/results/runs keeps NAME.json,
with configuration, versions, meta-losses and the monitor's results, and NAME.npz, with the
meta-parameters.
"""

import json
import shutil
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

import jax
import numpy as np

from figures.engine import listing
from figures.engine.figure import RESULTS, ROOT
from figures.engine.store import rounded, write
from figures.star.settings import BUDGET, COMPARED, SETTINGS, Setting, tenfold
from lopt.cli.display import Display
from lopt.meta.choices import ONE_MOMENTUM
from lopt.meta.config import TrainConfig
from lopt.meta.presets import presets
from lopt.meta.run.directory import RunDirectory
from lopt.meta.training.loop import train
from lopt.meta.training.mixture import monitor

LATER = (
    *("tasks", "augmentation", "augmentation_min", "augmentation_max", "meta_objective"),
    *("normalize_update", "normalized_step", "inner_schedule", "nominal_decay"),
    "orthogonalize_update",
)
PLACE, KEPT = ROOT / "runs" / "experiments", RESULTS / "runs"


def experiments() -> dict[str, TrainConfig]:
    """Return every run by name, those of Figure 3 first, seed by seed."""
    found = {name: config for one in SETTINGS for name, config in _of(one).items()}
    return {**found, **_besides(found)}


def _of(setting: Setting) -> dict[str, TrainConfig]:
    """The runs of one task."""
    known, found = presets(), {}
    for kind, seeds in setting.kinds.items():
        values = {**known[f"{setting.preset}-{kind}"].values, **setting.budget}
        config = TrainConfig.from_mapping({**values, "task": setting.task})
        # The paper's beta_1 is 1e-3; the rate of tuned Adam is a better initial value.
        if config.optimizer != "blackbox" and config.nominal_term != "none":
            config = replace(config, nominal_step=setting.nominal_step)
        for seed in range(seeds):
            found[f"{setting.prefix}{kind}-{seed}"] = replace(config, seed=seed)

    def order(name: str) -> tuple[bool, int]:
        kind = name.removeprefix(setting.prefix).rpartition("-")[0]
        return kind not in COMPARED, found[name].seed

    return {name: found[name] for name in sorted(found, key=order)}


def _besides(found: dict[str, TrainConfig]) -> dict[str, TrainConfig]:
    """Return runs outside the comparison: with a smaller beta_3, with random heads for longer, with
    momentum 0.9 in the nominal term, those of Figure 3 with ten times the outer steps, and
    CIFAR-10's Blackbox with four times: the budget of the others does not teach it to train.
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
            f"star-{term}-0.9": replace(found[f"star-{term}-0"], nominal_decay=0.9)
            for term in map(str.lower, ONE_MOMENTUM)
        },
        "cifar10-blackbox-4x": replace(found["cifar10-blackbox-0"], outer_steps=1200),
        **{
            tenfold(kind): replace(found[f"{kind}-0"], outer_steps=10 * BUDGET["outer_steps"])
            for kind in COMPARED
        },
    }


def recorded(config: TrainConfig) -> dict[str, Any]:
    """The fields of a configuration as results keep them: one that was added after the first
    results is left out where it has its default, so that the results stay valid.
    """
    usual = TrainConfig()
    added = {name for name in LATER if getattr(config, name) == getattr(usual, name)}
    return {name: value for name, value in asdict(config).items() if name not in added}


def do(name: str, config: TrainConfig) -> None:
    """Start or resume a run, train to its end, and keep its results."""
    run, tasks = RunDirectory(PLACE / name), config.make_tasks()
    if not run.result.exists():
        resume, watch = run.config_file.exists(), monitor(config, tasks)
        with Display(config, run.path) as display:
            train(config, run, task=tasks, resume=resume, monitor=watch.measure, observer=display)
    if run.read_config() != config:
        raise ValueError(f"{run.path} holds a run with another configuration; remove it.")
    KEPT.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run.result, KEPT / f"{name}.npz")
    write(KEPT / f"{name}.json", json.dumps(summary(run)) + "\n")


def kept(name: str) -> Any:
    """Read a record that is kept."""
    return json.loads((KEPT / f"{name}.json").read_text("utf-8"))


def summary(run: RunDirectory) -> dict[str, Any]:
    """The results of a complete run that are kept."""
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
    """The state of a run."""
    if (KEPT / f"{name}.json").exists():
        return listing.KEPT
    lines = RunDirectory(PLACE / name).read_metrics()
    return f"outer step {lines[-1]['outer_step']}" if lines else "not begun"


def main(arguments: list[str], known: dict[str, TrainConfig] | None = None) -> int:
    """List the runs, or do those that are named; return the exit code."""
    known = experiments() if known is None else known

    def run(name: str) -> None:
        with suppress(RuntimeError):  # JAX has started
            jax.config.update("jax_num_cpu_devices", BUDGET["devices"])
        do(name, known[name])

    states = {name: state(name) for name in known}
    return listing.main("meta_runs", arguments, states, run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
