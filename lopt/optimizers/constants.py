"""The constants of a configuration, each checked where its value is known.

A constant may be traced, as where it follows a schedule under ``jit`` or is differentiated. Its
value is not known then, and only its shape and its dtype are checked.
"""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lopt.checks import require

# Beyond it a constant is infinite in the arithmetic of the optimizers.
LARGEST = float(np.finfo(np.float32).max)


def is_zero(value: Any) -> bool:
    """Whether a constant is known to be 0."""
    return not isinstance(value, jax.core.Tracer) and float(value) == 0.0


def require_number(
    name: str, value: Any, least: float = -LARGEST, below: float | None = None
) -> None:
    """Raise where a constant is not a finite real number from `least` on and less than `below`.

    Raises
    ------
    ValueError
        With the name, the rule and the value.

    Examples
    --------
    >>> require_number("step", 0.1, least=0.0)
    >>> require_number("step", float("nan"), least=0.0)
    Traceback (most recent call last):
    ...
    ValueError: step must be finite and at least 0; it is nan.
    """
    require(name, value, _is_real_number(value), "a real number")
    rule = "finite" if least == -LARGEST else f"finite and at least {least:g}"
    if below is not None:
        rule = f"in [{least:g}, {below:g})"
    require(name, value, _is_within(value, least, below), rule)


def require_count(name: str, value: Any, most: int) -> None:
    """Raise where a value is not a whole number from 1 to `most`."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    require(name, value, whole and 1 <= value <= most, f"a whole number from 1 to {most}")


def require_flag(name: str, value: Any) -> None:
    """Raise where a value is neither True nor False."""
    require(name, value, isinstance(value, bool | np.bool_), "True or False")


def require_sequence(name: str, value: Any, lengths: range) -> Iterable[Any]:
    """Return the value, a list, tuple or vector whose length is among `lengths`."""
    kinds = (list, tuple, np.ndarray, jax.Array)
    holds = isinstance(value, kinds) and getattr(value, "ndim", 1) == 1 and len(value) in lengths
    require(name, value, holds, f"a list of {lengths.start} to {lengths.stop - 1} entries")
    return value


def _is_real_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return True
    kind = getattr(value, "dtype", None)
    real = kind is not None and (
        jnp.issubdtype(kind, jnp.floating) or jnp.issubdtype(kind, jnp.integer)
    )
    return real and jnp.shape(value) == ()


def _is_within(value: Any, least: float, below: float | None) -> bool:
    """Whether a number is in its range, or not known; never by an operation of JAX, which would be
    traced under ``jit``.
    """
    if isinstance(value, jax.core.Tracer):
        return True
    number = value if isinstance(value, int) else float(value)
    return least <= number <= LARGEST and (below is None or number < below)
