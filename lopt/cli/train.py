"""``lopt train``: meta-train in a new run directory, or resume a run."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax

from lopt.cli.display import Display
from lopt.cli.flags import add_flags, configuration, given, preset_text
from lopt.cli.stop import Stop
from lopt.meta.config import TrainConfig
from lopt.meta.run.checkpoint import steps
from lopt.meta.run.directory import RunDirectory
from lopt.meta.training.loop import train
from lopt.meta.training.mixture import monitor
from lopt.meta.training.processes import join, several, writes

# The most devices that a CPU is split into, whatever the configuration says.
MOST_CPU_DEVICES = 256


def add_parser(commands: Any) -> None:
    """Add ``train`` to the command line, with a flag for every field of the configuration."""
    parser = commands.add_parser(
        "train",
        help="meta-train a learned optimizer",
        description="Meta-train a learned optimizer in a run directory, which holds the "
        "configuration, metrics, checkpoints and, at the end, the trained meta-parameters.",
        epilog="\n".join(preset_text()),
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--run", metavar="DIR", type=Path, help="start a run in this new directory")
    place.add_argument(
        "--resume",
        metavar="DIR",
        type=Path,
        help="resume the run in this directory; of the flags below only --devices and those for "
        "several processes may be given with it",
    )
    shared = parser.add_argument_group(
        "several processes",
        "Give the same command to every process, on one host or several. --devices counts the "
        "devices of all processes together, and all of them must see the run directory. Under "
        "Slurm or MPI, --distributed is all that is needed.",
    )
    shared.add_argument(
        "--distributed", action="store_true", help="take part as one of several processes"
    )
    shared.add_argument("--coordinator", metavar="HOST:PORT", help="address of the first process")
    shared.add_argument("--processes", type=int, metavar="N", help="number of processes")
    shared.add_argument("--process", type=int, metavar="I", help="index of this process, from 0")
    parser.add_argument(
        "--show-config",
        action="store_true",
        help="print the configuration as JSON and exit",
    )
    add_flags(parser)
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Start or resume a run, show its progress, and leave it resumable on SIGINT and SIGTERM."""
    with Stop(lambda: print("lopt train: interrupted", file=sys.stderr)) as stop:
        config, run = _what(options)
        if options.show_config:
            print(json.dumps(asdict(config), indent=2))
            return 0
        if run is None:
            raise ValueError("one of --run and --resume is needed.")
        if options.resume and os.path.lexists(run.result):
            run.read_result(config)
            print(f"{run.path} is complete: {run.result}")
            return 0
        use_devices(config, options)
        tasks = config.make_tasks()
        with Display(config, run.path) if writes() else nullcontext() as display:
            if display is None or several():  # they agree after an outer step
                stop.waits = lambda: True
            else:
                stop.waits = lambda: display.is_begun
                stop.farewell = _farewell(config, run, display)
            done = train(
                config,
                run,
                task=tasks,
                resume=options.resume is not None,
                monitor=monitor(config, tasks).measure,
                observer=display,
                stop=lambda: stop.signal is not None,
            )
    if not writes():
        return 0 if done == config.outer_steps or stop.signal is None else 128 + stop.signal
    if done == config.outer_steps:
        print(f"Wrote {run.result}")
        return 0
    _say_how_to_go_on(config, run, done)
    return 1 if stop.signal is None else 128 + stop.signal


def _farewell(config: TrainConfig, run: RunDirectory, display: Display) -> Callable[[], None]:
    """What to say where a signal ends the process at once: before the first outer step, or when it
    is the second one.
    """

    def say_it() -> None:
        display.close()
        if run.config_file.exists():
            _say_how_to_go_on(config, run, max(steps(run.checkpoints), default=0))
        else:
            print("lopt train: interrupted", file=sys.stderr)

    return say_it


def _say_how_to_go_on(config: TrainConfig, run: RunDirectory, done: int) -> None:
    count = "1 outer step" if config.outer_steps == 1 else f"{config.outer_steps} outer steps"
    print(f"Stopped after {done} of {count}. Go on with:\n  lopt train --resume {run.path}")


def _what(options: argparse.Namespace) -> tuple[TrainConfig, RunDirectory | None]:
    """The configuration and the run directory, which is not needed to show the configuration."""
    if options.resume is None:
        run = None if options.run is None else RunDirectory(options.run)
        return configuration(options), run
    set_by_flags = given(options)
    others = [name for name in set_by_flags if name != "devices"]
    others += [name for name in ("preset", "config") if getattr(options, name) is not None]
    if others:
        flag = "--" + others[0].replace("_", "-")
        raise ValueError(f"{flag} does not go with --resume: the run keeps its configuration.")
    run = RunDirectory(options.resume)
    return replace(run.read_config(), **set_by_flags), run


def use_devices(config: TrainConfig, options: argparse.Namespace) -> None:
    """Join the other processes, if there are any, and split the CPU into this process's share of
    the devices, by default one for each core; without effect once JAX has started.
    """
    named = [getattr(options, n) for n in ("coordinator", "processes", "process")]
    several = options.distributed or any(x is not None for x in named)
    count = (options.processes or 1) if several else 1
    if config.devices is not None and config.devices % count:
        raise ValueError(
            f"--devices counts those of all processes; {config.devices} is no multiple of {count}."
        )
    own = config.spread(1 if several else _cores()) // count
    if own > 1:
        with suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", min(own, MOST_CPU_DEVICES))
    if several:
        join(*named)


def _cores() -> int:
    """The number of cores that this process may use."""
    with suppress(AttributeError):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
