"""A field of a configuration: how it documents itself, and the rules that its value must keep."""

from collections.abc import Collection
from dataclasses import field
from typing import Any

from nqm.untrusted import quoted


def setting(default: Any, help: str, paper: Any = None, unset: str = "the optimizer's own") -> Any:
    """A dataclass field that documents itself; `paper` is the paper's value where it prints one,
    `unset` what a default of None stands for.
    """
    return field(default=default, metadata={"help": help, "paper": paper, "unset": unset})


def member(name: str, value: str, known: Collection[str]) -> None:
    """Raise where the value is none of the known ones."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}; it is {quoted(value)}.")


def require(name: str, value: Any, holds: bool, rule: str) -> None:
    """Raise the rule where it does not hold."""
    if not holds:
        raise ValueError(f"{name} must be {rule}; it is {quoted(value)}.")
