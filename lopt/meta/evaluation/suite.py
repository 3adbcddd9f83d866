"""Learned optimizers on every task of a suite against Adam and NAdamW tuned for each task."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from lopt.checks import require, require_member
from lopt.meta.evaluation import records
from lopt.meta.evaluation.curves import Runs, held_out_keys
from lopt.meta.evaluation.entrants import (
    ADAM,
    RATES,
    Constants,
    Entrant,
    adam_entrant,
    learned_entrant,
    nadamw_entrant,
    stacked,
)
from lopt.meta.evaluation.outcome import Row, SuiteEvaluation, TaskOutcome, outcome
from lopt.meta.evaluation.scheduled import ADAMW, BASELINES, scheduled_baseline, scheduled_learned
from lopt.meta.evaluation.scheduled import RATES as SCHEDULED_RATES
from lopt.optimizers.files.saved import Saved
from lopt.tasks.registry import make_task, parse_task_name
from lopt.tasks.suites.catalogue import FEW_STEPS, task_form
from lopt.tasks.task import Task

# Runs that train at once: what bounds the loss when a search is interrupted.
TOGETHER = 64
# Bytes of all parameters and states of optimizers that train at once.
MEMORY = 2**30
# Inner steps between two reports of progress.
CHUNK = 100

Tell = Callable[[str, int], None]
# Which of an optimizer's settings there is a choice of.
Choose = Callable[[list[Constants]], list[Constants]]


class _Unavailable(Exception):
    """A task whose data cannot be read."""


def evaluate_suite(
    optimizers: Mapping[str, Saved],
    tasks: Sequence[str | Task],
    results: str | Path,
    *,
    seeds: int = 3,
    rates: Sequence[float] = RATES,
    draws: int = 0,
    tune: bool = False,
    steps: int | None = None,
    tell: Tell = lambda doing, steps: None,
    advance: Callable[[int], None] = lambda steps: None,
) -> SuiteEvaluation:
    """Train on each task with each optimizer, keeping every finished curve in a folder.

    Parameters
    ----------
    optimizers
        Learned optimizers by name, as `lopt.load` returns them.
    tasks
        Names, or tasks of your own.
    results
        The folder of finished curves, a file for each task, optimizer and number of steps. What is
        there is not computed again.
    seeds
        Held-out seeds; each fixes initial parameters and batches for all optimizers.
    rates
        Adam's learning rates.
    draws
        Random draws for NAdamW from `lopt.optimizers.ScheduledNAdamWSpace`; 0 leaves it out.
    tune
        Whether learned optimizers with a nominal term also run with as many values of beta_1 as
        Adam has rates, in half-decades around their own.
    steps
        Inner steps; by default those of the task's form, and 2,000 where it has none.
    tell, advance
        Told what is trained and over how many steps in all, and the steps that are taken.

    Returns
    -------
    SuiteEvaluation
        The constants of a baseline are those with the least final loss, averaged over the seeds,
        which favours what is tuned. A task whose data are missing is skipped.

    Raises
    ------
    ValueError
        Where an argument is out of its range, no task has a name, no task has data, or a file of
        results belongs to something else.

    Examples
    --------
    >>> import tempfile, lopt, jax.numpy as jnp
    >>> bowl = lopt.Task("bowl", lambda key: jnp.ones(3), lambda phi, key, batch: jnp.sum(phi**2))
    >>> found = evaluate_suite({}, [bowl], tempfile.mkdtemp(), seeds=1, rates=(1e-3, 0.1), steps=20)
    >>> found.tasks[0].adam.constants, bool(found.tasks[0].adam.final[0] < 3)
    ({'learning_rate': 0.1}, True)
    """
    require("draws", draws, draws >= 0, "at least 0")
    _check(rates)
    learned = [
        learned_entrant(name, saved, len(rates) if tune else 1)
        for name, saved in optimizers.items()
    ]

    def entrants(length: int) -> list[Entrant]:
        nadamw = [nadamw_entrant(draws, length)] if draws else []
        return [adam_entrant(rates), *nadamw, *learned]

    studies, skipped = _complete(tasks, entrants, results, seeds, steps, tell, advance)
    return SuiteEvaluation(seeds, tuple(study.outcome() for study in studies), skipped)


def evaluate_scheduled(
    optimizers: Mapping[str, Saved],
    tasks: Sequence[str | Task],
    results: str | Path,
    *,
    seeds: int = 3,
    rates: Sequence[float] = SCHEDULED_RATES,
    baselines: Sequence[str] | None = None,
    steps: int | None = None,
    screening_seeds: int | None = None,
    tell: Tell = lambda doing, steps: None,
    advance: Callable[[int], None] = lambda steps: None,
) -> tuple[SuiteEvaluation, SuiteEvaluation]:
    """Train on each task with everyone on the same schedule, once tuned and once not.

    Learned optimizers run as `lopt.scale_by_star`. Everyone has a linear warm-up over 5 % of the
    steps, then half a period of the cosine down to zero (schedule-free AdamW has the warm-up
    alone), a weight decay of 0.01 times the learning rate, and the same learning rates to choose
    from.

    Parameters
    ----------
    optimizers, tasks, results, seeds, steps, tell, advance
        As for `evaluate_suite`; take another folder of results.
    rates
        The learning rates of everyone.
    baselines
        Among ``AdamW``, ``NAdamW``, ``Lion``, ``Muon``, ``Schedule-free-AdamW``, all of them by
        default; AdamW always takes part, because the others are compared with it.
    screening_seeds
        The first seeds, on which the learning rates are compared; the best and the default rate
        alone then run on all. By default all seeds, with which every rate runs.

    Returns
    -------
    tuned, untuned : SuiteEvaluation
        Each optimizer at its best learning rate for each task, and each at its default rate.

    Raises
    ------
    ValueError
        As `evaluate_suite`, and if a baseline is unknown.
    """
    _check(rates)
    names = dict.fromkeys((ADAMW, *(BASELINES if baselines is None else baselines)))
    for name in names:
        require_member("each of baselines", name, BASELINES)

    def entrants(length: int) -> list[Entrant]:
        return [
            *(scheduled_baseline(name, rates, length) for name in names),
            *(scheduled_learned(n, saved, rates, length) for n, saved in optimizers.items()),
        ]

    screening = seeds if screening_seeds is None else screening_seeds
    require("screening_seeds", screening, 1 <= screening <= seeds, f"from 1 to the {seeds} seeds")
    choices: tuple[Choose, ...] = (
        lambda all_: [c for c in all_ if c["learning_rate"] in rates],
        lambda all_: all_[:1],
    )
    studies, skipped = _complete(
        tasks, entrants, results, seeds, steps, tell, advance, screening, choices
    )
    tuned, untuned = (
        tuple(study.outcome(ADAMW, choose) for study in studies) for choose in choices
    )
    return SuiteEvaluation(seeds, tuned, skipped), SuiteEvaluation(seeds, untuned, skipped)


def _check(rates: Sequence[float]) -> None:
    require("rates", list(rates), len(rates) > 0, "at least one learning rate")
    for rate in rates:
        require("each of rates", rate, 0 < rate < math.inf, "positive and finite")


def _complete(
    tasks: Sequence[str | Task],
    entrants: Callable[[int], list[Entrant]],
    results: str | Path,
    seeds: int,
    steps: int | None,
    tell: Tell,
    advance: Callable[[int], None],
    screening: int | None = None,
    choices: Sequence[Choose] = (list,),
) -> tuple[list["_Study"], dict[str, str]]:
    """Compute what is missing of every task; the tasks, and why others were skipped, by name."""
    require("seeds", seeds, seeds >= 1, "at least 1")
    require("steps", steps, steps is None or steps >= 1, "at least 1")
    if not tasks:
        raise ValueError("tasks must name at least one task; there is none.")
    for task in tasks:
        if isinstance(task, str):
            parse_task_name(task)
    found: list[_Study] = []
    skipped: dict[str, str] = {}
    for place, task in enumerate(tasks, 1):
        name, length = _name_and_steps(task, steps)
        study = _Study(
            task, name, length, entrants(length), seeds, Path(results), screening or seeds, choices
        )
        try:
            study.complete(partial(_tell, tell, f"{name} ({place} of {len(tasks)})"), advance)
        except _Unavailable as error:
            skipped[name] = str(error)
        else:
            found.append(study)
    if not found:
        raise ValueError(next(iter(skipped.values())))
    return found, skipped


def _tell(tell: Tell, task: str, names: str, steps: int) -> None:
    tell(f"{task}, {names}", steps)


def _name_and_steps(task: str | Task, steps: int | None) -> tuple[str, int]:
    name = task if isinstance(task, str) else task.name
    form = task_form(name) if isinstance(task, str) else None
    return form.name if form else name, steps or (form.steps if form else FEW_STEPS)


class _Study:
    """One task with all that take part.

    Settings are compared on the first `screening` seeds; of each of `choices` the best setting then
    runs on all seeds.
    """

    def __init__(
        self,
        task: str | Task,
        name: str,
        steps: int,
        entrants: Sequence[Entrant],
        seeds: int,
        folder: Path,
        screening: int,
        choices: Sequence[Choose],
    ) -> None:
        self.task, self.steps, self.entrants = task, steps, entrants
        self.seeds, self.folder = seeds, folder
        self.screening, self.choices = screening, choices
        self.compiled: dict[Hashable, tuple[Runs, int]] = {}
        self.records = [
            records.read(folder, records.head_of(name, entrant, steps)) for entrant in entrants
        ]

    def outcome(self, reference: str = ADAM, choose: Choose = list) -> TaskOutcome:
        """What the curves say; `choose` limits the settings of each."""
        settings = {
            entrant.name: self._finalists(place, choose)
            for place, entrant in enumerate(self.entrants)
        }
        return outcome(self.records, self.seeds, settings, reference)

    def complete(self, tell: Tell, advance: Callable[[int], None]) -> None:
        """Compute and keep what is missing, one program after the other."""
        task = self._fill([_settings(e) for e in self.entrants], self.screening, tell, advance)
        if self.screening < self.seeds:
            each = [
                [c for choose in self.choices for c in self._finalists(place, choose)]
                for place in range(len(self.entrants))
            ]
            self._fill(each, self.seeds, tell, advance, task)

    def _finalists(self, place: int, choose: Choose) -> list[Constants]:
        """The settings that run on all seeds: those of the choice, or after a screening the one
        with the least final loss in it.
        """
        some, record = choose(_settings(self.entrants[place])), self.records[place]
        if self.screening == self.seeds:
            return some

        def final(constants: Constants) -> float:
            curves = record.of(constants, self.screening)
            return float(Row(record.name, constants, curves, record.ceiling).final.mean())

        return [min(some, key=final)]

    def _fill(
        self,
        settings: Sequence[Sequence[Constants]],
        seeds: int,
        tell: Tell,
        advance: Callable[[int], None],
        task: Task | None = None,
    ) -> Task | None:
        """Compute and keep what is missing of each entrant's settings; the task, if needed."""
        missing = [
            (place, _settings(entrant).index(own[index]), seed)
            for place, (entrant, own) in enumerate(zip(self.entrants, settings, strict=True))
            for index, seed in self.records[place].missing(own, seeds)
        ]
        if not missing:
            return task
        task = task or self._load()
        programs = [e.program for e in self.entrants]
        first = {place: programs.index(program) for place, program in enumerate(programs)}
        missing = sorted(dict.fromkeys(missing), key=lambda one: first[one[0]])
        for _, group in groupby(missing, key=lambda one: first[one[0]]):
            self._run(task, list(group), tell, advance)
        return task

    def _load(self) -> Task:
        if isinstance(self.task, Task):
            task = self.task
        else:
            try:
                task = make_task(self.task)
            except (ValueError, OSError) as error:
                raise _Unavailable(str(error)) from None
        for record in self.records:
            if record.curves and record.examples != task.examples:
                raise ValueError(
                    f"{records.path_of(self.folder, record.head)} holds curves on "
                    f"{record.examples} examples, but {task.name} now has {task.examples}. Remove "
                    "it, or take another folder of results."
                )
            record.ceiling, record.examples = task.loss_ceiling, task.examples
        return task

    def _run(
        self,
        task: Task,
        missing: list[tuple[int, int, int]],
        tell: Tell,
        advance: Callable[[int], None],
    ) -> None:
        """Compute the missing curves of one program, a group at a time."""
        program = self.entrants[missing[0][0]].program
        # All settings of the program, so that later ones find it compiled.
        settings = [
            (place, candidate)
            for place, entrant in enumerate(self.entrants)
            if entrant.program == program
            for candidate in range(len(entrant.candidates))
        ]
        thetas = stacked([self.entrants[p].candidates[c].theta for p, c in settings])
        if program not in self.compiled:
            runs = Runs(task, self.entrants[missing[0][0]].make, CHUNK)
            self.compiled[program] = runs, _together(runs, thetas, len(missing))
        runs, size = self.compiled[program]
        keys = held_out_keys(self.seeds)
        names = ", ".join(dict.fromkeys(self.entrants[place].name for place, _, _ in missing))
        tell(names, len(missing) * self.steps)
        for first in range(0, len(missing), size):
            group = missing[first : first + size]
            # A part is filled up to the size of the others, which saves a compilation.
            full = [*group, *[group[-1]] * (size - len(group))]
            theta_of = [settings.index((place, candidate)) for place, candidate, _ in full]
            seed_of = [seed for _, _, seed in full]
            curves = runs.curves(
                thetas, keys, theta_of, seed_of, self.steps, partial(_some, advance, group, size)
            )
            for (place, candidate, seed), curve in zip(group, curves, strict=False):
                constants = self.entrants[place].candidates[candidate].constants
                self.records[place].curves[records.key_of(constants, seed)] = records.binned(curve)
            for place in {place for place, _, _ in group}:
                records.write(self.folder, self.records[place])


def _settings(entrant: Entrant) -> list[Constants]:
    return [candidate.constants for candidate in entrant.candidates]


def _some(advance: Callable[[int], None], group: Sequence[Any], size: int, steps: int) -> None:
    advance(steps // size * len(group))


def _together(runs: Runs, thetas: Any, count: int) -> int:
    """How many of `count` runs to compile a program for: those that advance at once, within the
    bounds of what an interruption may lose and of memory.
    """
    most = max(1, min(TOGETHER, MEMORY // max(1, runs.bytes_each(thetas))))
    return runs.at_once(thetas, -(-count // -(-count // most)))
