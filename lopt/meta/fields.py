"""A field of a configuration: how it documents itself, and what its value must be."""

from collections.abc import Collection
from dataclasses import field
from typing import Any, get_args

from nqm.untrusted import quoted

PLAIN = {str, int, float, bool, type(None)}
# Of a text or a list of texts; the parsers of names and rules see nothing longer.
LONGEST = 200


def setting(default: Any, help: str, paper: Any = None, unset: str = "the optimizer's own") -> Any:
    """A dataclass field that documents itself; `paper` is the paper's value where it prints one,
    `unset` what a default of None stands for.
    """
    return field(default=default, metadata={"help": help, "paper": paper, "unset": unset})


def typed(name: str, value: Any, hint: Any) -> Any:
    """The value as the field's type; a whole number will do for a float."""
    if hint == tuple[str, ...]:
        if isinstance(value, list | tuple) and all(isinstance(x, str) for x in value):
            require(name, value, len(value) <= LONGEST, f"at most {LONGEST} texts")
            return tuple(typed(name, x, str) for x in value)
        raise ValueError(f"{name} must be a list of strings; it is {quoted(value)}.")
    kinds = get_args(hint) or (hint,)
    if type(value) is int and float in kinds and int not in kinds:
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{name} must fit into a float64; it is {quoted(value)}.") from None
    if set(kinds) <= PLAIN and type(value) not in kinds:
        kind = " or ".join("null" if k is type(None) else k.__name__ for k in kinds)
        raise ValueError(f"{name} must be of type {kind}; it is {quoted(value)}.")
    if isinstance(value, str):
        require(name, value, len(value) <= LONGEST, f"at most {LONGEST} characters long")
    return value


def member(name: str, value: str, known: Collection[str]) -> None:
    """Raise where the value is none of the known ones."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}; it is {quoted(value)}.")


def require(name: str, value: Any, holds: bool, rule: str) -> None:
    """Raise the rule where it does not hold."""
    if not holds:
        raise ValueError(f"{name} must be {rule}; it is {quoted(value)}.")
