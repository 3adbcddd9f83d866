"""``lopt evaluate``: trained optimizers against tuned baselines on held-out seeds, on one task or
on every task of a suite.
"""

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
from lopt.meta.choices import MOST_INNER_STEPS
from lopt.meta.evaluation.comparison import HORIZON, Evaluation, evaluate, find, trained
from lopt.meta.evaluation.entrants import ADAM, RATES
from lopt.meta.evaluation.outcome import Row, SuiteEvaluation, TaskOutcome
from lopt.meta.evaluation.scheduled import ADAMW, BASELINES
from lopt.meta.evaluation.scheduled import RATES as SCHEDULED_RATES
from lopt.meta.evaluation.suite import evaluate_scheduled, evaluate_suite
from lopt.meta.evaluation.tuning import baselines
from lopt.tasks.suites.catalogue import SUITES, suite
from nqm.untrusted import one_line, quoted

SEEDS, SUITE_SEEDS, DRAWS = 8, 3, 16
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
        "evaluated. With --suite or --tasks, several optimizers run on every task, against Adam "
        "and NAdamW that are tuned for it; every finished curve is kept, and the same command "
        "resumes.",
    )
    parser.add_argument(
        "run",
        metavar="WHAT",
        nargs="+",
        help="a run directory, a saved .npz, or the name of a shipped optimizer; several with "
        "--suite or --tasks",
    )
    parser.add_argument("--task", metavar="NAME", help="inner problem (default: the run's)")
    parser.add_argument(
        "--seeds",
        type=int,
        help=f"number of held-out seeds (default: {SEEDS}; of each task of a suite: {SUITE_SEEDS})",
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
    suites = parser.add_argument_group("suites")
    suites.add_argument("--suite", choices=tuple(SUITES), help="train on every task of a suite")
    suites.add_argument("--small", action="store_true", help="its forms for two CPU cores")
    suites.add_argument("--tasks", metavar="NAME", nargs="+", help="train on these tasks")
    suites.add_argument(
        "--scheduled",
        action="store_true",
        help="give everyone a warm-up, a cosine down to zero, weight decay 0.01 and the same "
        f"learning rates: learned optimizers as lopt.scale_by_star, and {', '.join(BASELINES)}; "
        "two tables follow, one with the best learning rate of each for each task and one with the "
        "default rates",
    )
    suites.add_argument(
        "--rates",
        metavar="RATE",
        type=float,
        nargs="+",
        help="Adam's learning rates, or everyone's with --scheduled (default: half-decades from "
        f"{RATES[0]:g} to {RATES[-1]:g}; with --scheduled from {SCHEDULED_RATES[0]:g} to "
        f"{SCHEDULED_RATES[-1]:g})",
    )
    suites.add_argument(
        "--draws",
        type=int,
        default=DRAWS,
        help=f"random draws for NAdamW with a schedule (default: {DRAWS}; paper: 1000); 0 leaves "
        "it out",
    )
    suites.add_argument(
        "--tune",
        action="store_true",
        help="also choose beta_1 of learned optimizers, from as many values as Adam has rates",
    )
    suites.add_argument(
        "--results",
        metavar="DIR",
        type=Path,
        help="where finished curves are kept (default: runs/suite, or runs/suite-scheduled)",
    )
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Evaluate and print the table."""
    many = bool(options.suite or options.tasks)
    _check(options, many)
    return _run_suite(options) if many else _run_one(options)


def _check(options: argparse.Namespace, many: bool) -> None:
    if options.seeds is None:
        options.seeds = SUITE_SEEDS if many else SEEDS
    for name, least, most in (
        ("seeds", 1, MOST_RUNS),
        ("horizons", 1, MOST_INNER_STEPS),
        ("horizon", 1, MOST_INNER_STEPS),
        ("steps", 1, MOST_INNER_STEPS),
        ("search", 0, MOST_RUNS),
        ("draws", 0, MOST_RUNS),
    ):
        value = getattr(options, name)
        if value is not None:
            require(f"--{name}", value, value >= least, f"at least {least}")
            require(f"--{name}", value, value <= most, f"at most {most}")
    if options.json and not os.path.isdir(options.json.absolute().parent):
        raise ValueError(f"the folder of --json {options.json} does not exist. Make it first.")
    if not many and len(options.run) > 1:
        raise ValueError(
            f"{len(options.run)} optimizers are named; several need --suite or --tasks."
        )
    if many and options.task:
        raise ValueError("--task names the one task; a suite takes --tasks.")
    if options.scheduled and not many:
        raise ValueError("--scheduled belongs to --suite or --tasks; give one of them.")
    if options.scheduled and options.tune:
        raise ValueError("--tune chooses beta_1, which --scheduled replaces by a learning rate.")
    if options.small and not options.suite:
        raise ValueError("--small chooses the forms of a suite; name it with --suite.")


def _run_one(options: argparse.Namespace) -> int:
    with Work("evaluate", "reading") as work, Stop(work.interrupted):
        subject = find(options.run[0], options.task, options.horizon)
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
        _write(options.json, evaluation.to_json())
    return 0


def _run_suite(options: argparse.Namespace) -> int:
    tasks = list(suite(options.suite, small=options.small)) if options.suite else []
    tasks = list(dict.fromkeys([*tasks, *(options.tasks or [])]))
    with Work("evaluate", "reading") as work, Stop(work.interrupted):
        optimizers = {}
        for what in options.run:
            name, saved, told = trained(what)
            for sentence in told:
                say(work.console, one_line(f"lopt evaluate: {sentence}"))
            if name in optimizers:
                raise ValueError(
                    f"two optimizers are called {quoted(name)}; rename one, because a row and a "
                    "file of results carry the name."
                )
            optimizers[name] = saved
        common: dict[str, Any] = {
            "seeds": options.seeds,
            "steps": options.steps,
            "tell": work.now,
            "advance": work.advance,
        }
        if options.scheduled:
            results = options.results or Path("runs/suite-scheduled")
            rates = options.rates or SCHEDULED_RATES
            tuned, untuned = evaluate_scheduled(optimizers, tasks, results, rates=rates, **common)
        else:
            tuned = evaluate_suite(
                optimizers,
                tasks,
                options.results or Path("runs/suite"),
                rates=options.rates or RATES,
                draws=options.draws,
                tune=options.tune,
                **common,
            )
    document = {"suite": options.suite, **tuned.to_json()}
    reference = ADAMW if options.scheduled else ADAM
    for each in suite_tables(tuned, reference):
        show(each)
    if options.scheduled:
        show(_summary(untuned, reference, f"{ADAMW}'s, everyone at the default learning rate"))
        document["untuned"] = untuned.to_json()
    if options.json:
        _write(options.json, document)
    return 0


def suite_tables(found: SuiteEvaluation, reference: str = ADAM) -> list[WordTable]:
    """A table for each task with a row for each optimizer, and one of all tasks together."""
    against = f"/{reference}"
    seeds = f"{found.seeds} held-out {'seed' if found.seeds == 1 else 'seeds'}"
    return [
        *(
            WordTable(
                ("optimizer", "final", against, "mean", against, "steps", "diverged", "rate"),
                [_suite_row(task, row) for row in task.rows],
                prose={0},
                right=True,
                title=f"{task.task}: training loss over {task.steps:,} steps, mean of {seeds}",
            )
            for task in found.tasks
        ),
        _summary(found, reference, f"tuned {reference}'s"),
    ]


def _suite_row(task: TaskOutcome, row: Row) -> tuple[str | Text, ...]:
    reached = task.steps_to_adam(row)
    return (
        row.name,
        _number(row.final),
        _times(task.ratio(row, "final")),
        _number(row.mean),
        _times(task.ratio(row, "mean")),
        "never" if reached is None else f"{reached:,}",
        _diverged(int(row.diverged.sum()), len(row.diverged)),
        _rate(row),
    )


def _summary(found: SuiteEvaluation, reference: str, whose: str) -> WordTable:
    """On how many tasks each optimizer is below the reference; what the columns of all tables
    mean.
    """
    names = dict.fromkeys(row.name for task in found.tasks for row in task.rows)
    rows: list[tuple[str | Text, ...]] = []
    for name in names:
        pairs = [(task, row) for task in found.tasks for row in task.rows if row.name == name]
        cells: list[str | Text] = [name]
        for what in ("final", "mean"):
            ratios = np.array([task.ratio(row, what) for task, row in pairs])
            below = f"{int((ratios < 1).sum())} of {len(pairs)}"
            median = _times(float(np.median(np.nan_to_num(ratios, nan=np.inf))))
            cells += ["", ""] if name == reference else [below, median]
        shares = [(task.steps_to_adam(row) or np.inf) / task.steps for task, row in pairs]
        cells.append(_times(float(np.median(shares))))
        lost = sum(bool(row.diverged.any()) for _, row in pairs)
        rows.append((*cells, _diverged(lost, len(pairs))))
    skipped = "".join(f" Skipped: {name} ({why})" for name, why in found.skipped.items())
    return WordTable(
        ("optimizer", "final below", "median", "mean below", "median", "steps", "diverged"),
        rows,
        prose={0},
        right=True,
        title=f"All tasks: on how many the loss is below {whose}, and the median of the ratio; the "
        "median share of the steps to the same final loss; on how many some seed diverges",
        note=f"final: mean over the last tenth of the steps. mean: over all steps. /{reference}: "
        f"divided by {reference}'s. steps: to {reference}'s final loss. diverged: seeds whose "
        "final loss is not finite or above the task's ceiling; they count as the ceiling. rate: "
        "learning rate, or beta_1; what is tuned has the least final loss on these seeds."
        f"{skipped}",
    )


def _number(values: NDArray[np.float64]) -> str:
    mean = float(values.mean())
    return f"{mean:#.4g}" if np.isfinite(mean) else "—"


def _times(ratio: float) -> Text:
    if not np.isfinite(ratio):
        return Text("—")
    return Text(f"{ratio:.2f}", style="green" if ratio < 0.995 else "")


def _diverged(count: int, of: int) -> Text:
    return Text(f"{count} of {of}" if count else "no", style="red" if count else "")


def _rate(row: Row) -> str:
    rate = row.constants.get("learning_rate", row.constants.get("nominal_step"))
    return "" if rate is None else f"{rate:.2g}"


def _write(path: Path, document: dict[str, Any]) -> None:
    try:
        with written_whole(path) as file:
            file.write((json.dumps(document, indent=2) + "\n").encode())
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
