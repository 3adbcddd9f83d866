"""Learned optimizers on tasks that they have not seen, against those that one would pick instead.

    python -m figures.general.contest                      train on every task of the small suite
    python -m figures.general.contest --steps N TASK ...   train on these tasks, for N steps each

It does what ``lopt evaluate ... --scheduled`` does, with the kept runs of figures.general.meta_runs
and three optimizers that were not meta-trained on their tasks: AdamAggMo, normalized but not
learned, AggMo, orthogonalized but not learned, and the STAR that was meta-trained on the
Fashion-MNIST MLP. The learning rates are compared on one seed. Finished curves are in runs/contest,
so that an interrupted contest goes on; the results are in figures/results/general.json.
"""

import argparse
import json
import sys
from dataclasses import replace

import jax

from figures.engine.figure import RESULTS, ROOT
from figures.engine.store import versions, write
from figures.general.meta_runs import experiments
from figures.star.meta_runs import KEPT
from lopt.keys import random_key
from lopt.meta.evaluation.outcome import SuiteEvaluation
from lopt.meta.evaluation.suite import evaluate_scheduled
from lopt.optimizers.files.saved import Saved, load
from lopt.optimizers.star_update import HYPERPARAM, init_meta_parameters
from lopt.tasks.suites.catalogue import suite

PLACE, KEPT_RESULTS = ROOT / "runs" / "contest", RESULTS / "general.json"
UNLEARNED, NARROW = "AdamAggMo-normalized", "fashion-mnist-mlp"
ORTHOGONAL = "AggMo-orthogonalized"
SEEDS, STEPS = 3, 2000


def optimizers() -> dict[str, Saved]:
    """Return the learned optimizers that are kept, and those that are compared with them."""
    found = {
        name: load(KEPT / f"{name}.npz")
        for name in experiments()
        if (KEPT / f"{name}.npz").exists()
    }
    # With a last layer of zeros the controller does nothing, and the nominal term is left.
    config = replace(HYPERPARAM, initial_head_scale=0.0, normalize_update=True)
    theta = jax.device_get(init_meta_parameters(random_key(0), config))
    orthogonal = replace(config, nominal_term="AggMo", orthogonalize_update=True)
    unlearned = {UNLEARNED: Saved(theta, config, {}), ORTHOGONAL: Saved(theta, orthogonal, {})}
    return {**found, NARROW: load(NARROW), **unlearned}


def contest(tasks: list[str], steps: int, seeds: int) -> tuple[SuiteEvaluation, SuiteEvaluation]:
    """Train with everyone, tuned and at the default rates."""

    def tell(doing: str, total: int) -> None:
        print(f"{doing}: {total:,} steps", file=sys.stderr, flush=True)

    return evaluate_scheduled(
        *(optimizers(), tasks, PLACE),
        seeds=seeds,
        steps=steps,
        screening_seeds=1,
        tell=tell,
    )


def main(arguments: list[str]) -> int:
    """Train and keep the results; return the exit code."""
    parser = argparse.ArgumentParser(prog="contest", description="Compare optimizers on a suite.")
    parser.add_argument("tasks", metavar="TASK", nargs="*", help="tasks (default: the small suite)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"inner steps (default: {STEPS})")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"seeds (default: {SEEDS})")
    options = parser.parse_args(arguments)
    tasks = options.tasks or list(suite(small=True))
    tuned, untuned = contest(tasks, options.steps, options.seeds)
    kept = {"versions": versions(), "tuned": tuned.to_json(), "untuned": untuned.to_json()}
    write(KEPT_RESULTS, json.dumps(kept, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
