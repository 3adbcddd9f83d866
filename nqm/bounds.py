"""The paper's sufficient conditions, each with its assumptions checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nqm import validate
from nqm.namespace import AnyArray, common

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


def theorem1_interval(hessian: AnyArray, preconditioner: AnyArray | None) -> AnyArray:
    """[-lambda_min(P), 2/lambda_max(H) - lambda_max(P)]: Theorem 1's steps, (9) and (10).

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite.
    preconditioner : (N, N) array or None
        P, symmetric; None means zero.

    Returns
    -------
    (2,) array
        Lower and upper end; never longer than the exact interval, and up to a factor kappa(H)
        shorter.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import theorem1_interval
    >>> theorem1_interval(np.diag([1.0, 0.01]), np.diag([0.0, 50.0])).tolist()  # empty
    [-0.0, -48.0]
    """
    xp, (H, P) = common(hessian, preconditioner)
    h_max = xp.linalg.eigvalsh(H)[-1]
    if P is None:
        return xp.stack([xp.zeros_like(h_max), 2 / h_max])
    p = xp.linalg.eigvalsh(P)
    return xp.stack([-p[0], 2 / h_max - p[-1]])


def spectral_bounds(
    name: str, source: str, p: tuple[float, float], bounds: tuple[float, float]
) -> Condition:
    """A condition lower <= lambda_min(P), lambda_max(P) <= upper for symmetric P."""
    return Condition(name, source, "eigenvalues of P", True, "", *bounds, *p)


def theorem1(hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: float) -> Condition:
    """-alpha <= lambda_min(P) and lambda_max(P) <= 2/lambda_max(H) - alpha imply rho(A) <= 1.

    Theorem 1, (9) and (10), for symmetric P. The paper states it for every diagonalizable P with
    real eigenvalues, for which it is false; there the result has applies False.

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive semidefinite.
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
    name, source, quantity = "Theorem 1", "(9) and (10)", "eigenvalues of P"
    p = (0.0, 0.0)
    if preconditioner is not None:
        P = validate.square("preconditioner", preconditioner, H.shape[0])
        if validate.asymmetry(P) > validate.SYMMETRY_TOLERANCE:
            gap = float(np.max(np.abs(P - P.T)))
            return not_applicable(name, source, quantity, SYMMETRIC_ONLY.format(gap))
        values = np.linalg.eigvalsh(P)
        p = float(values[0]), float(values[-1])
    h_max = float(np.linalg.eigvalsh(H)[-1])
    return spectral_bounds(name, source, p, (-alpha, 2 / h_max - alpha))
