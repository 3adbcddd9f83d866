"""What a command shows while it works: a live line in a terminal, in a log a line every few
seconds.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from lopt.cli.tables import WIDE, say
from lopt.meta.config import TrainConfig
from lopt.meta.training.loop import Measurement, Progress

LOG_EVERY_SECONDS = 10.0
SMOOTH_OVER = 50
# Columns from which the live line shows every word and the numbers behind the verdict.
STYLES = {"stable": "green", "marginal": "yellow", "unstable": "red", "diverged": "bold red"}


def seconds(since: float) -> str:
    """The time since, as 7 s or 1:07.

    Examples
    --------
    >>> seconds(time.monotonic() - 7.2)
    '7 s'
    """
    whole = int(time.monotonic() - since)
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02}"


class Ticker:
    """Calls `tick` every few seconds in a thread of its own, while the main thread compiles."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lopt-ticker", daemon=True)

    def start(self) -> None:
        """Begin to tick."""
        self._thread.start()

    def stop(self) -> None:
        """End; no tick comes afterwards."""
        self._end.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(LOG_EVERY_SECONDS):
            self._tick()


class _Live(Bar):
    """A bar, before which another line is shown until `is_begun`."""

    def __init__(
        self,
        *columns: Any,
        before: Callable[[], Text],
        is_begun: Callable[[], bool],
        **options: Any,
    ) -> None:
        self._before, self._is_begun = before, is_begun
        super().__init__(*columns, **options)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The line, or the bar."""
        if self._is_begun():
            yield from super().get_renderables()
        else:
            yield self._before()


class Display:
    """An observer that shows outer step, meta-loss, eigenvalue verdict, inner steps a second
    and the time left, and before the first outer step for how long XLA has been compiling.
    """

    def __init__(self, config: TrainConfig, where: Path) -> None:
        self.config = config
        self.console = Console(highlight=False)
        self.live = self.console.is_terminal
        self.losses: deque[float] = deque(maxlen=SMOOTH_OVER)
        self.by_task: dict[str, deque[float]] = {}
        self.rates: deque[float] = deque(maxlen=SMOOTH_OVER)
        self.verdict = "off" if config.monitor_every == 0 else "…"
        self.where = where
        self.entered = time.monotonic()
        self.last: Progress | None = None
        self.began: tuple[float, int] | None = None
        self.wide = self.console.width >= WIDE
        self.bar = _Live(
            TextColumn("outer step" if self.wide else "step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=20 if self.wide else 4),
            TextColumn("meta-loss {task.fields[loss]}"),
            TextColumn("eigenvalues {task.fields[verdict]}"),
            TextColumn(
                "{task.fields[rate]} inner steps/s" if self.wide else "{task.fields[rate]}/s"
            ),
            TimeRemainingColumn(),
            before=lambda: Text(self._compiling(), no_wrap=True),
            is_begun=lambda: self.began is not None,
            console=self.console,
            disable=not self.live,
        )
        self.task = self.bar.add_task(
            "", total=config.outer_steps, loss="…", verdict=self.verdict, rate="…"
        )
        self.ticker = Ticker(self._log)
        self.logged = -1

    def __enter__(self) -> "Display":
        c = self.config
        say(
            self.console,
            f"Meta-training {c.optimizer} on {', '.join(c.task_names)}: {particles(c)}"
            f"{' for each' if c.tasks else ''}, horizon {c.horizon}, truncation {c.truncation}; "
            f"into {self.where} (compiling first)",
        )
        self.entered = time.monotonic()
        self.bar.start()
        if not self.live:
            self.ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.ticker.stop()
        self.bar.stop()

    @property
    def is_begun(self) -> bool:
        """Whether an outer step has been taken."""
        return self.began is not None

    def step(self, progress: Progress) -> None:
        """Show an outer step."""
        first = self.began is None
        self.last = progress
        self.losses.append(progress.meta_loss)
        for name, seen in (progress.tasks or {}).items():
            losses = self.by_task.setdefault(name, deque(maxlen=SMOOTH_OVER))
            losses.append(seen["meta_loss"])
        if not first:
            self.rates.append(progress.inner_steps_per_second)
        if self.live:
            self.bar.update(
                self.task,
                completed=progress.outer_step,
                loss=f"{self._loss():.3f}" + (self._by_task() if self.wide else ""),
                verdict=self.styled(),
                rate=f"{self._rate():,.0f}" if self.rates else "…",
            )
        if first:
            self.began = (time.monotonic(), progress.outer_step)
        if not self.live and (first or progress.outer_step == self.config.outer_steps):
            self._log()

    def measured(self, outer_step: int, measurement: Measurement) -> None:
        """Show a measurement of the monitor."""
        del outer_step
        self.verdict = measurement.text()

    def warn(self, message: str) -> None:
        """Show something that the run has got over."""
        say(self.console, message, style="yellow")

    def styled(self) -> str:
        """The verdict in its colour, with its numbers where there is room."""
        word = self.verdict.split()[0]
        text = self.verdict if self.wide else word
        return f"[{STYLES[word]}]{text}[/]" if word in STYLES else text

    def _compiling(self) -> str:
        return f"compiling: {seconds(self.entered)}"

    def _loss(self) -> float:
        return sum(self.losses) / len(self.losses)

    def _by_task(self) -> str:
        """The mean meta-loss of each of several tasks, in their order."""
        if not self.by_task:
            return ""
        means = (sum(losses) / len(losses) for losses in self.by_task.values())
        return f" ({' '.join(f'{mean:.3f}' for mean in means)})"

    def _rate(self) -> float:
        return sum(self.rates) / max(1, len(self.rates))

    def _log(self) -> None:
        """Print a line of the log."""
        if self.last is None or self.began is None:
            return say(self.console, self._compiling())
        start, first = self.began
        outer_step, outer_steps = self.last.outer_step, self.config.outer_steps
        if outer_step == self.logged == outer_steps:
            return None
        self.logged = outer_step
        done = outer_step - first
        left = (outer_steps - outer_step) * (time.monotonic() - start) / max(1, done)
        time_left = f"{left:.0f} s left" if done else f"compiled in {seconds(self.entered)}"
        rate = f"{self._rate():,.0f} inner steps/s  " if self.rates else ""
        return say(
            self.console,
            f"outer step {outer_step}/{outer_steps}  meta-loss {self._loss():.3f}"
            f"{self._by_task()}  eigenvalues {self.verdict}  {rate}{time_left}",
        )


def particles(config: TrainConfig) -> str:
    """How many particles take part, in words.

    Examples
    --------
    >>> particles(TrainConfig(pairs=1)), particles(TrainConfig())
    ('1 antithetic pair', '8 antithetic pairs')
    >>> particles(TrainConfig(pairs=2, estimator="full-backprop"))
    '2 particles'
    """
    if config.estimator == "exact":
        return "exact meta-gradient"
    word = "particle" if config.estimator.endswith("backprop") else "antithetic pair"
    return f"{config.pairs} {word}{'' if config.pairs == 1 else 's'}"


class Work:
    """What a command is doing and for how long, on standard error: a live line in a terminal, in
    a log one every ten seconds.
    """

    def __init__(self, command: str, doing: str) -> None:
        self.command, self.doing = command, doing
        self.total, self.done = 0, 0
        self.entered = time.monotonic()
        self.console = Console(stderr=True, highlight=False)
        self.live = self.console.is_terminal
        self.bar = _Live(
            before=lambda: Text(self._text(), no_wrap=True),
            is_begun=lambda: False,
            console=self.console,
            disable=not self.live,
            transient=True,
        )
        self.ticker = Ticker(self._log)

    def __enter__(self) -> "Work":
        self.entered = time.monotonic()
        self.bar.start()
        if not self.live:
            self.ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.ticker.stop()
        self.bar.stop()

    def interrupted(self) -> None:
        """Say that a signal has ended the command."""
        self.close()
        print(f"lopt {self.command}: interrupted", file=sys.stderr)

    def now(self, doing: str, total: int = 0) -> None:
        """Say what is done from now on, and of how many steps it consists."""
        self.doing, self.total, self.done = doing, total, 0

    def advance(self, steps: int) -> None:
        """Count steps that are done."""
        self.done += steps

    def _text(self) -> str:
        share = f" {100 * self.done // self.total} %," if self.total else ""
        return f"{self.doing}:{share} {seconds(self.entered)}"

    def _log(self) -> None:
        say(self.console, f"lopt {self.command}: {self._text()}")
