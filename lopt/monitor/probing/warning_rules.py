"""Warning rules for a meta-training run: a radius above a limit, several times in a row."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lopt.checks import require_member

__all__ = ["ACTIONS", "WarningRule", "Warnings"]

#: What a rule can do.
ACTIONS = ("log", "checkpoint", "stop", "raise-weight-decay")
QUANTITIES = ("radius", "oscillatory_radius", "ascent_radius", "growth")
FORM = re.compile(r"\s*([\w-]+)\s*>\s*(\S+?)(?:\s+for\s+(\S+?))?\s*:\s*(\S+)\s*")


@dataclass(frozen=True)
class WarningRule:
    """`quantity` above `limit` in `count` consecutive probes calls for `action`.

    Parameters
    ----------
    limit : float
        Finite and not negative.
    count : int
        At least 1.
    action : str
        One of "log", "checkpoint", "stop", "raise-weight-decay".
    quantity : str
        A field of `Judgement`: "radius", "oscillatory_radius", "ascent_radius" or "growth"; its
        largest value over the probed inner steps is what counts.

    Raises
    ------
    ValueError
        For a value out of range.

    Examples
    --------
    >>> WarningRule.parse("radius>1.05 for 3: stop")
    WarningRule(limit=1.05, count=3, action='stop', quantity='radius')
    """

    limit: float
    count: int
    action: str
    quantity: str = "radius"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.limit) and self.limit >= 0):
            raise ValueError(f"the limit of a rule must be finite and >= 0; it is {self.limit}.")
        if self.count < 1:
            raise ValueError(f"a rule must wait for at least 1 probe; it waits for {self.count}.")
        require_member("the action of a rule", self.action, ACTIONS)
        require_member("the quantity of a rule", self.quantity, QUANTITIES)

    @classmethod
    def parse(cls, text: str) -> "WarningRule":
        """The rule of a text such as ``radius>1.05 for 3: stop``; without ``for``, at once."""
        match = FORM.fullmatch(text)
        if match is None:
            raise ValueError(
                f"a rule reads QUANTITY>LIMIT for COUNT: ACTION, as 'radius>1.05 for 3: stop'; "
                f"{text!r} does not."
            )
        quantity, limit, count, action = match.groups()
        try:
            number = float(limit)
        except ValueError:
            raise ValueError(
                f"the limit in rule {text!r} is no number: {limit!r}. Write e.g. 1.05."
            ) from None
        if count is not None and not re.fullmatch(r"[+-]?\d+", count):
            raise ValueError(
                f"the count in rule {text!r} is no whole number: {count!r}. Write e.g. for 3."
            )
        return cls(number, int(count or 1), action, quantity.replace("-", "_"))

    def text(self) -> str:
        """The rule as `parse` reads it."""
        return f"{self.quantity}>{self.limit:g} for {self.count}: {self.action}"


class Warnings:
    """The rules of a run with their counts of consecutive probes.

    Parameters
    ----------
    rules : sequence of WarningRule

    Examples
    --------
    >>> watch = Warnings([WarningRule.parse("radius>1.05 for 2: stop")])
    >>> [[rule.action for rule in watch.see({"radius": r})] for r in (1.1, 1.2, 1.3, 1.0, 1.1)]
    [[], ['stop'], ['stop'], [], []]
    """

    def __init__(self, rules: Sequence[WarningRule]) -> None:
        self.rules = tuple(rules)
        self.counts = [0] * len(self.rules)

    def see(self, *points: dict) -> list[WarningRule]:
        """The rules that are due after a probe; `points` are its points' numbers by quantity.

        A probe in which no point has the quantity (None, NaN: nothing converged) neither counts
        nor ends a row; infinity counts as above every limit.
        """
        due = []
        for i, rule in enumerate(self.rules):
            values = [v for v in (p.get(rule.quantity) for p in points) if v is not None]
            values = [float(v) for v in values if v == v]
            if values:
                self.counts[i] = self.counts[i] + 1 if max(values) > rule.limit else 0
                if self.counts[i] >= rule.count:
                    due.append(rule)
        return due
