"""The meta-training loop of a run directory: outer steps, metrics, measurements, checkpoints."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from lopt.meta.config import TrainConfig
from lopt.meta.meta_optimizer import raise_weight_decay
from lopt.meta.run.checkpoint import checkpoint_path, read_newest, set_aside, steps
from lopt.meta.run.checkpoint import write_checkpoint as write_first
from lopt.meta.run.directory import RunDirectory, RunError
from lopt.meta.run.versions import versions
from lopt.meta.run.writer import Silent, Writer
from lopt.meta.training.nonfinite import Streak
from lopt.meta.training.processes import any_of, first_does, host_copy, several, writes
from lopt.meta.training.trainer import Trainer, TrainState
from lopt.meta.training.watch import measurement_interval
from lopt.monitor.probing.warning_rules import ACTIONS, WarningRule, Warnings
from lopt.optimizers.files.saved import save
from lopt.optimizers.star_update import MetaParameters
from lopt.tasks.task import Task
from nqm.untrusted import one_line


class Progress(NamedTuple):
    """The quantities that are known after an outer step."""

    outer_step: int
    meta_loss: float
    diverged: float
    gradient_norm: float
    inner_steps_per_second: float
    skipped: int
    """Outer steps so far whose meta-gradient was not finite."""
    tasks: dict[str, dict[str, float]] | None = None
    """Of several tasks the meta-loss and the share of diverged losses of each, by name."""

    def to_json(self) -> dict[str, Any]:
        """What a line of the metrics holds."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Measurement(Protocol):
    """What a monitor returns: a few words for a person, and JSON for the metrics."""

    def text(self) -> str:
        """A line for a person."""

    def to_json(self) -> dict[str, Any]:
        """What a line of the metrics holds."""


class Observer(Protocol):
    """An observer of a run."""

    def step(self, progress: Progress) -> None:
        """Receive a completed outer step."""

    def measured(self, outer_step: int, measurement: Measurement) -> None:
        """Receive what the monitor measured after an outer step."""

    def warn(self, message: str) -> None:
        """Receive a warning; the run continues."""


# Of the meta-parameters, the state of the estimator and the outer steps done.
Monitor = Callable[[MetaParameters, Any, int], Measurement]


def train(
    config: TrainConfig,
    run: RunDirectory,
    *,
    task: Task | Sequence[Task] | None = None,
    resume: bool = False,
    monitor: Monitor | None = None,
    observer: Observer | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Meta-train in a run directory; return the number of outer steps done.

    `task`, one or several, is the configuration's own unless given.
    Fewer than ``config.outer_steps`` means that `stop` asked for an end; a checkpoint was then
    written, and resuming goes on from there.

    Raises
    ------
    ValueError
        Where the directory holds a run already, holds none to resume, cannot be written, or is
        being written by another process.
    RunError
        Where the run cannot go on: the disk is full, or ten meta-gradients in a row were not
        finite. What is left is the last good checkpoint.
    """
    trainer = Trainer(config, task)
    config = trainer.config
    with ExitStack() as held:
        first_does(lambda: _claim(run, held, resume=resume), None)
        initial = host_copy(trainer.init())

        def begin() -> tuple[TrainState, int]:
            if resume:
                return _resume(run, config, initial, observer)
            run.create(config, lambda: _begin(run, config, initial))
            return initial, 0

        saved, done = first_does(begin, (initial, 0))
        state, done = trainer.place(saved), int(done)
        try:
            with _writer(run, done) as writer:
                loop = Loop(trainer, run, writer, state, done, monitor, observer, stop)
                loop.run_on()
            if loop.done == config.outer_steps and writes():
                origin = {"run": asdict(config), "outer_steps": loop.done, "versions": versions()}
                theta = host_copy(loop.state.theta)
                save(run.result, theta, config.optimizer_config, origin)
        except OSError as error:
            raise run.cannot_write(error) from None
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            if several():  # JAX reports a broken connection as the one or the other
                raise run.left_alone(error) from None
            raise
    return loop.done


def _claim(run: RunDirectory, held: ExitStack, *, resume: bool) -> None:
    """Lock the directory for this process; a new run needs a new directory."""
    held.enter_context(run.locked())
    if not resume:
        run.require_new()


def _writer(run: RunDirectory, done: int) -> Writer | Silent:
    return Writer(run, forget_from=_first_line(done)) if writes() else Silent()


def _begin(run: RunDirectory, config: TrainConfig, state: TrainState) -> None:
    """Write the initial state of a run."""
    save(run.initial, state.theta, config.optimizer_config)
    write_first(run.checkpoints, 0, state)


def _resume(
    run: RunDirectory, config: TrainConfig, state: TrainState, observer: Observer | None
) -> tuple[TrainState, int]:
    """The newest good state; the metrics written after it are removed, and newer checkpoints set
    aside: the run does it again.
    """
    run.require_own_folder()
    metrics = run.metrics()
    ends = {"outer_steps of the configuration": config.outer_steps}
    # Metrics are on the disk before a checkpoint is written; without any, nothing speaks against.
    if metrics.last is not None:
        ends["the last outer step in metrics.jsonl"] = metrics.last
    newest = read_newest(run.checkpoints, state, ends=ends, written_by=run.read_versions())
    told = list(metrics.told)
    if metrics.last is None and newest.outer_step:
        told.append(f"{run.metrics_file} holds no line: what was measured before is lost.")
    newer = [s for s in reversed(steps(run.checkpoints)) if s > newest.outer_step]
    try:
        for outer_step, message in zip(newer, newest.damaged, strict=True):
            kept = set_aside(run.checkpoints, outer_step).name
            told.append(
                f"{message} Going on from outer step {newest.outer_step}; it is kept as {kept}."
            )
        run.cut_metrics(_first_line(newest.outer_step))
    except OSError as error:
        raise run.cannot_write(error) from None
    for message in told:
        if observer:
            observer.warn(one_line(message))
    return newest.state, newest.outer_step


def _first_line(done: int) -> int:
    """The outer step of the first line that a run writes which goes on after `done`: before the
    first outer step there is a measurement.
    """
    return done + 1 if done else 0


class Loop:
    """The remaining outer steps of a run.

    Everything that is due after an outer step happens in this order: its metrics, a measurement,
    what follows from the measurement, a checkpoint.
    """

    def __init__(
        self,
        trainer: Trainer,
        run: RunDirectory,
        writer: Writer | Silent,
        state: TrainState,
        done: int,
        monitor: Monitor | None = None,
        observer: Observer | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.trainer, self.config, self.run, self.writer = trainer, trainer.config, run, writer
        self.state, self.done = state, done
        self.monitor, self.observer, self.stop = monitor, observer, stop
        self.measure_every = measurement_interval(self.config, trainer.tasks)
        self.stopping = False
        self.checkpoint_owed = False
        self.streak = Streak(state.meta_optimizer)
        self.verdict = "none yet"
        self.warnings = Warnings([WarningRule.parse(text) for text in self.config.rules])
        for line in run.read_metrics() if writes() and self.warnings.rules else ():
            if "monitor" in line:  # a resumed run goes on counting
                self.warnings.see(*line["monitor"]["points"])

    def run_on(self) -> None:
        """Continue to the last outer step, or until `stopping` is set."""
        outer_steps, every = self.config.outer_steps, self.config.checkpoint_every
        if self.done == 0:
            self._measure()
        while self.done < outer_steps and not self.stopping:
            self._outer_step()
            if self.done == outer_steps or self._is_multiple(self.measure_every):
                self._measure()
            self.stopping = self.stopping or any_of(self.stop())
            self.checkpoint_owed |= self.done % every == 0
            self._checkpoint()
            self.writer.check()
        self.writer.wait()

    def _outer_step(self) -> None:
        start = time.perf_counter()
        self.state, seen = self.trainer.step(self.state, self.done)
        nonfinite_step = seen.pop("nonfinite_step")
        values = jax.tree.map(
            lambda value: np.asarray(value).item(),
            {name: seen[name] for name in Progress._fields if name in seen},
        )
        if "tasks" in values:  # in their order, which a tree does not keep
            values["tasks"] = {name: values["tasks"][name] for name in self.trainer.names}
        inner_steps = self.trainer.inner_steps
        rate = inner_steps / (time.perf_counter() - start)
        self.done += 1
        progress = Progress(outer_step=self.done, inner_steps_per_second=rate, **values)
        self.writer.line(progress.to_json())
        if self.observer:
            self.observer.step(progress)
        # Spread over the devices: not worth fetching where every particle was well.
        skipped = progress.skipped > self.streak.skipped
        self.streak.add(progress.skipped, host_copy(nonfinite_step) if skipped else None)
        if self.streak.is_over:
            self.writer.wait()
            raise self._not_finite()

    def _measure(self) -> None:
        """Measure the eigenvalues, if they are watched."""
        if self.monitor is None or not self.measure_every:
            return
        due = np.zeros(len(ACTIONS), bool)
        if writes():
            measurement = self.monitor(host_copy(self.state.theta), self.state.pairs, self.done)
            self.writer.line({"outer_step": self.done, "monitor": measurement.to_json()})
            if self.observer:
                self.observer.measured(self.done, measurement)
            self.verdict = f"{measurement.text()} (after outer step {self.done})"
            for rule in self.warnings.see(*measurement.to_json()["points"]):
                due[ACTIONS.index(rule.action)] = True
                self._warn(f"outer step {self.done}: {rule.text()} ({measurement.text()})")
        if self.warnings.rules:
            self._react(first_does(lambda: due, due))

    def _react(self, due: np.ndarray) -> None:
        """Carry out the rules' actions, before the checkpoint of this outer step is written."""
        asked = {action for action, is_due in zip(ACTIONS, due, strict=True) if is_due}
        self.stopping |= "stop" in asked
        self.checkpoint_owed |= "checkpoint" in asked
        if "raise-weight-decay" in asked:
            raised, meta_optimizer = raise_weight_decay(host_copy(self.state.meta_optimizer))
            self.state = self.trainer.place(self.state._replace(meta_optimizer=meta_optimizer))
            self._warn(f"outer step {self.done}: weight decay raised to {raised:g}")

    def _warn(self, message: str) -> None:
        """Report a warning and record it in the metrics."""
        self.writer.line({"outer_step": self.done, "warning": message})
        if self.observer:
            self.observer.warn(message)

    def _checkpoint(self) -> None:
        """Have a checkpoint written where one is owed; one that is due while meta-gradients are
        not finite waits until they are, so that the newest one is good.
        """
        last = self.stopping or self.done == self.config.outer_steps
        if last or (self.checkpoint_owed and self.streak.length == 0):
            self.writer.checkpoint(self.done, host_copy(self.state))
            self.checkpoint_owed = False

    def _is_multiple(self, every: int) -> bool:
        return every > 0 and self.done % every == 0

    def _not_finite(self) -> RunError:
        """The diagnosis: what happened where, what is left, what to do."""
        first = self.done - self.streak.length + 1
        particles = self.streak.particles()
        where = f" First not finite: {particles}." if particles else ""
        last = checkpoint_path(self.run.checkpoints, steps(self.run.checkpoints)[-1])
        return RunError(
            f"{self.streak.length} meta-gradients in a row were not finite (outer steps {first} to "
            f"{self.done}); the meta-parameters are those of outer step {first - 1}.{where} "
            f"The monitor's last verdict: {self.verdict}. The last good checkpoint is {last}; "
            f"lopt train --resume {self.run.path} repeats the same steps, so start a new run with "
            "a smaller --sigma, --learning-rate or --nominal-step, or give the task a finite "
            "loss_ceiling."
        )
