"""`check`: everything about the stability of one rule on one quadratic."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nqm.conditions.lemma3 import posed_lemma3
from nqm.moments.limits import LimitLoss, limit_loss, posed_symmetric_limit
from nqm.problem import Problem, pose
from nqm.quadratic import NoisyQuadratic
from nqm.robust.stability import posed_robust_stability
from nqm.rules.linear import UpdateRule
from nqm.rules.table import RULES, Builder, NamedRule, Parameters, check_parameters, parse_rule
from nqm.spectra.eigenvalues import Spectrum, loss_norm_matrix
from nqm.spectra.minibatch import posed_mean_square
from nqm.spectra.proofs import Proof, posed_proof, prove_matrix, prove_rule
from nqm.spectra.transients import Transient, transient_growth
from nqm.validate import Array
from nqm.verdict.decision import analyse
from nqm.verdict.report import StabilityReport

TRANSIENT_LIMIT = 32


def _resolve(rule: str | Builder) -> tuple[NamedRule, Parameters]:
    if isinstance(rule, str):
        return parse_rule(rule)
    named = NamedRule(name="custom", summary="given as a function", build=rule)
    check_parameters(named, {})
    return named, {}


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # then the verdict is marginal
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
    model = hessian if isinstance(hessian, NoisyQuadratic) else NoisyQuadratic(hessian)  # type: ignore[arg-type]
    problem = pose(model, preconditioner, nominal_step)
    found = analyse(problem, named, parameters)
    conditions = found.conditions
    if disturbance_bound is not None:
        conditions = (*conditions, posed_lemma3(problem, disturbance_bound))
    spectrum = found.spectrum
    return StabilityReport(
        nominal_step=problem.alpha,
        dimension=problem.dimension,
        rank=problem.rank,
        rule=named.name,
        rule_parameters=parameters,
        spectrum=spectrum,
        nominal_step_intervals=found.intervals,
        intervals_reason=found.reason,
        interval_uncertainty=found.interval_error,
        best_nominal_step=found.best,
        conditions=conditions,
        transient=_transient(problem, named, spectrum),
        proof=_proof(problem, named, parameters) if rigorous else None,
        mean_square=None if batch_size is None else posed_mean_square(problem, batch_size),
        limit_loss=None
        if noise_covariance is None
        else _limit(
            problem._replace(model=model.with_noise(noise_covariance)), named, parameters, spectrum
        ),
        robust=None
        if disturbance_bound is None
        else posed_robust_stability(problem, disturbance_bound),
    )


def _built(problem: Problem, named: NamedRule, parameters: Parameters) -> UpdateRule:
    """The rule on the whole of H."""
    return named.build(problem.model.hessian, problem.given, problem.alpha, **parameters)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def limit_of(
    model: NoisyQuadratic,
    rule: str | Builder,
    preconditioner: ArrayLike | None,
    nominal_step: float,
) -> LimitLoss:
    """The limit of the expected loss of a named rule, finite where `check` says it is stable."""
    named, parameters = _resolve(rule)
    problem = pose(model, preconditioner, nominal_step)
    return _limit(problem, named, parameters, analyse(problem, named, parameters).spectrum)


def _limit(
    problem: Problem, named: NamedRule, parameters: Parameters, spectrum: Spectrum
) -> LimitLoss:
    """The limit of the expected loss by the sharpest route, from the spectrum on the range of H."""
    if named.name == "plain" and problem.symmetric:
        found = posed_symmetric_limit(problem, spectrum)
        if found is not None:
            return found
    known = problem.rank == problem.dimension
    if not known and named.plain_form is not None:  # then the loss sees the range of H alone
        known = named.plain_form(problem, **parameters).problem.hessian is problem.hessian
    built = _built(problem, named, parameters)
    return limit_loss(problem.model, built, spectrum=spectrum if known else None)


def _transient(problem: Problem, named: NamedRule, spectrum: Spectrum) -> Transient | None:
    """Growth in the norm of the loss: for the plain rule, and up to N = 32."""
    if named.name != "plain" or spectrum.verdict == "unstable":
        return None
    if problem.symmetric:  # J is symmetric, so |J^t| = rho^t
        if spectrum.verdict != "stable":
            return None
        return Transient(peak=1.0, peak_step=0, bound=1.0, kreiss=1.0)
    if len(problem.hessian) > TRANSIENT_LIMIT:
        return None
    return transient_growth(
        loss_norm_matrix(problem.hessian, problem.preconditioner, problem.alpha)
    )


def _proof(problem: Problem, named: NamedRule, parameters: Parameters) -> Proof:
    """A proof about exactly these numbers; of a function's rule, about its rounded matrix."""
    if named.name == "plain":
        return posed_proof(problem)
    if RULES.get(named.name) is not named:
        return prove_matrix(_built(problem, named, parameters).joint_matrix)
    return prove_rule(
        named.name,
        named.build,
        parameters,
        problem.model.hessian,
        problem.given,
        problem.alpha,
        rounded=_on_range(problem, named, parameters) if problem.rank < problem.dimension else None,
    )


def _on_range(problem: Problem, named: NamedRule, parameters: Parameters) -> Array:
    """The joint matrix of the rule on the range of H."""
    rule = named.build(problem.hessian, problem.preconditioner, problem.alpha, **parameters)
    return np.asarray(rule.joint_matrix, dtype=np.float64)
