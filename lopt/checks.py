"""The rules that a value must keep, and the one line that says which of them it breaks."""

from collections.abc import Collection
from typing import Any

from nqm.untrusted import quoted

__all__ = ["require", "require_member"]


def require(name: str, value: Any, holds: bool, rule: str) -> None:
    """Raise where a rule does not hold.

    Raises
    ------
    ValueError
        With the name, the rule and the value.

    Examples
    --------
    >>> require("pairs", 0, 0 >= 1, "at least 1")
    Traceback (most recent call last):
    ...
    ValueError: pairs must be at least 1; it is 0.
    """
    if not holds:
        raise ValueError(f"{name} must be {rule}; it is {quoted(value)}.")


def require_member(name: str, value: object, known: Collection[str]) -> None:
    """Raise where the value is none of the known ones."""
    require(name, value, value in known, f"one of {', '.join(known)}")
