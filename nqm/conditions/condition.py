"""What a sufficient condition for stability is, and what it says about one problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

NAN = float("nan")


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
    >>> c = Condition(
    ...     name="C",
    ...     source="text",
    ...     quantity="eigenvalues of P",
    ...     applies=True,
    ...     reason="",
    ...     lower=-1.0,
    ...     upper=3.0,
    ...     smallest=0.0,
    ...     largest=2.5,
    ...     exact_margin=1.0,
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
        return min(known) if known else NAN

    @property
    def holds(self) -> bool:
        """Whether it applies and its margin is nonnegative."""
        return self.applies and self.margin >= 0

    @property
    def conservatism(self) -> float:
        """margin / exact_margin: 1 is sharp, 0 or less certifies nothing; NaN where unstable."""
        usable = self.applies and self.exact_margin > 0
        return self.margin / self.exact_margin if usable else NAN


class Statement(NamedTuple):
    """A condition before it is put to a problem: its name, its source and what it bounds.

    Examples
    --------
    >>> small = Statement(name="small", source="text", quantity="|P|")
    >>> small.applied(upper=1.0, largest=0.25).margin
    0.75
    >>> small.not_applicable("P is no matrix").holds
    False
    """

    name: str
    source: str
    quantity: str

    def applied(
        self,
        *,
        lower: float = NAN,
        upper: float = NAN,
        smallest: float = NAN,
        largest: float = NAN,
        exact_margin: float = NAN,
    ) -> Condition:
        """The condition with its numbers, where its assumptions hold."""
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

    def not_applicable(self, reason: str, *, lower: float = NAN, upper: float = NAN) -> Condition:
        """The condition where its assumptions fail, with the reason."""
        return Condition(
            name=self.name,
            source=self.source,
            quantity=self.quantity,
            applies=False,
            reason=reason,
            lower=lower,
            upper=upper,
        )


class Known(NamedTuple):
    """What is known of a problem already, which saves each condition its own eigenvalues.

    Attributes
    ----------
    p : (float, float) or None
        The extreme eigenvalues of a symmetric P; None where P is not symmetric.
    step_margin : float
        The distance of alpha to the nearest end of the exact interval, NaN if unknown.
    radius_margin : float
        1 - rho(A), NaN if unknown.
    """

    p: tuple[float, float] | None = None
    step_margin: float = NAN
    radius_margin: float = NAN
