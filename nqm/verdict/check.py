"""`check`: everything about the stability of one rule on one quadratic."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nqm import validate
from nqm.moments.limits import LimitLoss, limit_loss, symmetric_limit_loss
from nqm.quadratic import NoisyQuadratic
from nqm.rules.linear import UpdateRule
from nqm.rules.table import RULES, Builder, NamedRule, check_parameters, parse_rule
from nqm.spectra.eigenvalues import Spectrum, loss_norm_matrix
from nqm.verdict.conditions import robust_conditions
from nqm.verdict.decision import analyse
from nqm.verdict.problem import Problem, pose
from nqm.verdict.report import StabilityReport

TRANSIENT_LIMIT = 32


def _resolve(rule: str | Builder) -> tuple[NamedRule, dict[str, Any]]:
    if isinstance(rule, str):
        return parse_rule(rule)
    named = NamedRule("custom", "given as a function", rule)
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
        conditions = (*conditions, *robust_conditions(problem, disturbance_bound))
    question = Question(problem, model, preconditioner, named, parameters)
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
        limit_loss=None
        if noise_covariance is None
        else limit_of(
            model.with_noise(noise_covariance), rule, preconditioner, problem.alpha, found.spectrum
        ),
        robust=None if disturbance_bound is None else question.robust(disturbance_bound),
    )


def _built(
    model: NoisyQuadratic,
    named: NamedRule,
    parameters: dict[str, Any],
    preconditioner: ArrayLike | None,
    alpha: float,
) -> UpdateRule:
    P = preconditioner
    P = None if P is None else validate.square("preconditioner", P, model.dimension)
    return named.build(model.hessian, P, alpha, **parameters)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def limit_of(
    model: NoisyQuadratic,
    rule: str | Builder,
    preconditioner: ArrayLike | None,
    nominal_step: float,
    spectrum: Spectrum | None = None,
) -> LimitLoss:
    """The limit of the expected loss of a named rule, by the sharpest route.

    `spectrum` is that of `check`, on the range of H; it is found where it is not given. So the
    limit is finite where `check` says that the rule is stable.
    """
    named, parameters = _resolve(rule)
    if spectrum is None:
        problem = pose(model, preconditioner, nominal_step)
        spectrum = analyse(problem, named, parameters).spectrum
    if named.name == "plain":
        found = symmetric_limit_loss(model, nominal_step, preconditioner, spectrum=spectrum)
        if found is not None:
            return found
    built = _built(model, named, parameters, preconditioner, nominal_step)
    known = named.name in ("plain", "perturbed", "cancelled") or model.rank == model.dimension
    return limit_loss(model, built, spectrum=spectrum if known else None)


class Question(NamedTuple):
    """The arguments of `check`, for the parts that are computed only where asked."""

    problem: Problem
    model: NoisyQuadratic
    preconditioner: Any
    named: NamedRule
    parameters: dict[str, Any]

    def _rule(self) -> UpdateRule:
        return _built(
            self.model, self.named, self.parameters, self.preconditioner, self.problem.alpha
        )

    def transient(self, spectrum: Spectrum) -> Any:
        """Growth in the norm of the loss: for the plain rule, and up to N = 32."""
        from nqm.spectra.transients import Transient, transient_growth

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
        """A proof about exactly these numbers; of a function's rule, about its rounded matrix."""
        from nqm.spectra.proofs import prove_matrix, prove_rule, prove_stability

        if self.named.name == "plain":
            return prove_stability(self.model, self.preconditioner, self.problem.alpha)
        if RULES.get(self.named.name) is not self.named:
            return prove_matrix(self._rule().joint_matrix)
        P = self.preconditioner
        P = None if P is None else validate.square("preconditioner", P, self.model.dimension)
        return prove_rule(self.named, self.parameters, self.model.hessian, P, self.problem.alpha)

    def mean_square(self, batch_size: float) -> Any:
        """Mean-square stability under Gaussian minibatches."""
        from nqm.spectra.minibatch import minibatch_mean_square

        model = self.model
        return minibatch_mean_square(
            model.hessian, self.preconditioner, self.problem.alpha, batch_size
        )

    def robust(self, disturbance_bound: Any) -> Any:
        """The worst case over the disturbances (15)."""
        from nqm.robust.stability import robust_stability

        model = self.model
        P = np.zeros_like(model.hessian) if self.preconditioner is None else self.preconditioner
        return robust_stability(model, P, self.problem.alpha, disturbance_bound)
