"""A measured number with its residual, its error and whether it has converged."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lopt.monitor.eigen import EigenEstimate

__all__ = ["Value"]


@dataclass(frozen=True)
class Value:
    """A number, how far it may be off, and whether that is within the tolerance.

    Attributes
    ----------
    value : float
        The number; NaN where nothing could be measured.
    residual : float
        Backward error, see `EigenEstimate.residuals`.
    error : float
        Forward error, see `EigenEstimate.errors`.
    converged : bool

    Examples
    --------
    >>> Value(2.0, 1e-3, 1e-3, converged=True).text()
    '2 ± 0.001'
    """

    value: float
    residual: float
    error: float
    converged: bool

    def text(self) -> str:
        """The number with its error; a mark where it has not converged."""
        if self.value != self.value:
            return "not measured"
        return f"{self.value:.5g} ± {self.error:.1g}{'' if self.converged else ' (not converged)'}"

    def to_json(self) -> dict[str, Any]:
        """The fields; NaN and infinity as None."""
        numbers = {"value": self.value, "residual": self.residual, "error": self.error}
        plain = {k: float(v) if np.isfinite(v) else None for k, v in numbers.items()}
        return {**plain, "converged": bool(self.converged)}


NOTHING = Value(float("nan"), float("nan"), float("nan"), converged=False)


def extreme(estimate: EigenEstimate, *, largest: bool) -> Value:
    """The largest or smallest Ritz value of a symmetric operator, converged or not."""
    if not len(estimate.values) or not np.isfinite(estimate.values).all():
        return NOTHING
    i = int(np.argmax(estimate.values) if largest else np.argmin(estimate.values))
    return _at(estimate, i, float(estimate.values[i]))


def dominant(estimate: EigenEstimate, size: np.ndarray) -> Value:
    """max size_i over the values of an estimate, with the residual and error of that value.

    Where a converged value is larger than every unconverged one this is it; else the largest of
    all, marked as not converged.
    """
    if not len(estimate.values) or not np.isfinite(estimate.values).all():
        return NOTHING
    i = int(np.argmax(size))
    return _at(estimate, i, float(size[i]))


def _at(estimate: EigenEstimate, i: int, value: float) -> Value:
    return Value(
        value,
        float(estimate.residuals[i]),
        float(estimate.errors[i]),
        bool(estimate.converged[i]),
    )
