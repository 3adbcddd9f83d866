"""The verdict on a spectrum of the training dynamics, and its rule."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from lopt.monitor.krylov.eigenvalues import EigenEstimate, largest
from nqm.json_values import json_value

__all__ = ["SEVERITY", "Judgement", "VerdictRule", "judge"]

#: The verdicts, from the mildest to the worst.
SEVERITY = ("stable", "marginal", "unresolved", "unstable", "diverged")


@dataclass(frozen=True)
class VerdictRule:
    """When an eigenvalue lambda of the training dynamics counts as unstable.

    In training, |lambda| > 1 alone says little. lambda = 1 belongs to every flat direction of the
    loss, and every direction of negative curvature has a real lambda above 1: gradient descent
    leaves a saddle that way, lambda = 1 - alpha * curvature. A second moment that trails the
    gradient adds slow growth too, in healthy runs of RMSProp and Adam. So three things are told
    apart:

    * *oscillation*: an eigenvalue of the joint map with |arg lambda| >= `rotation`. The iterate
      overshoots; beyond the unit circle the oscillation grows until the loss does. This is the
      instability of a step too large: the upper end of Theorem 1, joint with the hidden state.
    * *ascent*: an eigenvalue of the frozen map A = I - M H with |lambda| > 1 and slower rotation,
      along whose eigenvector x the loss curves upwards, x^H H x > 0. Then M is not positive there
      and the optimizer climbs: the lower end of Theorem 1. For symmetric M >= 0 there is none,
      whatever H is, since (lambda - 1) y^H M y = -x^H H x with x = M y.
    * *growth*: the remaining eigenvalues of the joint map with |lambda| > 1. Normal (escape from a
      saddle) up to `growth_limit`.

    An eigenvalue is used with its error e (`EigenEstimate.errors`). `unstable`: a converged one
    with |lambda| - e above 1 + margin (oscillation, ascent) or above `growth_limit` (growth).
    `unresolved`: no eigenvalue converged, or coordinates were held that could not be
    differentiated, or an unconverged one that oscillates or grows lies above its limit.
    `marginal`: a converged oscillating one with ||lambda| - 1| <= max(e, margin). Else `stable`.

    "stable" speaks of the eigenvalues that Arnoldi's method found, on one batch at one state; how
    far out one may lie that it missed is the judgement's `bound`. "unstable" speaks of the
    linearization: training at the edge of stability crosses it and comes back.

    Attributes
    ----------
    margin : float
        Half width of the marginal band around modulus 1.
    rotation : float
        Radians a step from which a mode counts as oscillating; 0.25 is a period of 25 steps.
    growth_limit : float
        Growth a step that no escape from a saddle excuses.
    """

    margin: float = 1e-3
    rotation: float = 0.25
    growth_limit: float = 2.0


@dataclass(frozen=True)
class Judgement:
    """The verdict at one state and the numbers it rests on (NaN where no eigenvalue converged).

    Attributes
    ----------
    verdict : str
        "stable", "marginal", "unresolved", "unstable" or "diverged".
    direction : str
        "oscillation", "ascent" or "growth": what decided; "" when nothing spoke against.
    radius : float
        max |lambda| over the converged eigenvalues of the joint map.
    bound : float
        What no |lambda| of the joint map exceeds, unconverged and missed ones included, with the
        confidence of `EigenEstimate.radius_bound`.
    oscillatory_radius, ascent_radius, growth : float
        The largest |lambda| of each kind.
    error : float
        The error of the eigenvalue that decided, else of the oscillatory radius.
    eigenvalue : complex
        The one that decided, where `direction` says that one did: of the frozen map for ascent,
        else of the joint one.
    """

    verdict: str
    direction: str = ""
    radius: float = float("nan")
    oscillatory_radius: float = float("nan")
    ascent_radius: float = float("nan")
    growth: float = float("nan")
    error: float = float("nan")
    bound: float = float("nan")
    eigenvalue: complex = complex("nan")

    def to_json(self) -> dict[str, Any]:
        """The fields; what is not finite as None, a complex number as [real, imaginary]."""
        fields = asdict(self)
        one = fields.pop("eigenvalue")
        plain = {name: json_value(value) for name, value in fields.items()}
        return {**plain, "eigenvalue": [one.real, one.imag] if np.isfinite(one) else None}


class _Kind(NamedTuple):
    """The eigenvalues of one kind, largest first, and the modulus above which they are unstable."""

    values: np.ndarray
    error: np.ndarray
    converged: np.ndarray
    limit: float

    @property
    def size(self) -> np.ndarray:
        return np.abs(self.values)

    @property
    def radius(self) -> float:
        return largest(self.size[self.converged])


def judge(
    joint: EigenEstimate, frozen: EigenEstimate, curvatures: np.ndarray, rule: VerdictRule
) -> Judgement:
    """The verdict of `VerdictRule` on the eigenvalues of the joint and of the frozen map.

    Parameters
    ----------
    joint, frozen : EigenEstimate
    curvatures : ndarray, shape (m,)
        Re x^H H x / x^H x for each eigenvector x of the frozen map.
    rule : VerdictRule

    Examples
    --------
    >>> exact = EigenEstimate(np.array([-1.5 + 0j, 1.2 + 0j]), np.zeros(2), np.zeros(2),
    ...                       np.ones(2, bool), np.eye(2), 2, invariant=True)
    >>> found = judge(exact, exact, np.array([3.0, -1.0]), VerdictRule())
    >>> found.verdict, found.direction, found.growth
    ('unstable', 'oscillation', 1.2)
    """
    turning = np.abs(np.angle(joint.values)) >= rule.rotation
    climbing = (np.abs(np.angle(frozen.values)) < rule.rotation) & (curvatures > 0)
    kinds = {
        "oscillation": _kind(joint, turning, 1.0 + rule.margin),
        "ascent": _kind(frozen, climbing & (np.abs(frozen.values) > 1.0), 1.0 + rule.margin),
        "growth": _kind(joint, ~turning & (np.abs(joint.values) > 1.0), rule.growth_limit),
    }
    decision = _decide(kinds, rule.margin)
    if decision.verdict in ("stable", "marginal") and not joint.converged.any():
        decision = decision._replace(verdict="unresolved", direction="")
    return Judgement(
        **decision._asdict(),
        radius=joint.radius,
        oscillatory_radius=kinds["oscillation"].radius,
        ascent_radius=kinds["ascent"].radius,
        growth=kinds["growth"].radius,
        bound=joint.radius_bound,
    )


def _kind(estimate: EigenEstimate, member: np.ndarray, limit: float) -> _Kind:
    values = np.asarray(estimate.values, complex)[member]
    return _Kind(values, estimate.errors[member], estimate.converged[member], limit)


class _Decision(NamedTuple):
    """The fields of a `Judgement` that one eigenvalue decides."""

    verdict: str
    direction: str
    error: float
    eigenvalue: complex


def _decide(kinds: dict[str, _Kind], margin: float) -> _Decision:
    """The gravest verdict of any eigenvalue."""

    def by(verdict: str, direction: str, kind: _Kind, i: np.intp) -> _Decision:
        return _Decision(verdict, direction, float(kind.error[i]), complex(kind.values[i]))

    for name, kind in kinds.items():
        for i in np.flatnonzero(kind.converged & (kind.size - kind.error > kind.limit)):
            return by("unstable", name, kind, i)
    for name, kind in kinds.items():
        # Among the crowd at lambda = 1 an unconverged curvature has no sign.
        for i in np.flatnonzero(~kind.converged & (kind.size > kind.limit)):
            if name != "ascent":
                return by("unresolved", name, kind, i)
    turning = kinds["oscillation"]
    near = turning.converged & (np.abs(turning.size - 1.0) <= np.maximum(turning.error, margin))
    for i in np.flatnonzero(near):
        return by("marginal", "oscillation", turning, i)
    for i in np.flatnonzero(turning.converged):
        return by("stable", "", turning, i)
    return _Decision("stable", "", float("nan"), complex("nan"))
