"""The optimizer for unseen tasks that comes with the package, and its card.

python -m figures.general.ship    write both from the run and from the results of `general`
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from figures.engine import store
from figures.engine.markdown import filled
from figures.general import contest
from figures.general.meta_runs import experiments
from figures.general.outcomes import GENERAL, UNLEARNED, diverged, faster, named, over_adamw, shares
from figures.star.meta_runs import KEPT, kept
from figures.star.ship import deliver
from lopt.meta.evaluation.entrants import star_config
from lopt.meta.evaluation.scheduled import ADAMW, DEFAULTS, RATES, default_rate
from lopt.optimizers.files.saved import Saved, load
from lopt.tasks.suites.catalogue import SMALL

NAME = "general"
# Measured by the commands beside them.
COST = (
    "Orthogonalizing costs time: on batches of 128 images a training step takes 5 times as long as "
    "with Adam for a perceptron with 0.12 million parameters, and 31 times with 0.8 million; with "
    "Muon it is 7.5 and 27 times (`python -m benchmarks.training_loop --general`, two CPU cores "
    "with 512-bit vectors). There AdamW takes more steps, but less time"
)
CHOSEN = (
    "over 300 steps with one seed, the tuned final losses on `fashion-mnist-mlp` and `cifar10-mlp` "
    "are 0.287 and 1.236, those with a blackbox term 0.307 and 1.290 "
    "(`cd figures/results/runs; lopt evaluate general-star-orthogonal.npz "
    "general-hyperparam-orthogonal.npz --tasks fashion-mnist-mlp cifar10-mlp --scheduled "
    "--steps 300 --seeds 1`)"
)

CARD = """
# Hyperparam, orthogonalized: in place of AdamW, on tasks that it has not seen

    optimizer = optax.chain(
        lopt.scale_by_star("general"),
        optax.add_decayed_weights(0.01),
        optax.scale_by_learning_rate(schedule),
    )

Try a learning rate of {rate:g} first, after a short warm-up, and let the schedule end at zero: the
steps have the same length in gradients of any size. The rate changes every tensor by {rate:g} in
the root mean square.

On {tasks} tasks on which it was not meta-trained, each in its small form, it reaches the final
training loss of tuned AdamW in fewer steps on {faster}, in the median after {median:.2f} of them.
With nobody tuned it ends below AdamW at {adamw:g} on {below}. It diverges on {diverged}.

## What it is

It is Hyperparam of the paper, with every matrix of the update orthogonalized, as Muon does it, and
then divided by its root mean square: the nominal term AdamAggMo with learned momenta, under a
controller that scales every entry. It has no blackbox term. The geometry brings most of what is
measured below, and meta-training the rest: the tuned losses of the same optimizer before
meta-training are {before:.1%} higher in the median, and higher on {worse} of {tasks} tasks.

It was chosen on two tasks that are not in the suite, over the run with a blackbox term,
`general-star-orthogonal`: {chosen}.

## How it was trained

It is the run `{run}` of figures/general/meta_runs.py. Four tasks take part in every outer step:
perceptrons with one hidden layer of 32 units on 8x8 images of MNIST, Fashion-MNIST, CIFAR-10 and
CIFAR-100. The parameters of every episode are scaled by a random factor between
{config[augmentation_min]:g} and {config[augmentation_max]:g}. Episodes have from
{config[horizon_min]} to {config[horizon]:,} steps, log-uniformly, and their steps fall to zero as a
cosine. PES has truncations of {config[truncation]}, σ = {config[sigma]:g} and {config[pairs]}
antithetic pairs for each task. It was meta-trained for {config[outer_steps]:,} outer steps,
{inner:.1f} million inner ones. AdamW's learning rate falls from {config[learning_rate]:g} to
{last_rate:g}, weight decay is {config[weight_decay]:g} times the learning rate, and gradients are
clipped at {config[clip]:g}. {skipped} steps were skipped because their meta-gradient was not
finite. The mean meta-loss of the first tenth of the outer steps is {first:.3f}, that of the last
{last:.3f}; the scales and horizons that are drawn make them vary by about as much. The versions
were JAX {made[jax]} and optax {made[optax]}.

## Where it works

{summary}

Final training losses, each at the best of {count} learning rates (in brackets), found on one of
three seeds, the lowest in bold:

{by_task}

docs/figures.md shows the curves. `python -m figures general` redraws them, `python -m
figures.general.ship` writes this card.

## Where it does not

{fails}
* {cost}.

Nothing else was measured: no large network, no validation loss, no long training, no batch size but
those of the tasks.

## Licence

Apache-2.0, like the package. It was trained on images of MNIST, Fashion-MNIST, CIFAR-10 and
CIFAR-100 and contains none of them.
"""


def card(saved: Saved, record: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """The card, with its numbers taken from the run and from the comparison."""
    config = saved.origin["run"]
    steps = np.array(shares(data, GENERAL))
    own, unlearned = (np.array(over_adamw(data, name, "tuned")) for name in (GENERAL, UNLEARNED))
    before = unlearned / own
    losses = np.array(record["meta_loss"], float)
    tenth = len(losses) // 10
    return filled(
        CARD,
        run=GENERAL,
        rate=default_rate(star_config(NAME, saved)),
        adamw=DEFAULTS[ADAMW],
        tasks=len(data),
        faster=faster(data, GENERAL),
        median=np.median(steps),
        below=int((np.array(over_adamw(data, GENERAL, "untuned")) < 1).sum()),
        before=np.median(before - 1),
        worse=int((before > 1).sum()),
        diverged=diverged(data, GENERAL) or "none",
        cost=COST,
        chosen=CHOSEN,
        config=config,
        inner=1e-6
        * config["outer_steps"]
        * config["truncation"]
        * config["pairs"]
        * 2
        * len(config["tasks"]),
        last_rate=config["learning_rate"] * config["final_learning_rate"],
        skipped=record["skipped"],
        first=losses[:tenth].mean(),
        last=losses[-tenth:].mean(),
        made=saved.origin["versions"],
        summary=contest.summary(data),
        count=len(RATES),
        by_task=contest.by_task(data),
        fails="\n".join(_failures(data))
        or "* On none of these tasks is it behind another optimizer.",
    )


def _failures(data: Mapping[str, Any]) -> list[str]:
    """Where AdamW is better, and where another optimizer ends lowest."""
    lines = []

    def add(text: str, behind: Callable[[Any], bool]) -> None:
        found = [f"`{task.removesuffix(SMALL)}`" for task, part in data.items() if behind(part)]
        if found:
            lines.append(f"* {text}: {', '.join(found)}.")

    add(
        "It does not reach tuned AdamW's final loss within as many steps",
        lambda part: (part["tuned"][GENERAL]["share"] or np.inf) >= 1,
    )
    add(
        "Untuned it ends above untuned AdamW",
        lambda part: part["untuned"][GENERAL]["over_adamw"] >= 1,
    )
    for other in next(iter(data.values()))["tuned"]:
        if other not in (ADAMW, GENERAL):
            add(f"{named(other)}, tuned, ends lower than it, tuned", partial(_lower, other))
    return lines


def _lower(other: str, part: Any) -> bool:
    tuned = part["tuned"]
    return bool(np.mean(tuned[other]["final"]) < np.mean(tuned[GENERAL]["final"]))


def main(arguments: list[str]) -> int:
    """Write file and card; return the exit code."""
    if arguments:
        print("ship: there are no arguments.", file=sys.stderr)
        return 2
    saved, data = load(KEPT / f"{GENERAL}.npz"), store.load(contest.FIGURE)["parts"]
    deliver(NAME, GENERAL, experiments()[GENERAL], card(saved, kept(GENERAL), data))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
