"""A measured extreme eigenvalue, with its residual, its error and whether it has converged."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lopt.monitor.krylov.arnoldi import ROUNDING_UNITS, KrylovFactorization
from lopt.monitor.krylov.eigenvalues import EigenEstimate, finite_projection
from lopt.monitor.krylov.enclosure import enclosure
from nqm.json_values import json_value

__all__ = ["NOTHING", "Value", "extreme", "radius", "skew_norm"]


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
        Of an extreme eigenvalue the distance to the extreme itself, not to some eigenvalue nearby:
        the forward error of the Ritz value (`EigenEstimate.errors`), or how much further out an
        eigenvalue may lie that was missed (`Enclosure`, with its confidence), if that is more.
    converged : bool
        Whether the error is within the tolerance.

    Examples
    --------
    >>> Value(2.0, 1e-3, 1e-3, converged=True).text()
    '2 ± 0.001'
    """

    value: float
    residual: float
    error: float
    converged: bool

    def unsure(self) -> "Value":
        """The same number with an unbounded error, not converged."""
        return replace(self, error=float("inf"), converged=False)

    def text(self) -> str:
        """The number with its error; a mark where it has not converged."""
        if self.value != self.value:
            return "not measured"
        return f"{self.value:.5g} ± {self.error:.1g}{'' if self.converged else ' (not converged)'}"

    def to_json(self) -> dict[str, Any]:
        """The fields; NaN and infinity as None."""
        numbers = {"value": self.value, "residual": self.residual, "error": self.error}
        plain = {name: json_value(number) for name, number in numbers.items()}
        return {**plain, "converged": bool(self.converged)}


NOTHING = Value(float("nan"), float("nan"), float("nan"), converged=False)


def extreme(estimate: EigenEstimate, *, largest: bool) -> Value:
    """The largest or the smallest real part of the eigenvalues."""
    parts = np.real(estimate.values)
    if largest:
        return _outermost(estimate, parts, estimate.largest_bound)
    negated = _outermost(estimate, -parts, -estimate.smallest_bound)
    return replace(negated, value=-negated.value)


def radius(estimate: EigenEstimate) -> Value:
    """The largest modulus of the eigenvalues."""
    return _outermost(estimate, np.abs(estimate.values), estimate.radius_bound)


def skew_norm(factorization: KrylovFactorization, size: float, tolerance: float) -> Value:
    """|K|_2 of a skew-symmetric K, the largest |Ritz value|; converged within tolerance * size.

    K is normal, so residuals bound errors as for a symmetric operator. `size` is the norm of the
    map of which K is a part; rounding errors are relative to it.
    """
    projection = finite_projection(factorization)
    if projection is None:
        return NOTHING
    values, vectors = np.linalg.eigh(0.5j * (projection - projection.T))
    i = int(np.abs(values).argmax())
    found = float(np.abs(values[i]))
    whole = max(size, found)
    rounding = ROUNDING_UNITS * float(np.finfo(factorization.projection.dtype).eps) * whole
    residual = float(factorization.coupling) * float(np.abs(vectors[-1, i])) + rounding
    missed = enclosure(factorization, projection, values, rounding, real=True)
    error = residual if missed is None else max(residual, missed.modulus - found)
    return Value(found, residual, error, converged=error <= tolerance * whole)


def _outermost(estimate: EigenEstimate, size: np.ndarray, bound: float) -> Value:
    """max size_i, converged or not; its error reaches to the bound on what was missed."""
    if not len(size) or not np.isfinite(size).all():
        return NOTHING
    i = int(np.argmax(size))
    value, least = float(size[i]), estimate.tolerance * float(np.abs(estimate.values).max())
    error = float(np.maximum(estimate.errors[i], bound - value))
    return Value(value, float(estimate.residuals[i]), error, converged=bool(error <= least))
