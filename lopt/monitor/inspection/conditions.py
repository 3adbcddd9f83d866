"""Theorem 1 and Theorem 1' of the quadratic model, evaluated on extreme eigenvalues."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lopt.monitor.krylov.values import Value
from nqm.conditions.condition import Condition
from nqm.conditions.theorem1 import SYMMETRIC_ONLY, THEOREM1
from nqm.conditions.theorem1_prime import THEOREM1_PRIME
from nqm.json_values import json_value

__all__ = ["Margin", "theorem_margins"]

NAN = float("nan")
# |skew part| / |M| up to which M counts as symmetric: float32 rounding of the products.
SYMMETRY_TOLERANCE = 1e-5
# Share of the sharpness that counts as zero curvature, and that Rayleigh quotients are sure to:
# rounding of float32.
FLAT, SURE = 1e-5, 2e-6
UNKNOWN = "unknown: "


@dataclass(frozen=True)
class Margin:
    """A sufficient condition for rho(A) <= 1, with what is known about its numbers.

    Attributes
    ----------
    condition : nqm.Condition
        Bounds, extremes, `applies` with its reason, `margin`, `holds`. It applies only where its
        assumptions are shown and its margin is larger than the error of it; where that is open
        the reason begins with "unknown:" and says what is.
    error : float
        Bound on the error of the margin, to first order in those of the eigenvalues, with their
        confidence.
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
            "margin": json_value(c.margin),
            "error": json_value(self.error),
            "converged": self.converged,
        }

    def text(self) -> str:
        """One line."""
        c = self.condition
        if not c.applies:
            why = "" if c.reason.startswith(UNKNOWN) else "does not apply: "
            return f"{c.name}: {why}{c.reason}"
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
    outside: str = "",
) -> tuple[Margin, Margin]:
    """Theorem 1 and Theorem 1' with M = du/dgrad = alpha I + P, whatever alpha is.

    Their margins do not depend on how M is split into alpha I and P: (9) is lambda_min(M) >= 0,
    (10) lambda_max(M) <= 2/h, Theorem 1' |M - I/h| <= 1/h. Both ask for H >= 0; Theorem 1 for a
    symmetric M besides. What the errors of the extremes leave open is said to be unknown.

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
    outside : str
        Why M is no derivative that the theorems could speak of, if so.

    Returns
    -------
    pair of Margin
    """
    h, low = largest_curvature, smallest_curvature
    reason = outside or _indefinite(low, h)
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
    theorem1 = _settled(
        _unless(
            first,
            THEOREM1.applied(lower=bounds[0], upper=bounds[1], smallest=lower, largest=upper),
        ),
        float(np.maximum(smallest_response.error, largest_response.error + 2 * inverse_error)),
        all(part.converged for part in parts),
    )
    radius = 1 / h.value if h.value > 0 else NAN
    prime = _settled(
        _unless(reason, THEOREM1_PRIME.applied(upper=radius, largest=distance.value)),
        # h moves both |M - I/h| and 1/h.
        float(distance.error + 2 * inverse_error),
        all(part.converged for part in (h, low, distance)),
    )
    return theorem1, prime


def _unless(reason: str, condition: Condition) -> Condition:
    """The condition, which does not apply where there is a reason."""
    return replace(condition, applies=False, reason=reason) if reason else condition


def _settled(condition: Condition, error: float, converged: bool) -> Margin:
    """The margin, whose condition applies only where the error leaves its sign."""
    if condition.applies and not abs(condition.margin) >= error:
        shown = f"margin {condition.margin:.4g} ± {error:.1g}"
        open_margin = shown if np.isfinite(condition.margin) else "the margin is not measured"
        condition = replace(condition, applies=False, reason=UNKNOWN + open_margin)
    return Margin(condition, error, converged)


def _indefinite(low: Value, high: Value) -> str:
    """Why H is not known to be positive semidefinite, empty where it is to rounding.

    A Ritz value is a Rayleigh quotient: where it is negative, so is an eigenvalue.
    """
    if np.isnan(high.value) or np.isnan(low.value):
        return UNKNOWN + "the curvature is not measured"
    if not high.value > 0:
        return "the Hessian has no positive eigenvalue"
    if low.value < -SURE * high.value:
        if low.converged:
            return f"the Hessian has the negative eigenvalue {low.value:.3g}"
        return f"the Hessian has a negative eigenvalue, {low.value:.3g} or less"
    if low.value - low.error < -FLAT * high.value:
        return f"{UNKNOWN}smallest curvature {low.value:.3g} ± {low.error:.1g}"
    return ""
