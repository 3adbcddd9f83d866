"""``lopt runs``: list runs, and show in which fields their configurations differ."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lopt.cli.tables import WordTable, show
from lopt.meta.config import TrainConfig
from lopt.meta.run.directory import RunDirectory
from nqm.untrusted import one_line

SMOOTH_OVER = 50


@dataclass(frozen=True)
class RunSummary:
    """A row of the list."""

    name: str
    optimizer: str
    task: str
    outer_step: int
    outer_steps: int
    state: str
    """"running" (a process holds its lock), "complete" or "stopped"."""
    meta_loss: float | None
    """The mean over the last fifty outer steps."""
    verdict: str | None
    """The last verdict of the monitor."""


def add_parser(commands: Any) -> None:
    """Add ``runs`` to the command line."""
    parser = commands.add_parser(
        "runs",
        help="list and compare runs",
        description="List the runs in each DIR, which is a run directory or contains some, with "
        "optimizer, task, outer steps, state, meta-loss (mean of the last 50 outer steps) and the "
        "last verdict of the eigenvalue monitor.",
    )
    parser.add_argument(
        "folders",
        metavar="DIR",
        type=Path,
        nargs="*",
        default=[Path("runs")],
        help="where the runs are (default: runs)",
    )
    parser.add_argument(
        "--diff",
        action="store_true",
        help="compare the runs: progress, and the fields in which their configurations differ",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON array instead of a table"
    )
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Print the list or the comparison."""
    rows, configs, skipped = [], [], []
    for run in (run for folder in options.folders for run in find(folder)):
        try:
            config = run.read_config()
            rows.append(summarize(run, config))
            configs.append(config)
        except ValueError as error:
            skipped.append(str(error))
    if not rows:
        raise ValueError(skipped[0])
    for reason in skipped:
        print(one_line(f"lopt runs: skipped: {reason}"), file=sys.stderr)
    differences = differing(configs)
    if options.json:
        document = [
            asdict(row) | {"differs": {name: values[k] for name, values in differences.items()}}
            for k, row in enumerate(rows)
        ]
        print(json.dumps(document, indent=2))
        return 0
    show(_differences(rows, differences) if options.diff else _list(rows))
    return 0


def find(folder: Path) -> Iterator[RunDirectory]:
    """Yield the run that `folder` is, or the runs in it, by name.

    Raises
    ------
    ValueError
        Where there are none.
    """
    candidates = [folder, *sorted(folder.glob("*/"))]
    found = [run for run in map(RunDirectory, candidates) if os.path.lexists(run.config_file)]
    if not found:
        place = one_line(str(folder), 200)
        raise ValueError(f"{place} holds no run. Name a run directory, or one that contains some.")
    yield from found


def summarize(run: RunDirectory, config: TrainConfig) -> RunSummary:
    """A row of the list, read from the files of the run; what cannot be read is reported."""
    lines, told, _ = run.metrics()
    for message in told:
        print(one_line(f"lopt runs: {message}"), file=sys.stderr)
    losses = [m["meta_loss"] for m in lines if m.get("meta_loss") is not None][-SMOOTH_OVER:]
    verdicts = [m["monitor"].get("verdict") for m in lines if "monitor" in m]
    state = "complete" if os.path.isfile(run.result) else "stopped"
    return RunSummary(
        name=str(run.path),
        optimizer=config.optimizer,
        task=", ".join(config.task_names),
        outer_step=max((m["outer_step"] for m in lines), default=0),
        outer_steps=config.outer_steps,
        state="running" if run.writer() is not None else state,
        meta_loss=sum(loss / len(losses) for loss in losses) if losses else None,
        verdict=verdicts[-1] if verdicts else None,
    )


def differing(configs: Sequence[TrainConfig]) -> dict[str, list[Any]]:
    """The fields in which configurations differ, with the value in each configuration.

    Examples
    --------
    >>> differing([TrainConfig(), TrainConfig(seed=1), TrainConfig()])
    {'seed': [0, 1, 0]}
    """
    columns = {f.name: [getattr(c, f.name) for c in configs] for f in fields(TrainConfig)}
    return {name: values for name, values in columns.items() if len(set(map(repr, values))) > 1}


def _list(rows: Sequence[RunSummary]) -> WordTable:
    """A run in each row."""
    return WordTable(
        ("run", "optimizer", "task", "outer steps", "state", "meta-loss", "eigenvalues"),
        [
            (one_line(row.name), row.optimizer, row.task, *_progress(row), _verdict(row))
            for row in rows
        ],
        prose={6},
    )


def _differences(rows: Sequence[RunSummary], differences: dict[str, list[Any]]) -> WordTable:
    """How far each run is, and every field in which they differ: a run in each column."""
    names = ("outer steps", "state", "meta-loss")
    progress = zip(names, zip(*map(_progress, rows), strict=True), strict=True)
    lines = [
        *((name, *values) for name, values in progress),
        ("eigenvalues", *map(_verdict, rows)),
        *((name, *(_shown(name, v) for v in values)) for name, values in differences.items()),
    ]
    note = "" if len(rows) > 1 else "There is one run, and nothing to compare it with."
    if len(rows) > 1 and not differences:
        note = "The configurations are the same."
    columns = ("", *(one_line(row.name) for row in rows))
    return WordTable(columns, lines, prose=range(1, len(columns)), listed=True, note=note)


def _progress(row: RunSummary) -> tuple[str, str, str]:
    """Outer steps, state and meta-loss of a run."""
    return f"{row.outer_step}/{row.outer_steps}", row.state, _number(row.meta_loss)


def _verdict(row: RunSummary) -> str:
    return one_line(row.verdict or "", 60)


def _shown(name: str, value: Any) -> str:
    """A field's value; where it is not set, what that stands for."""
    if value is None or value == ():
        return str(TrainConfig.__dataclass_fields__[name].metadata["unset"])
    if isinstance(value, tuple):
        return "; ".join(map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
