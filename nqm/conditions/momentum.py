"""The exact stability condition of the momentum family, and its limits in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nqm import validate
from nqm.conditions.condition import Condition, Statement
from nqm.conditions.intervals import KnownSteps, known_steps, posed_step_interval
from nqm.namespace import AnyArray, common
from nqm.problem import Problem
from nqm.spectra.symmetric import solve_symmetric

MOMENTUM = Statement(
    name="momentum",
    source="sum_k M_k/(1 + beta_k) < 2 H^-1, exact",
    quantity="eigenvalues of H^1/2 sum_k M_k/(1+beta_k) H^1/2",
)
LONGEST_DELAY = 1000


def _check_momentum(name: str, value: float, lowest: float = -1.0) -> float:
    beta = validate.scalar(name, value)
    if not lowest <= beta < 1.0 or beta == -1.0:
        start = "-1 <" if lowest == -1.0 else f"{lowest:g} <="
        raise ValueError(f"{name} must satisfy {start} {name} < 1; it is {beta}.")
    return beta


def momentum_eigenvalues(
    hessian: AnyArray, step_matrices: Sequence[AnyArray], dampings: Sequence[AnyArray]
) -> AnyArray:
    """The eigenvalues of H^1/2 sum_k M_k/(1 + beta_k) H^1/2, which must lie in (0, 2).

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite.
    step_matrices : sequence of K (N, N) arrays
        M_k, symmetric.
    dampings : sequence of K scalars
        beta_k.

    Returns
    -------
    (N,) array, ascending

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import momentum_eigenvalues
    >>> momentum_eigenvalues(np.diag([1.0, 2.0]), [1.5 * np.eye(2)], [0.5]).round(12).tolist()
    [1.0, 2.0]
    """
    count = len(dampings)
    xp, (H, *rest) = common(hessian, *step_matrices, *dampings)
    pairs = zip(rest[:count], rest[count:], strict=True)
    total = sum((M / (1 + beta) for M, beta in pairs), 0 * H)
    factor = xp.linalg.cholesky(H)
    inner = factor.T @ total @ factor
    return xp.linalg.eigvalsh((inner + inner.T) / 2)


def momentum_condition(
    hessian: AnyArray, step_matrices: Sequence[AnyArray], dampings: Sequence[float]
) -> Condition:
    """rho < 1 iff sum_k M_k/(1 + beta_k) < 2 H^-1, for `aggregated_momentum_rule`.

    Exact, not only sufficient, where every M_k is symmetric positive semidefinite, sum_k M_k is
    positive definite and |beta_k| < 1; else it does not apply.

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite.
    step_matrices : sequence of K (N, N) arrays
        M_k.
    dampings : sequence of K floats
        beta_k.

    Returns
    -------
    Condition
        Bounds on the eigenvalues of H^1/2 (sum_k M_k/(1 + beta_k)) H^1/2: above 0, below 2.

    Raises
    ------
    ValueError
        For malformed arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import momentum_condition
    >>> found = momentum_condition(np.diag([1.0, 2.0]), [1.5 * np.eye(2)], [0.9])
    >>> found.holds, bool(np.isclose(found.largest, 3.0 / 1.9))
    (True, True)
    """
    H = validate.semidefinite("hessian", hessian)
    betas = [validate.scalar("dampings", b) for b in dampings]
    matrices = [validate.square("step_matrices", M, H.shape[0]) for M in step_matrices]
    if len(betas) != len(matrices) or not betas:
        raise ValueError("step_matrices and dampings must be as many, at least one.")
    for M in matrices:
        if validate.asymmetry(M) > validate.SYMMETRY_TOLERANCE:
            return MOMENTUM.not_applicable("a step matrix is not symmetric")
        values = np.linalg.eigvalsh(M)
        if values[0] < -validate.rounding(values):
            reason = f"a step matrix has the negative eigenvalue {values[0]:.3g}"
            return MOMENTUM.not_applicable(reason)
    if not np.linalg.eigvalsh(sum(matrices[1:], matrices[0]))[0] > 0:
        return MOMENTUM.not_applicable("the step matrices' sum is singular")
    if not all(abs(b) < 1 for b in betas):
        return MOMENTUM.not_applicable("a damping is not inside (-1, 1)")
    x = momentum_eigenvalues(H, matrices, betas)
    low, high = float(x[0]), float(x[-1])
    return MOMENTUM.applied(
        lower=0.0, upper=2.0, smallest=low, largest=high, exact_margin=min(low, 2 - high)
    )


def heavy_ball_limit(momentum: float) -> float:
    """x < 2 (1 + beta): the bound on lr lambda for heavy ball.

    Parameters
    ----------
    momentum : float
        -1 < beta < 1.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If beta is outside.

    Examples
    --------
    >>> from nqm import heavy_ball_limit
    >>> heavy_ball_limit(0.5)
    3.0
    """
    return 2 * (1 + _check_momentum("momentum", momentum))


def exponential_average_limit(momentum: float) -> float:
    """x < 2 (1 + beta)/(1 - beta): the bound on lr lambda for m' = beta m + (1-beta) g, and Adam.

    Parameters
    ----------
    momentum : float
        -1 < beta < 1.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If beta is outside.

    Examples
    --------
    >>> from nqm import exponential_average_limit
    >>> round(exponential_average_limit(0.9), 12)
    38.0
    """
    beta = _check_momentum("momentum", momentum)
    return 2 * (1 + beta) / (1 - beta)


def nesterov_limit(momentum: float) -> float:
    """x < 2 (1 + beta)/(1 + 2 beta): the bound on lr lambda for Nesterov's momentum, below 2.

    Parameters
    ----------
    momentum : float
        0 <= beta < 1.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If beta is outside.

    Examples
    --------
    >>> from nqm import nesterov_limit
    >>> nesterov_limit(0.5)
    1.5
    """
    beta = _check_momentum("momentum", momentum, 0.0)
    return 2 * (1 + beta) / (1 + 2 * beta)


def aggmo_limit(dampings: Sequence[float]) -> float:
    """x < 2 K / sum_k 1/(1 + beta_k): the bound on lr lambda for AggMo averaging K velocities.

    Parameters
    ----------
    dampings : sequence of floats
        -1 < beta_k < 1.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there is none or one is outside.

    Examples
    --------
    >>> from nqm import aggmo_limit
    >>> round(aggmo_limit([0, 0.9, 0.99]), 5)
    2.95737
    """
    if not len(dampings):
        raise ValueError("dampings must not be empty; pass at least one.")
    betas = [_check_momentum("dampings", b) for b in dampings]
    return 2 * len(betas) / sum(1 / (1 + b) for b in betas)


def checked_delay(delay: float) -> int:
    """The delay as an integer from 0 to 1000, also from a float that is one."""
    tau = validate.scalar("delay", delay)
    if not (tau.is_integer() and 0 <= tau <= LONGEST_DELAY):
        raise ValueError(
            f"delay must be a nonnegative integer of at most {LONGEST_DELAY}; it is {tau:g}."
        )
    return int(tau)


def delay_limit(delay: int) -> float:
    """x < 2 sin(pi/(2 (2 tau + 1))): the bound on lr lambda for a gradient tau steps old.

    Parameters
    ----------
    delay : int
        tau >= 0.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If tau is negative or no integer.

    Examples
    --------
    >>> from nqm import delay_limit
    >>> delay_limit(0), round(delay_limit(1), 12)
    (2.0, 1.0)
    """
    return 2 * math.sin(math.pi / (2 * (2 * checked_delay(delay) + 1)))


def nominal_momentum_steps(problem: Problem, momentum: float) -> KnownSteps:
    """0 <= alpha <= (1 + beta) lambda_min(2 H^-1 - P), with momentum in the nominal term alone.

    For P >= 0.
    """
    standing = problem._replace(alpha=0.0)
    solved = solve_symmetric(standing)
    if solved.p[0] < 0:
        return KnownSteps((), "P is not positive semidefinite")
    interval = posed_step_interval(standing, solved).interval
    upper = (1 + momentum) * float(interval.upper)
    if math.isnan(upper):
        return known_steps(interval)
    return KnownSteps(((0.0, upper),) if upper >= 0 else (), "among nominal steps >= 0")


def frozen_adam_steps(problem: Problem, momentum: float, weight_decay: float) -> KnownSteps:
    """0 <= lr <= 2 r/(lambda_max(D H) + w r) with r = (1 + b1)/(1 - b1), for frozen Adam.

    For D > 0 and w >= 0.
    """
    low, top = 1.0, float(problem.h[-1])
    if problem.preconditioner is not None:
        solved = solve_symmetric(problem._replace(alpha=0.0))
        low, top = solved.p[0], 1 - float(np.min(solved.spectrum.eigenvalues.real))
    if low <= 0 or top <= 0 or weight_decay < 0:
        return KnownSteps((), "P is not positive definite, or the weight decay is negative")
    ratio = (1 + momentum) / (1 - momentum)
    return KnownSteps(((0.0, 2 * ratio / (top + weight_decay * ratio)),))


def heavy_ball_ellipse(x: AnyArray, momentum: float) -> AnyArray:
    """((Re x - 1 - beta)/(1 + beta))^2 + (Im x/(1 - beta))^2, < 1 iff heavy ball is stable.

    x is an eigenvalue of M H, complex where P is not symmetric; the ellipse gets flatter as
    beta grows, so momentum can destabilize.

    Parameters
    ----------
    x : complex array
        Eigenvalues of (alpha I + P) H.
    momentum : float
        -1 < beta < 1.

    Returns
    -------
    array of the shape of x

    Raises
    ------
    ValueError
        If beta is outside.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import heavy_ball_ellipse
    >>> x = 1 + 0.5j  # stable without momentum, |1 - x| = 1/2, and unstable with beta = 0.9
    >>> bool(heavy_ball_ellipse(x, 0.0) < 1), bool(heavy_ball_ellipse(x, 0.9) < 1)
    (True, False)
    """
    beta = _check_momentum("momentum", momentum)
    real, imaginary = np.real(x), np.imag(x)
    return ((real - 1 - beta) / (1 + beta)) ** 2 + (imaginary / (1 - beta)) ** 2
