"""Configurations of plain values that anyone may have written: in a file, or on a command line."""

import typing
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin

import numpy as np

from nqm.untrusted import quoted

Made = TypeVar("Made")

MOST_ENTRIES = 64
# Characters of a text; the parsers of names and rules see nothing longer.
LONGEST_TEXT = 200
_SAYS = {NoneType: "null", int: "int", float: "float", bool: "bool", str: "str"}


def from_fields(kind: type[Made], values: Mapping[str, Any]) -> Made:
    """The dataclass `kind` of a mapping from its fields to plain values.

    Raises
    ------
    ValueError
        Where a key is no field (the message names the nearest), a value is of another type, or
        `kind` itself refuses.
    """
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            near = get_close_matches(str(key)[:100], known, 1)
            raise ValueError(
                f"{quoted(key)} is no field of the configuration."
                + (f" Did you mean {near[0]!r}?" if near else "")
            )
    hints = typing.get_type_hints(kind)
    return kind(**{key: typed(key, value, hints[key]) for key, value in values.items()})


def typed(name: str, value: Any, hint: Any) -> Any:
    """The value as the type of its field.

    A whole number will do for a float, a list for a tuple, a number of NumPy for one of Python.

    Raises
    ------
    ValueError
        Where the value is of another type, or a list or a text is long. Numbers may be NaN.

    Examples
    --------
    >>> typed("hidden_widths", [4, 4], tuple[int, ...]), typed("sigma", 1, float)
    ((4, 4), 1.0)
    """
    value = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    if get_origin(hint) is tuple:
        entry = get_args(hint)[0]
        if not isinstance(value, list | tuple):
            kind = {str: "strings"}.get(entry, "numbers")
            raise ValueError(f"{name} must be a list of {kind}; it is {quoted(value)}.")
        if len(value) > MOST_ENTRIES:
            raise ValueError(f"{name} has {len(value)} entries; {MOST_ENTRIES} is the most.")
        return tuple(typed(f"{name}[{k}]", x, entry) for k, x in enumerate(value))
    kinds = _kinds(hint)
    if type(value) is int and float in kinds and int not in kinds and abs(value) < 10**308:
        value = float(value)
    if type(value) not in kinds:
        kind = " or ".join(_SAYS[k] for k in kinds)
        raise ValueError(f"{name} must be of type {kind}; it is {quoted(value)}.")
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise ValueError(
            f"{name} must have at most {LONGEST_TEXT} characters; it has {len(value)}."
        )
    return value


def _kinds(hint: Any) -> tuple[type, ...]:
    """The plain types of a hint; those of a ``Literal`` are the types of its values."""
    if get_origin(hint) is Literal:
        return tuple({type(value): None for value in get_args(hint)})
    inner = get_args(hint)
    return tuple(kind for part in inner for kind in _kinds(part)) if inner else (hint,)
