"""``lopt train``: meta-train in a run directory, or go on with one."""

import argparse
import signal
import sys
import typing
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import FrameType, UnionType
from typing import Any

import jax

from lopt.cli.display import Display
from lopt.meta.config import OPTIMIZERS, TrainConfig
from lopt.meta.run import RunDirectory
from lopt.meta.trainer import train
from lopt.meta.watch import probe
from lopt.tasks.registry import task_names

CHOICES = {"optimizer": tuple(OPTIMIZERS)}
NAMES = {
    "task": f": {', '.join(task_names())}; a size may stand before the network, as in "
    "cifar10-16x16-convnet"
}


def add_parser(commands: Any) -> None:
    """Add ``train`` to the command line, with a flag for every field of the configuration."""
    parser = commands.add_parser(
        "train",
        help="meta-train a learned optimizer",
        description="Meta-train by PES in a run directory: configuration, metrics, "
        "checkpoints, trained meta-parameters.",
    )
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--run", metavar="DIR", type=Path, help="start a run in this new directory")
    place.add_argument(
        "--resume", metavar="DIR", type=Path, help="go on with the run in this directory"
    )
    hints = typing.get_type_hints(TrainConfig)
    for field in fields(TrainConfig):
        default = "" if field.default is None else f" (default {field.default})"
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            type=_plain(hints[field.name]),
            choices=CHOICES.get(field.name),
            metavar=None if field.name in CHOICES else "X",
            default=argparse.SUPPRESS,
            help=f"{field.metadata['help']}{NAMES.get(field.name, '')}{default}",
        )
    parser.set_defaults(run_command=run_command)


def _plain(hint: Any) -> Callable[[str], Any]:
    """The type of a field without its ``| None``."""
    if isinstance(hint, UnionType):
        return next(t for t in hint.__args__ if t is not type(None))
    return hint


def run_command(options: argparse.Namespace) -> int:
    """Start or resume, show progress, and end well on SIGINT and SIGTERM."""
    given = {
        f.name: getattr(options, f.name) for f in fields(TrainConfig) if hasattr(options, f.name)
    }
    resume = options.resume is not None
    run = RunDirectory(options.resume if resume else options.run)
    if resume and given:
        flag = "--" + next(iter(given)).replace("_", "-")
        raise ValueError(f"{flag} does not go with --resume: the run keeps its configuration.")
    config = run.read_config() if resume else TrainConfig(**given)
    if resume and run.result.exists():
        print(f"{run.path} is complete: {run.result}")
        return 0
    use_devices(config.devices)
    task = config.make_task()
    with Stop() as stop, Display(config, run.path) as display:
        done = train(
            config,
            run,
            task=task,
            resume=resume,
            monitor=probe(config, task).measure if config.monitor_every else None,
            observer=display,
            stop=lambda: stop.signal is not None,
        )
    if done < config.outer_steps:
        print(
            f"Stopped after {done} of {config.outer_steps} outer steps. Go on with: lopt "
            f"train --resume {run.path}"
        )
        assert stop.signal is not None
        return 128 + stop.signal
    print(f"Wrote {run.result}")
    return 0


def use_devices(devices: int) -> None:
    """Let the CPU appear as so many devices; of no effect once JAX has started."""
    if devices > 1:
        try:
            jax.config.update("jax_num_cpu_devices", devices)
        except RuntimeError:
            return


class Stop:
    """Remembers the first SIGINT or SIGTERM, so that the outer step in hand is finished; a
    second one ends at once.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._old: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._old[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.signal = number
        self._restore()
        print("\nEnding after this outer step; once more ends at once.", file=sys.stderr)

    def _restore(self) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
