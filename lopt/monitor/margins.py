"""Theorem 1 and Theorem 1' of the quadratic model, evaluated on extreme eigenvalues."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lopt.monitor.values import Value
from nqm.conditions.paper import SYMMETRIC_ONLY, THEOREM1, THEOREM1_PRIME, Condition

__all__ = ["Margin", "theorem_margins"]

NAN = float("nan")
# |skew part| / |M| up to which M counts as symmetric: float32 rounding of the products.
SYMMETRY_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Margin:
    """A sufficient condition for rho(A) <= 1, with what is known about its numbers.

    Attributes
    ----------
    condition : nqm.Condition
        Bounds, extremes, `applies` with its reason, `margin`, `holds`.
    error : float
        Bound on the error of the margin, to first order in those of the eigenvalues.
    converged : bool
        Whether every eigenvalue in it has converged. Ritz values lie inside the spectrum, so an
        unconverged margin is too large.
    """

    condition: Condition
    error: float
    converged: bool

    def to_json(self) -> dict[str, Any]:
        """The condition and its error, as plain Python; None for NaN."""
        c = self.condition
        return {
            "name": c.name,
            "applies": c.applies,
            "reason": c.reason,
            "holds": bool(c.holds),
            "margin": _plain(c.margin),
            "error": _plain(self.error),
            "converged": self.converged,
        }

    def text(self) -> str:
        """One line."""
        c = self.condition
        if not c.applies:
            return f"{c.name}: does not apply: {c.reason}"
        sure = "" if self.converged else " (not converged)"
        verdict = "holds" if c.holds else "fails"
        return f"{c.name}: {verdict}, margin {c.margin:.4g} ± {self.error:.1g}{sure}"


def theorem_margins(
    largest_curvature: Value,
    smallest_curvature: Value,
    smallest_response: Value,
    largest_response: Value,
    asymmetry: Value,
    distance: Value,
    alpha: float,
) -> tuple[Margin, Margin]:
    """Theorem 1 and Theorem 1' with M = du/dgrad = alpha I + P, whatever alpha is.

    Their margins do not depend on how M is split into alpha I and P: (9) is lambda_min(M) >= 0,
    (10) lambda_max(M) <= 2/h, Theorem 1' |M - I/h| <= 1/h. Both ask for H > 0; Theorem 1 for a
    symmetric M besides.

    Parameters
    ----------
    largest_curvature, smallest_curvature : Value
        Extreme eigenvalues of H.
    smallest_response, largest_response : Value
        Of the symmetric part of M.
    asymmetry : Value
        |(M - M^T)/2|_2.
    distance : Value
        |M - I/h|_2.
    alpha : float
        The nominal step that the bounds are printed for.

    Returns
    -------
    pair of Margin
    """
    h, low = largest_curvature, smallest_curvature
    reason = _indefinite(low, h)
    size = max(abs(smallest_response.value), abs(largest_response.value))
    if h.value > 0:
        bounds = (-alpha, 2 / h.value - alpha)
        inverse_error = h.error / h.value**2
    else:
        bounds, inverse_error = (NAN, NAN), NAN
    asymmetric = not asymmetry.value <= SYMMETRY_TOLERANCE * size
    first = reason
    if not first and asymmetric:
        first = SYMMETRIC_ONLY.replace("max |P - P.T|", "|P - P.T|").format(2 * asymmetry.value)
    parts = (h, low, smallest_response, largest_response, asymmetry)
    lower, upper = smallest_response.value - alpha, largest_response.value - alpha
    theorem1 = Margin(
        Condition(*THEOREM1, not first, first, *bounds, lower, upper),
        float(max(smallest_response.error, largest_response.error + 2 * inverse_error)),
        all(part.converged for part in parts),
    )
    radius = 1 / h.value if h.value > 0 else NAN
    prime = Margin(
        Condition(*THEOREM1_PRIME, not reason, reason, NAN, radius, NAN, distance.value),
        # h moves both |M - I/h| and 1/h.
        float(distance.error + 2 * inverse_error),
        all(part.converged for part in (h, low, distance)),
    )
    return theorem1, prime


def _indefinite(low: Value, high: Value) -> str:
    """Why H is not positive semidefinite, empty where it is to its error."""
    if not high.value > 0:
        return "the Hessian has no positive eigenvalue"
    if low.value < -max(low.error, 1e-6 * high.value):
        return f"the Hessian has the negative eigenvalue {low.value:.3g}"
    return ""


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
