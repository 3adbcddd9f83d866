"""``lopt inspect``: the stability of a trained optimizer, within its horizon and beyond it."""

import argparse
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lopt.checks import require
from lopt.cli.display import Work
from lopt.cli.stop import Stop
from lopt.cli.tables import WordTable, say, show, table_console
from lopt.keys import random_key
from lopt.meta.choices import MOST_INNER_STEPS
from lopt.meta.run.directory import RunDirectory
from lopt.monitor import (
    Curvature,
    Inspection,
    InspectSettings,
    curvature,
    inspect,
    star_blackbox,
    update_map,
)
from lopt.monitor.krylov.values import Value
from lopt.optimizers.files.saved import Saved, load
from lopt.optimizers.star_update import StarConfig
from lopt.tasks.registry import make_task, parse_task_name
from lopt.tasks.task import Batch, Params, Task, take
from nqm.untrusted import quoted

# Distinct from the keys of training, its monitor and the evaluation.
INSPECT_KEY = 0x1115
# Far beyond what fits into memory or time.
MOST_EXAMPLES, MOST_VECTORS = 2**20, 2**12
# Beyond this an eigenvalue of P is explained.
FAR = 1e3
# Of the Hessian over batches: products for each spectrum, and random vectors for the density.
OVER_VECTORS, PROBES = 24, 8
DEFAULT_TASK = "fashion-mnist-8x8-mlp"
DEFAULTS = InspectSettings(vectors=40, hessian_vectors=24, joint=True)


class Look(NamedTuple):
    """An inspection after so many inner steps."""

    inner_step: int
    found: Inspection
    curvature: Curvature | None = None

    def to_json(self) -> dict[str, Any]:
        """The inspection, and the Hessian over batches if it was measured."""
        plain = {"inner_step": self.inner_step, **self.found.to_json()}
        over = {} if self.curvature is None else {"over_batches": self.curvature.to_json()}
        return {**plain, **over}


class OverBatches(NamedTuple):
    """What is measured over several minibatches."""

    batches: int
    density: bool
    tensors: bool

    def measure(
        self, task: Task, loss: Callable[[Params, Batch], jax.Array], params: Params, key: jax.Array
    ) -> Curvature:
        """The Hessian over fixed minibatches of the task."""
        keys = jax.random.split(jax.random.fold_in(key, 1), self.batches)
        drawn = [task.sample(k, task.data) for k in keys]
        probes = PROBES if self.density else 0
        return curvature(
            loss, params, drawn, vectors=OVER_VECTORS, probes=probes, tensors=self.tensors
        )


def add_parser(commands: Any) -> None:
    """Add ``inspect`` to the command line."""
    parser = commands.add_parser(
        "inspect",
        help="measure the stability of a trained optimizer",
        description="Train one inner problem with a trained optimizer, and measure sharpness, "
        "effective step sizes, blackbox response and eigenvalues at the given inner steps. "
        "A ? marks a number that has not converged, with a bound on its error that also covers "
        "eigenvalues that were missed; more --vectors help.",
    )
    parser.add_argument(
        "source",
        metavar="FILE_OR_RUN",
        help="a saved .npz, a run directory, or the name of a shipped optimizer",
    )
    parser.add_argument(
        "--task", metavar="NAME", help=f"inner problem (default: the run's, else {DEFAULT_TASK})"
    )
    parser.add_argument(
        "--steps",
        type=int,
        nargs="+",
        default=[50, 500, 2500],
        metavar="N",
        help="inner steps to inspect at (default: 50 500 2500)",
    )
    parser.add_argument(
        "--examples", type=int, default=1024, help="size of the fixed batch (default: 1024)"
    )
    parser.add_argument(
        "--vectors",
        type=int,
        default=DEFAULTS.vectors,
        help="number of Krylov vectors (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the inner problem (default: 0)"
    )
    parser.add_argument(
        "--batches",
        type=int,
        default=0,
        metavar="N",
        help="also measure the Hessian over N minibatches, with the error that comes from the "
        "choice of the batches",
    )
    parser.add_argument(
        "--density",
        action="store_true",
        help="with --batches: its trace and the number of eigenvalues above 2 / alpha, by "
        "stochastic Lanczos quadrature",
    )
    parser.add_argument(
        "--tensors",
        action="store_true",
        help="with --batches: the largest eigenvalue of the block of each tensor",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Inspect, and print the table."""
    steps = sorted(set(options.steps))
    if steps[0] < 0:
        raise ValueError(f"--steps must be at least 0; one is {quoted(steps[0])}.")
    require("--steps", steps[-1], steps[-1] <= MOST_INNER_STEPS, f"at most {MOST_INNER_STEPS}")
    for name, least, most in (
        ("examples", 1, MOST_EXAMPLES),
        ("vectors", 1, MOST_VECTORS),
        ("seed", 0, 2**32 - 1),
        ("batches", 0, MOST_EXAMPLES),
    ):
        value = getattr(options, name)
        require(f"--{name}", value, value >= least, f"at least {least}")
        require(f"--{name}", value, value <= most, f"at most {most}")
    for name in ("density", "tensors"):
        if getattr(options, name) and not options.batches:
            raise ValueError(f"--{name} needs --batches, such as --batches 20.")
    settings = InspectSettings(
        hessian_vectors=DEFAULTS.hessian_vectors,
        vectors=options.vectors,
        seed=options.seed,
        joint=DEFAULTS.joint,
    )
    if options.task is not None:
        parse_task_name(options.task)
    with Work("inspect", "reading") as work, Stop(work.interrupted):
        saved, own_task = _source(options.source)
        task = make_task(options.task or own_task)
        over = OverBatches(options.batches, options.density, options.tensors)
        looks = look(saved, task, steps, options.examples, settings, options.seed, work.now, over)
    if options.json:
        print(json.dumps([x.to_json() for x in looks]))
        return 0
    show(table(f"{options.source} on {task.name}, seed {options.seed}", looks))
    console = table_console()
    for one in looks:
        for margin in (one.found.theorem1, one.found.theorem1_prime):
            say(console, f"step {one.inner_step}: {margin.text()}")
    for one in looks:
        if one.curvature is not None:
            say(console, f"step {one.inner_step}: {one.curvature.text()}")
            if one.curvature.density is not None:
                threshold = 2 / one.found.steps.median
                count = one.curvature.density.count_above(threshold)
                say(
                    console,
                    f"eigenvalues above 2 / alpha = {threshold:.4g}: "
                    f"{count.value:.3g} ± {count.error:.2g}",
                )
    return 0


def _source(name: str) -> tuple[Saved, str]:
    """The named meta-parameters, and the task they were trained on, as far as it is known."""
    if not Path(name).is_dir():
        return load(name), DEFAULT_TASK
    run = RunDirectory(name)
    config = run.read_config()
    return run.read_result(config), config.task


def look(
    saved: Saved,
    task: Task,
    steps: list[int],
    examples: int,
    settings: InspectSettings,
    seed: int = 0,
    tell: Callable[[str], None] = lambda doing: None,
    over: OverBatches | None = None,
) -> list[Look]:
    """Inspect along one trajectory from fixed parameters over fixed minibatches; `tell` is called
    with what is done next.
    """
    optimizer = saved.config.make(saved.meta_parameters, fused=False)
    blackbox = None
    if isinstance(saved.config, StarConfig):
        blackbox = star_blackbox(saved.meta_parameters, saved.config)
    key = jax.random.fold_in(random_key(INSPECT_KEY), seed)
    init_key, batch_key, examples_key, loss_key = jax.random.split(key, 4)

    def loss(params: Params, batch: Batch) -> jax.Array:
        return task.loss(params, loss_key, batch)

    @partial(jax.jit, donate_argnums=0)
    def advance(carry: Any, data: Any, begin: jax.Array, end: jax.Array) -> Any:
        def step(index: jax.Array, carry: Any) -> Any:
            batch = task.sample(jax.random.fold_in(batch_key, index), data)

            def estimate(params: Params, batch: Batch) -> tuple[jax.Array, Params]:
                return task.value_and_grad(params, jax.random.fold_in(loss_key, index), batch)

            replaced = None if task.estimate is None else estimate
            return update_map(optimizer, loss, batch, replaced)(*carry)

        return jax.lax.fori_loop(begin, end, step, carry)

    params = task.init(init_key)
    looks: list[Look] = []
    carry, at = (params, optimizer.init(params)), 0
    batch = take(
        task.data, jax.random.randint(examples_key, (examples,), 0, task.examples, jnp.int32)
    )
    for end in steps:
        first = "compiling, then " if not looks else ""
        tell(f"{first}training to inner step {end}")
        carry, at = advance(carry, task.data, at, end), end
        jax.block_until_ready(carry)
        tell(f"{first}inspecting at inner step {end}")
        found = inspect(
            optimizer, loss, carry[0], carry[1], batch, blackbox=blackbox, settings=settings
        )
        over_batches = None
        if over is not None and over.batches:
            tell(f"{first}measuring {over.batches} batches at inner step {end}")
            over_batches = over.measure(task, loss, carry[0], examples_key)
        looks.append(Look(end, found, over_batches))
    return looks


def table(title: str, looks: list[Look]) -> WordTable:
    """A row for each quantity, a column for each inner step."""
    found = [one.found for one in looks]
    rows: dict[str, list[str]] = {
        "loss": [f"{f.loss:.4g}" for f in found],
        "sharpness": [_short(f.sharpness) for f in found],
        "smallest curvature": [_short(f.smallest_curvature) for f in found],
        "effective alpha, median": [f"{f.steps.median:.3g}" for f in found],
        "preconditioned sharpness": [_short(f.preconditioned_sharpness) for f in found],
        "radius, state frozen": [_short(f.frozen_radius) for f in found],
        "radius, joint": [_short(f.radius) for f in found],
    }
    if found[0].blackbox is not None:
        parts = [f.blackbox for f in found if f.blackbox is not None]
        rows["blackbox P, smallest"] = [_short(p.smallest) for p in parts]
        rows["blackbox P, largest"] = [_short(p.largest) for p in parts]
        rows["blackbox P, asymmetry"] = [_short(p.asymmetry) for p in parts]
    return WordTable(
        ("at inner step", *(str(one.inner_step) for one in looks)),
        [(name, *cells) for name, cells in rows.items()],
        right=True,
        title=title,
        note=" ".join(_notes(found)),
    )


def _notes(found: list[Inspection]) -> Iterator[str]:
    """What there is to say below the table."""
    yield "? marks what has not converged. A radius above 1 is unstable."
    responses = [f.blackbox for f in found if f.blackbox is not None]
    if any(abs(part.value) > FAR for p in responses for part in (p.smallest, p.largest)):
        yield (
            "The extremes of P belong to single weights that hardly ever have a gradient (dead "
            "units, black pixels): the blackbox term divides by the root of its second moment. "
            "There is hardly any curvature there, so the radii do not follow them."
        )


def _short(value: Value) -> str:
    if not np.isfinite(value.value):
        return "-"
    if value.converged:
        return f"{value.value:.4g}"
    return f"{value.value:.4g} ± {value.error:.1g}?"
