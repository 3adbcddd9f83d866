"""``lopt evaluate``: a trained optimizer against tuned baselines on held-out seeds."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from lopt.checks import require
from lopt.cli.display import Work
from lopt.cli.stop import Stop
from lopt.cli.tables import WordTable, say, show
from lopt.files import written_whole
from lopt.meta.config import MOST_INNER_STEPS
from lopt.meta.evaluation.comparison import HORIZON, Evaluation, evaluate, find
from lopt.meta.evaluation.tuning import baselines
from nqm.untrusted import one_line

# The most held-out seeds, and the most draws of the search.
MOST_RUNS = 2**20


def add_parser(commands: Any) -> None:
    """Add ``evaluate`` to the command line."""
    parser = commands.add_parser(
        "evaluate",
        help="compare a trained optimizer with tuned baselines",
        description="Train inner problems from held-out seeds with a trained optimizer (and, given "
        "a run, with its initialization), and with baselines that are tuned on the same seeds over "
        "the horizon: Adam and SGD with momentum at the best learning rate of a half-decade grid, "
        "and NAdamW by random search. Of a run that is not complete, the newest checkpoint is "
        "evaluated.",
    )
    parser.add_argument(
        "run",
        metavar="WHAT",
        help="a run directory, a saved .npz, or the name of a shipped optimizer",
    )
    parser.add_argument("--task", metavar="NAME", help="inner problem (default: the run's)")
    parser.add_argument(
        "--seeds", type=int, default=8, help="number of held-out seeds (default: 8)"
    )
    parser.add_argument(
        "--horizon",
        type=int,
        help=f"inner steps of the meta-loss (default: as in meta-training, else {HORIZON})",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--horizons", type=int, default=5, help="length of training in horizons (default: 5)"
    )
    length.add_argument("--steps", type=int, help="length of training in inner steps")
    parser.add_argument(
        "--search",
        type=int,
        default=32,
        help="random draws for NAdamW (default: 32; paper: 1000); 0 leaves it out",
    )
    parser.add_argument(
        "--json", metavar="FILE", type=Path, help="write the numbers of every seed to FILE"
    )
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Evaluate and print the table."""
    for name, least, most in (
        ("seeds", 1, MOST_RUNS),
        ("horizons", 1, MOST_INNER_STEPS),
        ("horizon", 1, MOST_INNER_STEPS),
        ("steps", 1, MOST_INNER_STEPS),
        ("search", 0, MOST_RUNS),
    ):
        value = getattr(options, name)
        if value is not None:
            require(f"--{name}", value, value >= least, f"at least {least}")
            require(f"--{name}", value, value <= most, f"at most {most}")
    if options.json and not os.path.isdir(options.json.absolute().parent):
        raise ValueError(f"the folder of --json {options.json} does not exist. Make it first.")
    with Work("evaluate", "reading") as work, Stop(work.interrupted):
        subject = find(options.run, options.task, options.horizon)
        for sentence in subject.told:
            say(work.console, one_line(f"lopt evaluate: {sentence}"))
        steps = options.steps or options.horizons * subject.horizon
        require(
            "--horizons",
            options.horizons,
            steps <= MOST_INNER_STEPS,
            f"{MOST_INNER_STEPS} steps or fewer together",
        )
        compared = baselines(options.search)
        total = len(subject.thetas) * steps
        total += sum(b.steps(min(subject.horizon, steps), steps) for b in compared)
        work.now("compiling and training", total)
        evaluation = evaluate(subject, compared, options.seeds, steps, work.advance)
    show(table(evaluation))
    if options.json:
        _write(options.json, evaluation)
    return 0


def _write(path: Path, evaluation: Evaluation) -> None:
    try:
        with written_whole(path) as file:
            file.write((json.dumps(evaluation.to_json(), indent=2) + "\n").encode())
    except OSError as error:
        raise ValueError(f"--json {path} cannot be written ({error.strerror}).") from None


def table(evaluation: Evaluation) -> WordTable:
    """The comparison as a table of means over the seeds with their standard deviations."""
    horizon = evaluation.horizon
    seeds, steps = next(iter(evaluation.curves.values())).shape
    return WordTable(
        ("optimizer", "meta-loss", f"at step {horizon}", f"at step {steps}", "rise", "diverged"),
        [
            (
                s.name,
                _spread(s.meta_loss),
                _spread(s.at_horizon),
                _spread(s.at_end),
                str(s.rises),
                Text(str(s.diverged), style="red" if s.diverged else ""),
            )
            for s in evaluation.summaries()
        ],
        prose={0},
        right=True,
        title=f"Training loss of {seeds} held-out {'seed' if seeds == 1 else 'seeds'} of "
        f"{evaluation.task} (mean ± standard deviation)",
        note=f"meta-loss: mean loss over steps 1 to {horizon}. rise: number of seeds whose loss at "
        f"step {steps} is above that at step {horizon}, or not finite. diverged: number of seeds "
        f"whose loss at step {steps} is not finite or above {evaluation.ceiling:.3g}. Means leave "
        "out losses that are not finite.",
    )


def _spread(values: NDArray[np.float64]) -> str:
    values = values[np.isfinite(values)]
    if not values.size:
        return "—"
    return f"{values.mean():.3f} ± {values.std(ddof=1) if values.size > 1 else 0.0:.3f}"
