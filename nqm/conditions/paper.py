"""The paper's sufficient conditions, each with its assumptions checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nqm import validate
from nqm.conditions.formulas import (
    lemma2_interval,
    lemma3_bounds,
    theorem1_interval,
    theorem1_prime_norm,
)
from nqm.conditions.intervals import Interval, nominal_step_interval
from nqm.namespace import AnyArray
from nqm.rules.linear import root_and_inverse_root
from nqm.validate import Array

# Name, source and quantity of each condition.
THEOREM1 = ("Theorem 1", "(9) and (10)", "eigenvalues of P")
LEMMA2 = ("Lemma 2", "(9) and (13)", "eigenvalues of P")
LEMMA3 = ("Lemma 3", "(16) and (17)", "eigenvalues of P~, and 0")
THEOREM1_PRIME = ("Theorem 1'", "any real P", "|P - (1/h - alpha) I|_2")

SYMMETRIC_ONLY = (
    "P is not symmetric (max |P - P.T| is {:.3g}); for such P the statement is false: "
    "H=[[2,1],[1,2]], alpha=0, P=[[0,2],[0,1/2]] satisfies it and A has the eigenvalue -2"
)


@dataclass(frozen=True)
class Condition:
    """A sufficient condition lower <= smallest and largest <= upper on some quantity.

    Attributes
    ----------
    name, source : str
        What it is called and where it stands.
    quantity : str
        What is bounded, such as "eigenvalues of P".
    applies : bool
        Whether its assumptions hold; where not, `holds` is False whatever the numbers.
    reason : str
        Why it does not apply, otherwise empty.
    lower, upper, smallest, largest : float
        Bounds and extremes of the quantity; NaN where it has none.
    exact_margin : float
        The distance to instability in the units of `margin`, for comparison; NaN if unknown.

    Examples
    --------
    >>> from nqm import Condition
    >>> c = Condition("C", "text", "eigenvalues of P", True, "", -1.0, 3.0, 0.0, 2.5, 1.0)
    >>> c.holds, c.margin, c.conservatism
    (True, 0.5, 0.5)
    """

    name: str
    source: str
    quantity: str
    applies: bool
    reason: str
    lower: float = float("nan")
    upper: float = float("nan")
    smallest: float = float("nan")
    largest: float = float("nan")
    exact_margin: float = float("nan")

    @property
    def margin(self) -> float:
        """min(smallest - lower, upper - largest); how far inside, negative outside; NaN if none."""
        gaps = [self.smallest - self.lower, self.upper - self.largest]
        known = [g for g in gaps if not np.isnan(g)]
        return min(known) if known else float("nan")

    @property
    def holds(self) -> bool:
        """Whether it applies and its margin is nonnegative."""
        return self.applies and self.margin >= 0

    @property
    def conservatism(self) -> float:
        """margin / exact_margin: 1 is sharp, 0 or less certifies nothing; NaN where unstable."""
        usable = self.applies and self.exact_margin > 0
        return self.margin / self.exact_margin if usable else float("nan")


def not_applicable(name: str, source: str, quantity: str, reason: str) -> Condition:
    """A condition whose assumptions fail, with the reason and no numbers."""
    return Condition(name, source, quantity, False, reason)


def distance_inside(interval: Interval, alpha: float) -> float:
    """How far alpha is inside the interval; negative outside."""
    return float(min(alpha - interval.lower, interval.upper - alpha))


def extremes(P: Array) -> tuple[float, float]:
    """The smallest and the largest eigenvalue of a symmetric matrix."""
    values = np.linalg.eigvalsh(P)
    return float(values[0]), float(values[-1])


def symmetric_preconditioner(preconditioner: AnyArray | None, size: int) -> tuple[Array, str]:
    """P and, where it is not symmetric, why the paper's statements then do not apply."""
    if preconditioner is None:
        return np.zeros((size, size)), ""
    P = validate.square("preconditioner", preconditioner, size)
    if validate.asymmetry(P) <= validate.SYMMETRY_TOLERANCE:
        return P / 2 + P.T / 2, ""
    return P, SYMMETRIC_ONLY.format(float(np.max(np.abs(P - P.T))))


def theorem1(hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: float) -> Condition:
    """-alpha <= lambda_min(P) and lambda_max(P) <= 2/lambda_max(H) - alpha imply rho(A) <= 1.

    Theorem 1, (9) and (10), for symmetric P. The paper states it for every diagonalizable P with
    real eigenvalues, for which it is false; there the result has applies False.

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite.
    preconditioner : (N, N) array or None
        P, any real matrix.
    nominal_step : float
        alpha.

    Returns
    -------
    Condition

    Raises
    ------
    ValueError
        For malformed arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import theorem1
    >>> H = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> theorem1(H, np.diag([-0.1, 0.1]), 0.25).holds
    True
    >>> theorem1(H, np.array([[0.0, 2.0], [0.0, 0.5]]), 0.0).applies
    False
    """
    H = validate.semidefinite("hessian", hessian)
    alpha = validate.scalar("nominal_step", nominal_step)
    P, reason = symmetric_preconditioner(preconditioner, H.shape[0])
    bounds = -alpha, float(theorem1_interval(H, None)[1]) - alpha
    if reason:
        return Condition(*THEOREM1, False, reason, *bounds)
    exact = distance_inside(nominal_step_interval(H, P), alpha)
    return Condition(*THEOREM1, True, "", *bounds, *extremes(P), exact)


def lemma2(hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: float) -> Condition:
    """-alpha <= lambda_min(P), lambda_max(P) <= 2/sqrt(lambda_max(H)) - alpha: (12) is stable.

    Lemma 2, (9) and (13), for symmetric P: Theorem 1 with H^1/2 in place of H. As printed, for
    every diagonalizable P with real eigenvalues, it is false.

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `theorem1`.

    Returns
    -------
    Condition

    Raises
    ------
    ValueError
        For malformed arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import lemma2, preconditioned_update_matrix, spectral_radius
    >>> H = np.array([[5.0, 4.0], [4.0, 5.0]])
    >>> found = lemma2(H, np.diag([-0.1, 0.1]), 0.5)
    >>> A = preconditioned_update_matrix(H, np.diag([-0.1, 0.1]), 0.5)
    >>> found.holds, bool(spectral_radius(A) <= 1)
    (True, True)
    """
    H = validate.semidefinite("hessian", hessian)
    alpha = validate.scalar("nominal_step", nominal_step)
    P, reason = symmetric_preconditioner(preconditioner, H.shape[0])
    bounds = -alpha, float(lemma2_interval(H, None)[1]) - alpha
    if reason:
        return Condition(*LEMMA2, False, reason.replace("[2,1],[1,2]", "[5,4],[4,5]"), *bounds)
    root = root_and_inverse_root(H)[0]
    exact = distance_inside(nominal_step_interval(root, P), alpha)
    return Condition(*LEMMA2, True, "", *bounds, *extremes(P), exact)


def lemma3(
    hessian: AnyArray,
    preconditioner: AnyArray,
    nominal_step: float,
    disturbance_bound: AnyArray,
) -> Condition:
    """-alpha/max dbar <= lambda(P~) <= (2/lambda_max(H) - alpha)/max dbar: stable for all Delta.

    Lemma 3, (16) and (17), under its assumption that P~ commutes with every diagonal Delta, which
    makes P~ diagonal. Without it the statement is false even for P~ >= 0; the result then has
    applies False. `nqm.robust.stability` has sharper answers.

    Parameters
    ----------
    hessian, nominal_step
        As for `theorem1`.
    preconditioner : (N, N) array
        P~.
    disturbance_bound : (N,) array
        dbar > 0 of (15): 0 < d_i <= dbar_i.

    Returns
    -------
    Condition
        Its exact margin is the largest change of alpha under which the box stays stable.

    Raises
    ------
    ValueError
        For malformed arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import lemma3
    >>> lemma3(np.eye(2), np.diag([-0.2, 0.3]), 0.5, [1.0, 2.0]).holds
    True
    >>> lemma3(np.eye(2), np.ones((2, 2)), 0.5, [1.0, 2.0]).applies
    False
    """
    H = validate.semidefinite("hessian", hessian)
    alpha = validate.scalar("nominal_step", nominal_step)
    P = validate.square("preconditioner", preconditioner, H.shape[0])
    dbar = validate.vector("disturbance_bound", disturbance_bound, H.shape[0])
    if not np.all(dbar > 0):
        raise ValueError(f"disturbance_bound must be positive; its smallest is {dbar.min():.6g}.")
    top = 2 / float(np.linalg.eigvalsh(H)[-1])
    low_bound, high_bound = (float(x) for x in lemma3_bounds(H, alpha, dbar))
    bounds = low_bound, high_bound
    if np.any(np.diag(np.diag(P)) != P):
        reason = "P~ is not diagonal, so it does not commute with every diagonal Delta"
        return Condition(*LEMMA3, False, reason, *bounds)
    if not 0 < alpha < top:
        reason = f"nominal_step {alpha:.6g} is not inside (0, {top:.6g})"
        return Condition(*LEMMA3, False, reason, *bounds)
    p = np.diag(P)
    # The worst corners of the box, exact for diagonal P~; divided by max dbar like the bounds.
    low = nominal_step_interval(H, np.diag(np.minimum(0.0, dbar * p))).lower
    high = nominal_step_interval(H, np.diag(np.maximum(0.0, dbar * p))).upper
    exact = distance_inside(Interval(low, high), alpha) / float(dbar.max())
    smallest, largest = min(float(p.min()), 0.0), max(float(p.max()), 0.0)
    return Condition(*LEMMA3, True, "", *bounds, smallest, largest, exact)


def theorem1_prime(
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: float
) -> Condition:
    """|P - (1/h - alpha) I|_2 <= 1/h with h = lambda_max(H) implies rho(A) <= 1, for any real P.

    Theorem 1': what Theorem 1 becomes without symmetry; for symmetric P it is (9) and (10). It
    holds for every 0 < H <= h I at once.

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `theorem1`, P any real matrix.

    Returns
    -------
    Condition

    Raises
    ------
    ValueError
        For malformed arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import theorem1_prime
    >>> H, P = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[0.0, 0.2], [-0.2, 0.0]])
    >>> theorem1_prime(H, P, 1 / 3).holds
    True
    >>> theorem1_prime(H, np.array([[0.0, 2.0], [0.0, 0.5]]), 0.0).holds
    False
    """
    H = validate.semidefinite("hessian", hessian)
    alpha = validate.scalar("nominal_step", nominal_step)
    n = H.shape[0]
    P = np.zeros((n, n)) if preconditioner is None else preconditioner
    P = validate.square("preconditioner", P, n)
    h = float(np.linalg.eigvalsh(H)[-1])
    norm = float(theorem1_prime_norm(H, P, alpha))
    return Condition(*THEOREM1_PRIME, True, "", float("nan"), 1 / h, float("nan"), norm)
