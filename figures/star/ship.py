"""The meta-trained optimizers that come with the package: which runs they are, and their cards.

    python -m figures.star.ship                write the files and cards from the results
    python -m figures.star.ship --recompute    repeat the measurements of the cards first

Seeds that no figure and no choice has used train on the task of meta-training and on two others,
beside Adam with the best of eight rates on those very seeds.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from figures.engine.figure import RESULTS
from figures.engine.markdown import filled, table
from figures.engine.store import rounded, versions, write
from figures.star.experiments import inner
from figures.star.inner_runs import BIN, HORIZON, binned
from figures.star.meta_runs import KEPT, TASK, experiments
from figures.star.outcomes import events, spread
from lopt.keys import random_key
from lopt.meta.evaluation.curves import HELD_OUT, meta_loss, training_curves
from lopt.meta.evaluation.tuning import baselines, tune
from lopt.optimizers.files.saved import SHIPPED, load, save
from lopt.tasks.registry import make_task

EVIDENCE = RESULTS / "shipped.json"
# Of STAR the one with the lowest loss at ten horizons, on the seeds of the figures: others have a
# lower one within the horizon and rise, or oscillate, beyond it.
CHOSEN = {
    "fashion-mnist-mlp": "star-wd0.1-0",
    "fashion-mnist-mlp-blackbox": "blackbox-0",
    "fashion-mnist-mlp-hyperparam": "hyperparam-0",
}
TITLES = {
    "fashion-mnist-mlp": "STAR, meta-trained on a Fashion-MNIST MLP",
    "fashion-mnist-mlp-blackbox": "Blackbox (small_fc_lopt), for comparison",
    "fashion-mnist-mlp-hyperparam": "Hyperparam (nominal term and its control), for comparison",
}
SEEDS = 5
TASKS = (TASK, "mnist-mlp", "fashion-mnist-8x8-mlp")
ADAM = "adam"


def measure() -> dict[str, Any]:
    """For every task and optimizer what became of new seeds."""
    keys = jax.random.split(random_key(HELD_OUT + 1), SEEDS)
    tasks: dict[str, Any] = {}
    for name in TASKS:
        task = make_task(name)
        tuned = tune(baselines(search=0)[0], task, HORIZON, HORIZON, keys)
        curves = {ADAM: tuned.curves}
        for shipped, run in CHOSEN.items():
            saved = load(KEPT / f"{run}.npz")
            stacked = jax.tree.map(lambda leaf: leaf[None], saved.meta_parameters)
            curves[shipped] = training_curves(task, saved.config.make, stacked, HORIZON, keys)[0]
            print(f"{name}: {shipped}", file=sys.stderr, flush=True)
        found = {key: _outcome(curve, task.loss_ceiling) for key, curve in curves.items()}
        found[ADAM]["constants"] = tuned.constants
        tasks[name] = found
    return {"runs": CHOSEN, "versions": versions(), "tasks": tasks}


def _outcome(curve: Any, ceiling: float) -> dict[str, Any]:
    kept = {
        "losses": binned(curve), "horizon": HORIZON, "bin": BIN, "steps": curve.shape[1],
        "ceiling": ceiling, "meta_loss": rounded(meta_loss(curve, HORIZON, ceiling), 5),
    }  # fmt: skip
    found = inner(kept)
    return {key: value for key, value in found.items() if key not in ("curves", "at")}


CARD = """
# {title}

    optimizer = lopt.star("{name}")

On its own task, {seeds} new seeds: mean loss over {horizon:,} steps {own}, tuned Adam's {adam}:
{gain:.4f} ± {gain_error:.4f} {side} it, lower on {wins} of {seeds} seeds.

## How it was trained

Run `{run}` of figures/star/meta_runs.py: task {config[task]} (784-128-128-10 ReLU MLP, batch 128),
PES over a horizon of {config[horizon]:,} in truncations of {config[truncation]}, σ =
{config[sigma]:g}, {config[outer_steps]:,} outer steps of {config[pairs]} antithetic pairs, AdamW at
{config[learning_rate]:g} falling to {config[final_learning_rate]:g} of it, weight decay
{config[weight_decay]:g} times the learning rate, clip {config[clip]:g}, seed {config[seed]}.
Constants: β₁ = {constants.nominal_step:g}, β₂ = {constants.nominal_exponent:g}, β₃ =
{constants.blackbox_step:g}, β₄ = {constants.blackbox_exponent:g}; the network's last layer began at
zero. Steps skipped as not finite: {skipped}. Made with JAX {made[jax]}, optax {made[optax]}.

## Where it works

{works}

## Where it does not

{fails}

Nothing beyond these tasks was measured: no other batch size, no larger network, no other data.

## Beyond the horizon

To step {beyond[steps]:,} on its own task, on the seeds of the figures, it diverges in {diverges}
uses and rises for good in {rises}; the loss at the end is {at_end}, at the horizon {at_horizon}.

## Evidence

Training losses, mean ± standard deviation over {seeds} seeds; Adam with the best of eight
half-decades of the learning rate on the same seeds.

{evidence}

`python -m figures.star.ship --recompute` repeats the measurements and writes this card. How the
optimizer compares with the other runs is on docs/experiments.md.

## Licence

Apache-2.0, as the package. It was trained on Fashion-MNIST (MIT licence, Zalando SE), of which it
holds nothing.
"""


def card(name: str, evidence: Mapping[str, Any]) -> str:
    """The card, every number of it from its run and from the evidence."""
    run, tasks = CHOSEN[name], evidence["tasks"]
    saved = load(KEPT / f"{run}.npz")
    beyond = inner(_kept(f"{run}.inner"))
    own, adam = (_losses(tasks[TASK][key]) for key in (name, ADAM))
    gain = adam - own  # of losses cut at the ceiling, so always finite
    compared: dict[bool, list[str]] = {True: [], False: []}
    for task, found in tasks.items():
        mean, tuned = (_losses(found[key]).mean() for key in (name, ADAM))
        works = bool(mean <= 1.1 * tuned)  # what diverges counts as the ceiling
        compared[works].append(
            f"* `{task}`: mean loss over {HORIZON:,} steps {mean:.3f}, tuned Adam's {tuned:.3f}."
        )
    return filled(
        CARD,
        title=TITLES[name],
        name=name,
        run=run,
        config=saved.origin["run"],
        constants=saved.config,
        skipped=_kept(run)["skipped"],
        made=saved.origin["versions"],
        seeds=SEEDS,
        horizon=HORIZON,
        own=spread(own),
        adam=spread(adam),
        gain=abs(gain.mean()),
        gain_error=gain.std(ddof=1),
        side="below" if gain.mean() > 0 else "ABOVE",
        wins=int((gain > 0).sum()),
        works="\n".join(compared[True]) or "Nowhere of what was measured.",
        fails="\n".join(compared[False]) or "Nowhere of what was measured.",
        beyond=beyond,
        diverges=events(beyond["diverges"]),
        rises=events(beyond["rises"]),
        at_end=spread(_losses(beyond, "final")),
        at_horizon=spread(_losses(beyond, "at_horizon")),
        evidence=table(
            ("task", "optimizer", "over the horizon", "at the horizon"),
            [row for task, found in tasks.items() for row in _measured(task, found, name)],
        ),
    )


def _measured(task: str, found: Any, name: str) -> list[tuple[str, ...]]:
    """The rows of a task: the optimizer of that name, and Adam."""
    adam = f"Adam, rate {found[ADAM]['constants']['learning_rate']:g}"
    return [
        (task, label, *(spread(_losses(found[key], what)) for what in ("meta_loss", "at_horizon")))
        for key, label in ((name, "this"), (ADAM, adam))
    ]


def _kept(name: str) -> Any:
    return json.loads((KEPT / f"{name}.json").read_text("utf-8"))


def _losses(found: Any, key: str = "meta_loss") -> Any:
    return np.array(found[key], float)


def main(arguments: list[str]) -> int:
    """Write files and cards; return the exit code."""
    if arguments not in ([], ["--recompute"]):
        print("ship: the only argument is --recompute.", file=sys.stderr)
        return 2
    if arguments:
        write(EVIDENCE, json.dumps(measure(), indent=1) + "\n")
    evidence = json.loads(EVIDENCE.read_text("utf-8"))
    if evidence["runs"] != CHOSEN:
        print(
            f"ship: {EVIDENCE} is of other runs; repeat the measurements with --recompute.",
            file=sys.stderr,
        )
        return 2
    for name, run in CHOSEN.items():
        saved = load(KEPT / f"{run}.npz")
        assert saved.config == experiments()[run].optimizer_config
        SHIPPED.mkdir(exist_ok=True)
        origin = {**saved.origin, "name": run, "licence": "Apache-2.0"}
        save(SHIPPED / f"{name}.npz", saved.meta_parameters, saved.config, origin)
        write(SHIPPED / f"{name}.md", card(name, evidence))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
