"""What the spectrum of a rule says: verdict, stable steps and conditions, by the sharpest route."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nqm.conditions.condition import Condition, Known
from nqm.conditions.intervals import (
    INTERVAL_LIMIT,
    KnownSteps,
    best_step,
    known_steps,
    nominal_step_intervals,
    posed_step_interval,
)
from nqm.problem import Problem
from nqm.rules.table import NamedRule, Parameters, PlainForm
from nqm.spectra.eigenvalues import Spectrum
from nqm.spectra.enclosures import enclosure
from nqm.spectra.symmetric import solve_symmetric
from nqm.validate import EPS
from nqm.verdict.conditions import momentum_conditions, plain_conditions

Intervals = tuple[tuple[float, float], ...]
NOT_KNOWN = "there is no closed form for this rule with this P"


class Analysis(NamedTuple):
    """What the spectrum says: the common part of every report."""

    spectrum: Spectrum
    intervals: Intervals
    reason: str
    best: tuple[float, float] | None
    conditions: tuple[Condition, ...]
    interval_error: float = float("nan")


def _margin(intervals: Intervals, alpha: float) -> float:
    """The distance of alpha to the end of the stable interval around it, or NaN outside."""
    inside = [min(alpha - a, b - alpha) for a, b in intervals if a <= alpha <= b]
    return inside[0] if inside else float("nan")


def _memoryless(form: PlainForm) -> Analysis:
    """phi' = (I - (alpha I + P) H) phi, P symmetric or not, with alpha in units of the form."""
    problem = form.problem
    alpha, best, p = problem.alpha, None, None
    reason, interval_error = "", float("nan")
    intervals: Intervals
    if problem.symmetric:
        solved = solve_symmetric(problem)
        spectrum, p = solved.spectrum, solved.p
        interval, interval_error = posed_step_interval(problem, solved)
        intervals, reason = known_steps(interval)
        best = best_step(problem, interval) if intervals else None
    else:
        P, H, n = np.asarray(problem.preconditioner), problem.hessian, len(problem.hessian)
        step, diagonal = P.copy(), np.diag_indices(n)
        step[diagonal] += alpha
        error = 8 * n * EPS * (1 + float(np.linalg.norm(step)) * float(problem.h[-1]))
        A = step @ -H
        A[diagonal] += 1
        spectrum = enclosure(A, error)
        if n <= INTERVAL_LIMIT:
            found = nominal_step_intervals(H, P)
            intervals = tuple((float(i.lower), float(i.upper)) for i in found)
        else:
            intervals, reason = (), f"P is not symmetric and N is above {INTERVAL_LIMIT}"
    known = Known(
        p=p, step_margin=_margin(intervals, alpha), radius_margin=1 - spectrum.spectral_radius
    )
    return Analysis(
        spectrum=spectrum,
        intervals=intervals,
        reason=reason,
        best=best,
        conditions=plain_conditions(form, known),
        interval_error=interval_error,
    )


def _union(parts: list[Spectrum], method: str) -> Spectrum:
    """The spectrum of a block diagonal matrix from those of its blocks."""
    values = np.concatenate([part.eigenvalues for part in parts])
    values = values[np.argsort(-np.abs(values), kind="stable")]
    lower, upper = max(part.lower for part in parts), max(part.upper for part in parts)
    return Spectrum(values, float(np.abs(values[0])), lower, upper, method)


def _decoupled(problem: Problem, named: NamedRule, parameters: Parameters) -> Analysis:
    """Symmetric P: the rule splits into scalar rules at the eigenvalues of H^1/2 M H^1/2."""
    assert named.limit is not None
    limit = named.limit(**parameters)
    answer = solve_symmetric(problem)
    parts = []
    for value in answer.spectrum.eigenvalues.real:
        F = named.build([[1.0]], [[1.0 - value]], 0.0, **parameters).joint_matrix
        error = answer.spectrum.uncertainty * max(1.0, float(np.linalg.norm(F)))
        parts.append(enclosure(F, error))
    spectrum = _union(parts, "Weyl, then eigenvalue condition numbers of each mode")
    interval, interval_error = posed_step_interval(problem, answer, limit)
    intervals, reason = known_steps(interval)
    return Analysis(
        spectrum=spectrum,
        intervals=intervals,
        reason=reason,
        best=None,
        conditions=momentum_conditions(problem, named, parameters),
        interval_error=interval_error,
    )


def _general(problem: Problem, named: NamedRule, parameters: Parameters) -> Analysis:
    """Any rule: the eigenvalues of the joint matrix."""
    rule = named.build(problem.hessian, problem.preconditioner, problem.alpha, **parameters)
    F = np.asarray(rule.joint_matrix, dtype=np.float64)
    P, alpha = problem.preconditioner, problem.alpha
    step = abs(alpha) + (0.0 if P is None else float(np.linalg.norm(P)))
    error = 8 * F.shape[0] * EPS * (1 + step * float(problem.h[-1]))
    intervals, reason = KnownSteps((), NOT_KNOWN)
    if named.steps is not None and problem.symmetric:
        intervals, reason = named.steps(problem, **parameters)
    return Analysis(
        spectrum=enclosure(F, error),
        intervals=intervals,
        reason=reason,
        best=None,
        conditions=momentum_conditions(problem, named, parameters),
    )


def analyse(problem: Problem, named: NamedRule, parameters: Parameters) -> Analysis:
    """Choose the sharpest route for the rule."""
    if named.plain_form is not None:
        form = named.plain_form(problem, **parameters)
        return _with_steps_of_the_rule(_memoryless(form), form.step_ratio)
    if problem.symmetric and named.limit is not None:
        return _decoupled(problem, named, parameters)
    return _general(problem, named, parameters)


def _with_steps_of_the_rule(found: Analysis, ratio: float) -> Analysis:
    """The analysis of a form whose nominal step is `ratio` times that of the rule."""
    if ratio == 1:
        return found
    if ratio == 0:
        return found._replace(intervals=(), reason="the nominal step cancels out", best=None)
    ends = tuple(tuple(sorted((a / ratio, b / ratio))) for a, b in found.intervals)
    intervals: Intervals = tuple((e[0], e[1]) for e in sorted(ends))
    best = None if found.best is None else (found.best[0] / ratio, found.best[1])
    return found._replace(intervals=intervals, best=best)
