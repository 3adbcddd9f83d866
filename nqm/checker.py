"""`check`: everything about the stability of one rule on one quadratic."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nqm.bounds import Condition
from nqm.condition_list import memoryless_conditions, momentum_conditions, robust_conditions
from nqm.exact import INTERVAL_LIMIT, nominal_step_intervals
from nqm.quadratic import NoisyQuadratic
from nqm.report import StabilityReport
from nqm.rule_table import Builder, NamedRule, check_parameters, parse_rule
from nqm.spectrum import EPS, Spectrum, judge, loss_norm_matrix
from nqm.symmetric_form import Problem, best_step, pose, solve_symmetric
from nqm.updates import UpdateRule

Intervals = tuple[tuple[float, float], ...]
TRANSIENT_LIMIT = 32
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


def analyse_memoryless(problem: Problem, rule: str = "plain") -> Analysis:
    """phi' = (I - (alpha I + P) H) phi, P symmetric or not."""
    alpha, best, p = problem.alpha, None, None
    reason, interval_error = "", float("nan")
    intervals: Intervals
    if problem.symmetric:
        spectrum, p, interval, interval_error = solve_symmetric(problem)
        intervals = (interval,) if interval[0] <= interval[1] else ()
        best = best_step(problem, interval)
    else:
        P, H, n = np.asarray(problem.preconditioner), problem.hessian, len(problem.hessian)
        step = P + alpha * np.eye(n)
        error = 8 * n * EPS * (1 + float(np.linalg.norm(step)) * float(problem.h[-1]))
        spectrum = judge(np.eye(n) - step @ H, error)
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
        parts.append(judge(F, error))
    spectrum = _union(parts, "Weyl, then eigenvalue condition numbers of each mode")
    intervals = (answer.interval,) if answer.interval[0] <= answer.interval[1] else ()
    conditions = momentum_conditions(problem, named.name, parameters)
    return Analysis(spectrum, intervals, "", None, conditions, answer.interval_error)


def _general(problem: Problem, named: NamedRule, parameters: dict[str, Any]) -> Analysis:
    """Any rule: the eigenvalues of the joint matrix."""
    rule = named.build(problem.hessian, problem.preconditioner, problem.alpha, **parameters)
    F = np.asarray(rule.joint_matrix, dtype=np.float64)
    P, alpha = problem.preconditioner, problem.alpha
    step = abs(alpha) + (0.0 if P is None else float(np.linalg.norm(P)))
    error = 8 * F.shape[0] * EPS * (1 + step * float(problem.h[-1]))
    intervals, reason = _special_interval(problem, named.name, parameters)
    conditions = momentum_conditions(problem, named.name, parameters)
    return Analysis(judge(F, error), intervals, reason, None, conditions)


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
        return (((0.0, upper),) if upper >= 0 else ()), "among nominal steps >= 0"
    low = 1.0
    if P is not None:
        spectrum, (low, _), _, _ = solve_symmetric(problem._replace(alpha=0.0))
        h = 1 - float(np.min(spectrum.eigenvalues.real))
    decay = parameters["weight_decay"]
    if low <= 0 or decay < 0:
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


def _resolve(rule: str | Builder) -> tuple[NamedRule, dict[str, Any]]:
    if isinstance(rule, str):
        return parse_rule(rule)
    named = NamedRule("custom", "given as a function", rule)
    check_parameters(named, {})
    return named, {}


def check(
    hessian: ArrayLike | NoisyQuadratic,
    preconditioner: ArrayLike | None = None,
    nominal_step: float = 0.0,
    *,
    rule: str | Builder = "plain",
    disturbance_bound: ArrayLike | None = None,
    noise_covariance: ArrayLike | None = None,
    batch_size: float | None = None,
    rigorous: bool = False,
) -> StabilityReport:
    """Is rho(F) < 1 for the joint matrix F of a rule, by how much, and for which alpha would it be?

    Parameters
    ----------
    hessian : (N, N) array or NoisyQuadratic
        H, symmetric positive semidefinite; where it is singular the verdict is about its range.
    preconditioner : (N, N) array, optional
        P, any real matrix. Default: zero.
    nominal_step : float
        alpha.
    rule : str or function
        A name as `parse_rule` takes it, such as "heavy_ball:momentum=0.9", or a function of
        (hessian, preconditioner, nominal_step) that returns an `UpdateRule`.
    disturbance_bound : (N,) array, optional
        dbar of (15); asks for the worst case over Delta (plain rule).
    noise_covariance : (N, N) array, optional
        S on the minimum; asks for the limit of the expected loss.
    batch_size : float, optional
        B; asks for mean-square stability under Gaussian minibatches (plain rule), which then
        takes part in the verdict.
    rigorous : bool
        Whether to try a proof (needs python-flint).

    Returns
    -------
    StabilityReport

    Raises
    ------
    ValueError
        For malformed arguments; never for an unstable answer.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import check, update_matrix
    >>> H, P = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[0.0, 2.0], [0.0, 0.5]])
    >>> report = check(H, P, 0.0)
    >>> radius = max(abs(np.linalg.eigvals(update_matrix(H, P, 0.0))))
    >>> report.verdict, bool(np.isclose(report.spectrum.spectral_radius, radius))
    ('unstable', True)
    >>> check(H, None, 1.25, rule="heavy_ball:momentum=0.9").verdict  # 3.75 < 2 (1 + 0.9)
    'stable'
    """
    named, parameters = _resolve(rule)
    if named.name != "plain" and (disturbance_bound is not None or batch_size is not None):
        raise ValueError(
            f"disturbance_bound and batch_size are for the plain rule; the rule is {named.name}."
        )
    problem = pose(hessian, preconditioner, nominal_step)
    found = analyse(problem, named, parameters)
    conditions = found.conditions
    if disturbance_bound is not None:
        conditions = (*conditions, *robust_conditions(problem, disturbance_bound))
    question = Question(problem, hessian, preconditioner, named, parameters)
    return StabilityReport(
        nominal_step=problem.alpha,
        dimension=problem.dimension,
        rank=problem.rank,
        rule=named.name,
        rule_parameters=parameters,
        spectrum=found.spectrum,
        nominal_step_intervals=found.intervals,
        intervals_reason=found.reason,
        interval_uncertainty=found.interval_error,
        best_nominal_step=found.best,
        conditions=conditions,
        transient=question.transient(found.spectrum),
        proof=question.proof() if rigorous else None,
        mean_square=None if batch_size is None else question.mean_square(batch_size),
        limit_loss=None if noise_covariance is None else question.limit_loss(noise_covariance),
        robust=None if disturbance_bound is None else question.robust(disturbance_bound),
    )


class Question(NamedTuple):
    """The arguments of `check`, for the parts that are computed only where asked."""

    problem: Problem
    hessian: Any
    preconditioner: Any
    named: NamedRule
    parameters: dict[str, Any]

    def _rule(self) -> UpdateRule:
        model = self._model()
        P = None if self.preconditioner is None else np.asarray(self.preconditioner)
        return self.named.build(model.hessian, P, self.problem.alpha, **self.parameters)

    def _model(self, noise: Any = None) -> NoisyQuadratic:
        H = self.hessian.hessian if isinstance(self.hessian, NoisyQuadratic) else self.hessian
        return NoisyQuadratic(H, noise)

    def transient(self, spectrum: Spectrum) -> Any:
        """Growth in the norm of the loss: for the plain rule, and up to N = 32."""
        from nqm.transient import Transient, transient_growth

        problem = self.problem
        if self.named.name != "plain" or spectrum.verdict == "unstable":
            return None
        if problem.symmetric:  # J is symmetric, so |J^t| = rho^t
            return Transient(1.0, 0, 1.0, 1.0) if spectrum.verdict == "stable" else None
        if len(problem.hessian) > TRANSIENT_LIMIT:
            return None
        return transient_growth(
            loss_norm_matrix(problem.hessian, problem.preconditioner, problem.alpha)
        )

    def proof(self) -> Any:
        """A proof about the plain update as given, or about another rule's rounded matrix."""
        from nqm.rigorous import prove_matrix, prove_stability

        if self.named.name == "plain":
            return prove_stability(self._model(), self.preconditioner, self.problem.alpha)
        return prove_matrix(self._rule().joint_matrix)

    def mean_square(self, batch_size: float) -> Any:
        """Mean-square stability under Gaussian minibatches."""
        from nqm.minibatch import minibatch_mean_square

        model = self._model()
        return minibatch_mean_square(
            model.hessian, self.preconditioner, self.problem.alpha, batch_size
        )

    def limit_loss(self, noise_covariance: Any) -> Any:
        """The expected loss as the horizon grows."""
        from nqm.limits import limit_loss

        return limit_loss(self._model(noise_covariance), self._rule())

    def robust(self, disturbance_bound: Any) -> Any:
        """The worst case over the disturbances (15)."""
        from nqm.robust import robust_stability

        model = self._model()
        P = np.zeros_like(model.hessian) if self.preconditioner is None else self.preconditioner
        return robust_stability(model, P, self.problem.alpha, disturbance_bound)
