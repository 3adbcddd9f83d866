"""The progress of a run: a live line in a terminal, a plain line every few seconds in a log."""

import time
from collections import deque
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from lopt.meta.config import TrainConfig
from lopt.meta.training.loop import Measurement, Progress

LOG_EVERY_SECONDS = 15.0
SMOOTH_OVER = 50
# Columns from which the live line shows every word and the numbers behind the verdict.
WIDE = 130
STYLES = {"stable": "green", "marginal": "yellow", "unstable": "red", "diverged": "bold red"}


def table_console() -> Console:
    """Where tables are printed: a log has no width of its own, and shows all of them."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


class Display:
    """An observer that shows outer step, meta-loss, eigenvalue verdict, inner steps a second
    and the time left.
    """

    def __init__(self, config: TrainConfig, where: Path) -> None:
        self.config = config
        self.console = Console(highlight=False, soft_wrap=True)
        self.live = self.console.is_terminal
        self.losses: deque[float] = deque(maxlen=SMOOTH_OVER)
        self.rates: deque[float] = deque(maxlen=SMOOTH_OVER)
        self.verdict = "off" if config.monitor_every == 0 else "…"
        self.last_line = -LOG_EVERY_SECONDS
        self.where = where
        self.began: tuple[float, int] | None = None
        self.wide = self.console.width >= WIDE
        self.bar = Bar(
            TextColumn("outer step" if self.wide else "step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=20 if self.wide else 4),
            TextColumn("meta-loss {task.fields[loss]}"),
            TextColumn("eigenvalues {task.fields[verdict]}"),
            TextColumn(
                "{task.fields[rate]} inner steps/s" if self.wide else "{task.fields[rate]}/s"
            ),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.live,
        )
        self.task = self.bar.add_task(
            "", total=config.outer_steps, loss="…", verdict=self.verdict, rate="…"
        )

    def __enter__(self) -> "Display":
        c = self.config
        self.console.print(
            f"Meta-training {c.optimizer} on {c.task}: {c.pairs} antithetic pairs, "
            f"horizon {c.horizon}, "
            f"truncation {c.truncation}; into {self.where} (compiling first)",
            markup=False,
        )
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def step(self, progress: Progress) -> None:
        """Show an outer step."""
        now = time.monotonic()
        if self.began is None:
            self.began = (now, progress.outer_step)
        else:
            self.rates.append(progress.inner_steps_per_second)
        self.losses.append(progress.meta_loss)
        loss = sum(self.losses) / len(self.losses)
        rate = sum(self.rates) / max(1, len(self.rates))
        if self.live:
            self.bar.update(
                self.task,
                completed=progress.outer_step,
                loss=f"{loss:.3f}",
                verdict=self.styled(),
                rate=f"{rate:,.0f}" if rate else "…",
            )
            return
        last = progress.outer_step == self.config.outer_steps
        if last or now - self.last_line >= LOG_EVERY_SECONDS:
            self.last_line = now
            start, first = self.began
            done = progress.outer_step - first
            left = (self.config.outer_steps - progress.outer_step) * (now - start) / max(1, done)
            time_left = f"{left:.0f} s left" if done else "compiled"
            self.console.print(
                f"outer step {progress.outer_step}/{self.config.outer_steps}  meta-loss "
                f"{loss:.3f}  "
                f"eigenvalues {self.verdict}  {rate:,.0f} inner steps/s  {time_left}"
            )

    def measured(self, outer_step: int, measurement: Measurement) -> None:
        """Show a measurement of the monitor."""
        del outer_step
        self.verdict = measurement.text()

    def warn(self, message: str) -> None:
        """Show something that the run has got over."""
        self.console.print(message, style="yellow", markup=False)

    def styled(self) -> str:
        """The verdict in its colour, with its numbers where there is room."""
        word = self.verdict.split()[0]
        text = self.verdict if self.wide else word
        return f"[{STYLES[word]}]{text}[/]" if word in STYLES else text
