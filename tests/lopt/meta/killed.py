"""One run, killed many times and resumed: every life is a process.

    python -m tests.lopt.meta.killed FOLDER LIVES

Prints how each life ended. A life inherits the imported modules by a fork that comes before JAX
has started anything. Half of the lives are killed at a moment drawn at random, half inside one of
the functions that write, before or after its work.
"""

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lopt.meta.run import checkpoint, writer
from lopt.meta.run import directory as run
from lopt.meta.training import loop
from tests.lopt.meta.quick import bowl, quick

STEPS_A_LIFE = 6
WRITING: list[tuple[Any, str]] = [
    (checkpoint, "_require_room"),
    (checkpoint, "_sign"),
    (checkpoint, "_sync"),
    (checkpoint, "remove_checkpoint"),
    (checkpoint.ocp.Checkpointer, "save"),
    (Path, "rename"),
    (writer.Writer, "_flush"),
    (loop, "save"),
    (run.RunDirectory, "cut_metrics"),
]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def aimed(generator: random.Random) -> Callable[[Any], None]:
    """Die at a random call of a function that writes, before or after it."""
    count, after = generator.randint(1, 40), generator.random() < 0.5
    calls = iter(range(1, 10**6))

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            due = next(calls) == count
            if due and not after:
                die()
            result = function(*arguments, **named)
            if due:
                die()
            return result

        return wrapped

    for owner, name in WRITING:
        setattr(owner, name, wrap(getattr(owner, name)))
    return lambda done: None


def timed(generator: random.Random) -> Callable[[Any], None]:
    """Die some milliseconds after the beginning of a random outer step."""
    steps, delay = generator.randint(1, STEPS_A_LIFE), generator.uniform(0.0, 0.1)
    seen = iter(range(1, 10**6))

    def observe(progress: Any) -> None:
        if next(seen) == steps:
            threading.Timer(delay, die).start()

    return observe


class Limited:
    """An observer that runs the life's plan, and never lets it finish the run."""

    def __init__(self, plan: Callable[[Any], None]) -> None:
        self.plan, self.steps = plan, 0

    def step(self, progress: Any) -> None:
        self.plan(progress)
        time.sleep(0.04)
        self.steps += 1
        if self.steps > STEPS_A_LIFE:
            die()

    def warn(self, message: str) -> None:
        raise AssertionError(message)


def live(folder: Path, observer: Any, lives: int) -> None:
    """A process's part of the run."""
    directory = run.RunDirectory(folder)
    loop.train(
        quick(outer_steps=(lives + 1) * STEPS_A_LIFE, checkpoint_every=2),
        directory,
        task=bowl(),
        resume=directory.config_file.exists(),
        observer=observer,
    )


def killed_life(folder: Path, kind: Callable[..., Any], seed: int, lives: int) -> None:
    """A part that ends by its plan."""
    live(folder, Limited(kind(random.Random(seed))), lives)


def fork(work: Callable[[], None]) -> int:
    """Run `work` in a child; the status it ended with, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: Path, lives: int) -> None:
    """A whole run, then the killed one."""
    print("whole", fork(lambda: live(folder / "whole", None, lives)), flush=True)
    generator = random.Random(0)
    for number in range(lives):
        kind = aimed if number % 2 else timed
        seed = generator.randrange(10**9)
        status = fork(
            lambda kind=kind, seed=seed: killed_life(folder / "killed", kind, seed, lives)
        )
        print(kind.__name__, status, flush=True)
    print("last", fork(lambda: live(folder / "killed", None, lives)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
