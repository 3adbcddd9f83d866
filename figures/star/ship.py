"""The meta-trained optimizers that come with the package: which runs they are, and their cards.

    python -m figures.star.ship                write the files and cards from the results
    python -m figures.star.ship --recompute    measure what the cards say anew, too

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
from figures.engine.output import wrapped
from figures.engine.store import rounded, versions, write
from figures.star.experiments import inner
from figures.star.inner_runs import BIN, HORIZON, binned
from figures.star.meta_runs import KEPT, TASK, experiments
from figures.star.outcomes import events, spread
from lopt.meta.evaluate import HELD_OUT, meta_loss, training_curves
from lopt.meta.tuning import baselines, tune
from lopt.optimizers.saved import SHIPPED, load, save
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
    keys = jax.random.split(jax.random.key(HELD_OUT + 1), SEEDS)
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


def card(name: str, evidence: Mapping[str, Any]) -> str:
    """The card, every number of it from its run and from the evidence."""
    run = CHOSEN[name]
    saved = load(KEPT / f"{run}.npz")
    config = saved.origin["run"]
    kept = json.loads((KEPT / f"{run}.json").read_text("utf-8"))
    tasks = evidence["tasks"]
    own, adam = tasks[TASK][name], tasks[TASK][ADAM]
    works, fails = [], []
    for task, found in tasks.items():
        (works if _works(found[name], found[ADAM]) else fails).append(_said(task, found, name))
    constants = ", ".join(
        f"{said} = {getattr(saved.config, field):g}"
        for said, field in (
            ("β₁", "nominal_step"), ("β₂", "nominal_exponent"),
            ("β₃", "blackbox_step"), ("β₄", "blackbox_exponent"),
        )
    )  # fmt: skip
    return f"""# {TITLES[name]}

    optimizer = lopt.star("{name}")

{wrapped(_summary(own, adam))}

## How it was trained

{wrapped(_trained(run, config, kept, constants, saved.origin["versions"]))}

## Where it works

{_list(works)}

## Where it does not

{_list(fails)}

Measured was nothing beyond these tasks: no other batch size, no larger network, no other data.

## Beyond the horizon

{wrapped(_beyond(run))}

## Evidence

Training losses, mean ± standard deviation over {SEEDS} seeds; Adam with the best of eight
half-decades of the learning rate on the same seeds.

{_table(tasks, name)}

`python -m figures.star.ship --recompute` measures it anew and writes this card. How it compares
with the other runs is on docs/experiments.md.

## Licence

Apache-2.0, as the package. It was trained on Fashion-MNIST (MIT licence, Zalando SE), of which it
holds nothing.
"""


def _summary(own: Any, adam: Any) -> str:
    """Against Adam; the mean loss over the horizon is cut at the ceiling, so always finite."""
    gain = _array(adam, "meta_loss") - _array(own, "meta_loss")
    return (
        f"On its own task, {SEEDS} new seeds: mean loss over {HORIZON:,} steps "
        f"{spread(_array(own, 'meta_loss'))}, tuned Adam's {spread(_array(adam, 'meta_loss'))}: "
        f"{abs(gain.mean()):.4f} ± {gain.std(ddof=1):.4f} "
        f"{'below' if gain.mean() > 0 else 'ABOVE'} it, lower on "
        f"{int((gain > 0).sum())} of {SEEDS} seeds."
    )


def _trained(run: str, config: Mapping[str, Any], kept: Any, constants: str, made: Any) -> str:
    scale = config.get("initial_head_scale")
    heads = {None: "random", 0.0: "at zero"}.get(scale, f"at {scale} times its random start")
    return (
        f"Run `{run}` of figures/star/meta_runs.py: task {config['task']} (784-128-128-10 ReLU "
        f"MLP, batch 128), PES over a horizon of {config['horizon']:,} in truncations of "
        f"{config['truncation']}, σ = {config['sigma']:g}, {config['outer_steps']:,} outer steps "
        f"of {config['pairs']} antithetic pairs, AdamW at {config['learning_rate']:g} falling to "
        f"{config['final_learning_rate']:g} of it, weight decay {config['weight_decay']:g} times "
        f"the learning rate, clip {config['clip']:g}, seed {config['seed']}. Constants: "
        f"{constants}; the network's last layer began {heads}. Steps skipped as not finite: "
        f"{kept['skipped']}. Made with JAX {made['jax']}, optax {made['optax']}."
    )


def _beyond(run: str) -> str:
    """What became of the seeds of the figures."""
    found = inner(json.loads((KEPT / f"{run}.inner.json").read_text("utf-8")))
    return (
        f"To step {found['steps']:,} on its own task, on the seeds of the figures, it diverges in "
        f"{events(found['diverges'])} uses and rises for good in {events(found['rises'])}; the "
        f"loss at the end is {spread(_array(found, 'final'))}, at the horizon "
        f"{spread(_array(found, 'at_horizon'))}."
    )


def _works(own: Any, adam: Any) -> bool:
    """Not above Adam by a tenth over the horizon; what diverges counts as the ceiling there."""
    return bool(_array(own, "meta_loss").mean() <= 1.1 * _array(adam, "meta_loss").mean())


def _said(task: str, found: Any, name: str) -> str:
    own, adam = (float(np.mean(_array(found[key], "meta_loss"))) for key in (name, ADAM))
    return f"`{task}`: mean loss over {HORIZON:,} steps {own:.3f}, tuned Adam's {adam:.3f}"


def _list(lines: list[str]) -> str:
    return "\n".join(wrapped(f"{line}.", "* ") for line in lines) or "Nowhere of what was measured."


def _table(tasks: Any, name: str) -> str:
    rows = ["| task | optimizer | over the horizon | at the horizon |", "|---|---|---|---|"]
    for task, found in tasks.items():
        for key, label in ((name, "this"), (ADAM, _adam(found[ADAM]))):
            one = found[key]
            shown = [spread(_array(one, what)) for what in ("meta_loss", "at_horizon")]
            rows.append(f"| {task} | {label} | {' | '.join(shown)} |")
    return "\n".join(rows)


def _adam(found: Any) -> str:
    return f"Adam, rate {found['constants']['learning_rate']:g}"


def _array(found: Any, key: str) -> Any:
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
        print(f"ship: {EVIDENCE} is of other runs; measure anew with --recompute.", file=sys.stderr)
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
