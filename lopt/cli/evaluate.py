"""``lopt evaluate``: a trained optimizer against tuned Adam and its own initialization, over
held-out seeds.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from lopt.meta.config import TrainConfig
from lopt.meta.evaluate import Summary, held_out_keys, summarize, training_curves, tuned_adam
from lopt.meta.run import RunDirectory
from lopt.optimizers.saved import load


class Evaluation(NamedTuple):
    """Training curves ``[seeds, steps]`` by name of the optimizer, the trained one first."""

    config: TrainConfig
    curves: dict[str, NDArray[np.float32]]
    ceiling: float

    def summaries(self) -> list[Summary]:
        """A summary for each optimizer."""
        return [summarize(n, c, self.config.horizon, self.ceiling) for n, c in self.curves.items()]


def add_parser(commands: Any) -> None:
    """Add ``evaluate`` to the command line."""
    parser = commands.add_parser(
        "evaluate",
        help="compare a trained optimizer with tuned Adam and with its own initialization",
        description="Train inner problems from held-out seeds with the optimizer of a "
        "finished run, with its "
        "initialization, and with Adam at the best learning rate of a half-decade grid "
        "(chosen on the same seeds).",
    )
    parser.add_argument("run", metavar="DIR", type=Path, help="the run directory")
    parser.add_argument("--seeds", type=int, default=8, help="held-out seeds (default 8)")
    parser.add_argument("--horizons", type=int, default=5, help="length in horizons (default 5)")
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Evaluate and print the table."""
    for name in ("seeds", "horizons"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} must be at least 1; it is {getattr(options, name)}.")
    evaluation = evaluate_run(RunDirectory(options.run), options.seeds, options.horizons)
    Console().print(table(evaluation))
    return 0


def evaluate_run(run: RunDirectory, seeds: int, horizons: int) -> Evaluation:
    """The training curves of the run's optimizer, of its initialization and of tuned Adam."""
    config = run.read_config()
    if not run.result.exists():
        raise ValueError(
            f"{run.path} is not complete. Finish it with: lopt train --resume {run.path}"
        )
    task, keys, steps = config.make_task(), held_out_keys(seeds), horizons * config.horizon
    trained, initial = load(run.result), load(run.initial)
    name = config.optimizer.upper() if config.optimizer == "star" else config.optimizer
    rate, adam = tuned_adam(task, config.horizon, steps, keys)

    both = jax.tree.map(
        lambda a, b: jnp.stack([a, b]), trained.meta_parameters, initial.meta_parameters
    )
    after, before = training_curves(task, config.make_optimizer, both, steps, keys)
    return Evaluation(
        config,
        {
            f"{name}, meta-trained": after,
            f"Adam, rate {rate:g}": adam,
            f"{name}, untrained": before,
        },
        task.loss_ceiling,
    )


def table(evaluation: Evaluation) -> Table:
    """The comparison as a table: means over the seeds with their standard deviation."""
    horizon = evaluation.config.horizon
    seeds, steps = next(iter(evaluation.curves.values())).shape
    result = Table(
        title=f"Training loss of {seeds} held-out seeds (mean ± standard deviation)",
        caption=f"meta-loss: mean over steps 1 to {horizon}. rise: seeds whose loss at step "
        f"{steps} is above that at step {horizon}, or not finite.",
    )
    result.add_column("optimizer", no_wrap=True)
    for name in ("meta-loss", f"at step {horizon}", f"at step {steps}", "rise"):
        result.add_column(name, justify="right", no_wrap=True)
    for s in evaluation.summaries():
        result.add_row(
            s.name,
            _spread(s.meta_loss),
            _spread(s.at_horizon),
            _spread(s.at_end),
            str(s.rises),
        )
    return result


def _spread(values: NDArray[np.float64]) -> str:
    return f"{values.mean():.3f} ± {values.std(ddof=1) if values.size > 1 else 0.0:.3f}"
