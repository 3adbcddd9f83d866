"""A sufficient condition of stability: its statement, its numbers, whether and how far it holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from nqm import validate
from nqm.conditions.intervals import Interval
from nqm.namespace import AnyArray
from nqm.validate import Array

NAN = float("nan")
SYMMETRIC_ONLY = (
    "P is not symmetric (max |P - P.T| is {:.3g}); for such P the statement is false: "
    "H=[[2,1],[1,2]], alpha=0, P=[[0,2],[0,1/2]] satisfies it and A has the eigenvalue -2"
)


@dataclass(frozen=True, kw_only=True)
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
    >>> c = Condition(
    ...     name="C", source="text", quantity="eigenvalues of P", applies=True, reason="",
    ...     lower=-1.0, upper=3.0, smallest=0.0, largest=2.5, exact_margin=1.0,
    ... )
    >>> c.holds, c.margin, c.conservatism
    (True, 0.5, 0.5)
    """

    name: str
    source: str
    quantity: str
    applies: bool
    reason: str
    lower: float = NAN
    upper: float = NAN
    smallest: float = NAN
    largest: float = NAN
    exact_margin: float = NAN

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


class Statement(NamedTuple):
    """What a condition is called, where it stands, and which quantity it bounds."""

    name: str
    source: str
    quantity: str

    def on(
        self,
        *,
        lower: float = NAN,
        upper: float = NAN,
        smallest: float = NAN,
        largest: float = NAN,
        exact_margin: float = NAN,
    ) -> Condition:
        """The condition with these numbers."""
        return Condition(
            name=self.name,
            source=self.source,
            quantity=self.quantity,
            applies=True,
            reason="",
            lower=lower,
            upper=upper,
            smallest=smallest,
            largest=largest,
            exact_margin=exact_margin,
        )

    def not_on(self, reason: str, **numbers: float) -> Condition:
        """The condition where an assumption fails, with the reason."""
        return replace(self.on(**numbers), applies=False, reason=reason)


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
