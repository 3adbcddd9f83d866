"""The meta-trained optimizers that come with the package, and their cards.

    python -m figures.star.ship                write the files and cards from the results
    python -m figures.star.ship --recompute    repeat the measurements of the cards first

The measurements use seeds that neither the figures nor the choice of the optimizers used, on the
task of meta-training and on two others, and compare with Adam at the best of eight rates on those
seeds.
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
from figures.star.evidence.experiments import inner
from figures.star.evidence.outcomes import events, spread
from figures.star.inner_runs import BIN, binned
from figures.star.meta_runs import KEPT, experiments, kept
from figures.star.settings import FASHION
from lopt.keys import random_key
from lopt.meta.config import TrainConfig
from lopt.meta.evaluation.curves import HELD_OUT, meta_loss, training_curves
from lopt.meta.evaluation.tuning import baselines, tune
from lopt.optimizers.files.saved import SHIPPED, load, save
from lopt.tasks.registry import make_task

HORIZON = FASHION.horizon
EVIDENCE = RESULTS / "shipped.json"
# The STAR with the lowest loss at ten horizons on the seeds of the figures; others are lower within
# the horizon, but rise or oscillate beyond it.
CHOSEN = {
    "fashion-mnist-mlp": "star-wd0.1-0",
    "fashion-mnist-mlp-blackbox": "blackbox-0",
    "fashion-mnist-mlp-hyperparam": "hyperparam-0",
}
TITLES = {
    "fashion-mnist-mlp": "STAR, meta-trained on a Fashion-MNIST MLP",
    "fashion-mnist-mlp-blackbox": "Blackbox (small_fc_lopt), for comparison",
    "fashion-mnist-mlp-hyperparam": "Hyperparam (controls the nominal term alone), for comparison",
}
# What a step costs beside one with Adam, where it was measured: benchmarks/training_loop.py.
COST = {
    "fashion-mnist-mlp": " On this network, a training step with it takes 2.7 times as long as "
    "with Adam, and compiles in about six times the time (`python -m benchmarks.training_loop`, "
    "two CPU cores with 512-bit vectors).",
}
SEEDS = 5
TASKS = (FASHION.task, "mnist-mlp", "fashion-mnist-8x8-mlp")
ADAM = "adam"


def measure() -> dict[str, Any]:
    """Measure every optimizer on every task, on new seeds."""
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
    record = {
        "losses": binned(curve), "horizon": HORIZON, "bin": BIN, "steps": curve.shape[1],
        "ceiling": ceiling, "meta_loss": rounded(meta_loss(curve, HORIZON, ceiling), 5),
    }  # fmt: skip
    found = inner(record)
    return {key: value for key, value in found.items() if key not in ("curves", "at")}


CARD = """
# {title}

    optimizer = lopt.star("{name}")

On its own task its mean loss over {horizon:,} steps is {own} on {seeds} new seeds; that of tuned
Adam is {adam}. The difference to Adam is {gap:+.4f} ± {gap_error:.4f}, and it is lower than Adam on
{wins} of {seeds} seeds.{cost}

## How it was trained

It is the run `{run}` of figures/star/meta_runs.py. The task is {config[task]} (784-128-128-10 ReLU
MLP, batch 128). It was meta-trained by PES over a horizon of {config[horizon]:,} in truncations of
{config[truncation]}, with σ = {config[sigma]:g}, for {config[outer_steps]:,} outer steps of
{config[pairs]} antithetic pairs, with AdamW. The learning rate falls from {config[learning_rate]:g}
to {last_rate:g}, weight decay is {config[weight_decay]:g} times the learning rate, gradients are
clipped at {config[clip]:g}, and the seed is {config[seed]}. The constants are β₁ =
{constants.nominal_step:g}, β₂ = {constants.nominal_exponent:g}, β₃ = {constants.blackbox_step:g}
and β₄ = {constants.blackbox_exponent:g}; the last layer of the network started at zero. {skipped}
steps were skipped because their meta-gradient was not finite. The versions were JAX {made[jax]} and
optax {made[optax]}.

## Where it works

{works}

## Where it does not

{fails}

Nothing else was measured: no other batch size, no larger network, no other data.

## Beyond the horizon

To step {beyond[steps]:,} on its own task, on the seeds of the figures, it diverges in {diverges}
uses and rises for good in {rises}. The loss is {at_horizon} at the horizon and {at_end} at the end.

## Evidence

The table gives training losses, as mean ± standard deviation over {seeds} seeds. Adam has the best
of eight half-decades of the learning rate on the same seeds.

{evidence}

`python -m figures.star.ship --recompute` repeats the measurements and writes this card.
docs/experiments.md compares the optimizer with the other runs.

## Licence

Apache-2.0, like the package. It was trained on Fashion-MNIST (MIT licence, Zalando SE) and contains
none of its data.
"""


def card(name: str, evidence: Mapping[str, Any]) -> str:
    """The card, with its numbers taken from the run and from the evidence."""
    run, tasks = CHOSEN[name], evidence["tasks"]
    saved = load(KEPT / f"{run}.npz")
    config, beyond = saved.origin["run"], inner(kept(f"{run}.inner"))
    own, adam = (_losses(tasks[FASHION.task][key]) for key in (name, ADAM))
    gap = own - adam  # losses are cut at the ceiling, so they are finite
    compared: dict[bool, list[str]] = {True: [], False: []}
    for task, found in tasks.items():
        mean, tuned = (_losses(found[key]).mean() for key in (name, ADAM))
        works = bool(mean <= 1.1 * tuned)  # a diverged run counts as the ceiling
        compared[works].append(
            f"* `{task}`: the mean loss over {HORIZON:,} steps is {mean:.3f}, that of tuned Adam "
            f"{tuned:.3f}."
        )
    return filled(
        CARD,
        title=TITLES[name],
        name=name,
        run=run,
        config=config,
        last_rate=config["learning_rate"] * config["final_learning_rate"],
        constants=saved.config,
        skipped=kept(run)["skipped"],
        made=saved.origin["versions"],
        seeds=SEEDS,
        horizon=HORIZON,
        own=spread(own),
        adam=spread(adam),
        gap=gap.mean(),
        gap_error=gap.std(ddof=1),
        wins=int((gap < 0).sum()),
        cost=COST.get(name, ""),
        works="\n".join(compared[True]) or "On none of the measured tasks.",
        fails="\n".join(compared[False]) or "On none of the measured tasks.",
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
    """The rows of a task: this optimizer, and Adam."""
    adam = f"Adam, rate {found[ADAM]['constants']['learning_rate']:g}"
    return [
        (task, label, *(spread(_losses(found[key], what)) for what in ("meta_loss", "at_horizon")))
        for key, label in ((name, "this"), (ADAM, adam))
    ]


def _losses(found: Any, key: str = "meta_loss") -> Any:
    return np.array(found[key], float)


def main(arguments: list[str]) -> int:
    """Write the files and cards; return the exit code."""
    if arguments not in ([], ["--recompute"]):
        print("ship: the only possible argument is --recompute.", file=sys.stderr)
        return 2
    if arguments:
        write(EVIDENCE, json.dumps(measure(), indent=1) + "\n")
    evidence = json.loads(EVIDENCE.read_text("utf-8"))
    if evidence["runs"] != CHOSEN:
        print(
            f"ship: {EVIDENCE} is from other runs; repeat the measurements with --recompute.",
            file=sys.stderr,
        )
        return 2
    for name, run in CHOSEN.items():
        deliver(name, run, experiments()[run], card(name, evidence))
    return 0


def deliver(name: str, run: str, config: TrainConfig, text: str) -> None:
    """Put the meta-parameters of a kept run into the package, with their card."""
    saved = load(KEPT / f"{run}.npz")
    assert saved.config == config.optimizer_config
    SHIPPED.mkdir(exist_ok=True)
    origin = {**saved.origin, "name": run, "licence": "Apache-2.0"}
    save(SHIPPED / f"{name}.npz", saved.meta_parameters, saved.config, origin)
    write(SHIPPED / f"{name}.md", text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
