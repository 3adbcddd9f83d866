"""What the spectrum of a rule says: verdict, stable steps and conditions, by the sharpest route."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from nqm.conditions.condition import Condition
from nqm.conditions.intervals import INTERVAL_LIMIT, nominal_step_intervals
from nqm.rules.table import NamedRule
from nqm.spectra.eigenvalues import EPS, Spectrum
from nqm.spectra.enclosures import enclosure
from nqm.verdict.conditions import memoryless_conditions, momentum_conditions
from nqm.verdict.problem import Problem, best_step, solve_symmetric

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


def _known(interval: tuple[float, float]) -> tuple[Intervals, str]:
    """The interval as a list, and why it is not known where rounding hides its end."""
    if math.isnan(interval[1]):
        return (), "P is so large that rounding hides the upper end"
    return ((interval,) if interval[0] <= interval[1] else ()), ""


def analyse_memoryless(problem: Problem, rule: str = "plain") -> Analysis:
    """phi' = (I - (alpha I + P) H) phi, P symmetric or not."""
    alpha, best, p = problem.alpha, None, None
    reason, interval_error = "", float("nan")
    intervals: Intervals
    if problem.symmetric:
        spectrum, p, interval, interval_error = solve_symmetric(problem)
        intervals, reason = _known(interval)
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
    margins = _margin(intervals, alpha), 1 - spectrum.spectral_radius
    conditions = memoryless_conditions(problem, p, margins, rule)
    return Analysis(spectrum, intervals, reason, best, conditions, interval_error)


def _union(parts: list[Spectrum], method: str) -> Spectrum:
    """The spectrum of a block diagonal matrix from those of its blocks."""
    values = np.concatenate([part.eigenvalues for part in parts])
    values = values[np.argsort(-np.abs(values), kind="stable")]
    lower, upper = max(part.lower for part in parts), max(part.upper for part in parts)
    return Spectrum(values, float(np.abs(values[0])), lower, upper, method)


def _decoupled(problem: Problem, named: NamedRule, parameters: dict[str, Any]) -> Analysis:
    """Symmetric P: the rule splits into scalar rules at the eigenvalues of H^1/2 M H^1/2."""
    assert named.limit is not None
    limit = named.limit(**parameters)
    answer = solve_symmetric(problem, limit)
    parts = []
    for value in answer.spectrum.eigenvalues.real:
        F = named.build([[1.0]], [[1.0 - value]], 0.0, **parameters).joint_matrix
        error = answer.spectrum.uncertainty * max(1.0, float(np.linalg.norm(F)))
        parts.append(enclosure(F, error))
    spectrum = _union(parts, "Weyl, then eigenvalue condition numbers of each mode")
    intervals, reason = _known(answer.interval)
    conditions = momentum_conditions(problem, named.name, parameters)
    return Analysis(spectrum, intervals, reason, None, conditions, answer.interval_error)


def _general(problem: Problem, named: NamedRule, parameters: dict[str, Any]) -> Analysis:
    """Any rule: the eigenvalues of the joint matrix."""
    rule = named.build(problem.hessian, problem.preconditioner, problem.alpha, **parameters)
    F = np.asarray(rule.joint_matrix, dtype=np.float64)
    P, alpha = problem.preconditioner, problem.alpha
    step = abs(alpha) + (0.0 if P is None else float(np.linalg.norm(P)))
    error = 8 * F.shape[0] * EPS * (1 + step * float(problem.h[-1]))
    intervals, reason = _special_interval(problem, named.name, parameters)
    conditions = momentum_conditions(problem, named.name, parameters)
    return Analysis(enclosure(F, error), intervals, reason, None, conditions)


def _special_interval(
    problem: Problem, name: str, parameters: dict[str, Any]
) -> tuple[Intervals, str]:
    """The exact steps of frozen Adam and nominal momentum, P positive (semi)definite."""
    P, h = problem.preconditioner, float(problem.h[-1])
    if name not in ("frozen_adam", "nominal_momentum") or not problem.symmetric:
        return (), NOT_KNOWN
    beta = parameters["momentum"]
    if name == "nominal_momentum":
        _, (low, _), interval, _ = solve_symmetric(problem._replace(alpha=0.0))
        if low < 0:
            return (), "P is not positive semidefinite"
        upper = (1 + beta) * interval[1]
        if math.isnan(upper):
            return _known(interval)
        return (((0.0, upper),) if upper >= 0 else ()), "among nominal steps >= 0"
    low = 1.0
    if P is not None:
        spectrum, (low, _), _, _ = solve_symmetric(problem._replace(alpha=0.0))
        h = 1 - float(np.min(spectrum.eigenvalues.real))
    decay = parameters["weight_decay"]
    if low <= 0 or h <= 0 or decay < 0:
        return (), "P is not positive definite, or the weight decay is negative"
    ratio = (1 + beta) / (1 - beta)
    return ((0.0, 2 * ratio / (h + decay * ratio)),), ""


def analyse(problem: Problem, named: NamedRule, parameters: dict[str, Any]) -> Analysis:
    """Choose the sharpest route for the rule."""
    if named.name == "plain":
        return analyse_memoryless(problem)
    if named.name == "preconditioned":
        h, vectors = np.linalg.eigh(problem.hessian)
        root = problem._replace(hessian=(vectors * np.sqrt(h)) @ vectors.T, h=np.sqrt(h))
        return analyse_memoryless(root, named.name)
    if named.name in ("perturbed", "cancelled"):
        return _scaled(problem, named.name, float(parameters["disturbance"]))
    if problem.symmetric and named.limit is not None:
        return _decoupled(problem, named, parameters)
    return _general(problem, named, parameters)


def _scaled(problem: Problem, name: str, d: float) -> Analysis:
    """M = alpha I + d P, or M = alpha (1 - d) I + d P: the plain rule with another P and alpha."""
    P = None if problem.preconditioner is None else d * problem.preconditioner
    if name == "perturbed":
        return analyse_memoryless(problem._replace(preconditioner=P))
    found = analyse_memoryless(problem._replace(preconditioner=P, alpha=(1 - d) * problem.alpha))
    if d == 1:
        return found._replace(intervals=(), reason="the nominal step cancels out", best=None)
    ends = tuple(tuple(sorted((a / (1 - d), b / (1 - d)))) for a, b in found.intervals)
    intervals: Intervals = tuple((e[0], e[1]) for e in sorted(ends))
    best = None if found.best is None else (found.best[0] / (1 - d), found.best[1])
    return found._replace(intervals=intervals, best=best)
