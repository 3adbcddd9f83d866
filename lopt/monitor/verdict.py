"""What a spectrum of the training dynamics says: the rule, written down once."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lopt.monitor.eigen import EigenEstimate

__all__ = ["SEVERITY", "Judgement", "VerdictRule", "judge"]

SEVERITY = ("stable", "marginal", "unresolved", "unstable", "diverged")


@dataclass(frozen=True)
class VerdictRule:
    """When an eigenvalue lambda of the joint update map counts as unstable.

    In training, |lambda| > 1 alone says little. lambda = 1 belongs to every flat direction of the
    loss, and every direction of negative curvature has a real lambda above 1: gradient descent
    leaves a saddle that way, lambda = 1 - alpha * curvature. So eigenvalues are sorted by what
    they do:

    * *oscillation*: |arg lambda| >= `rotation`. The iterate overshoots; beyond the unit circle
      the oscillation grows until the loss does. This is the instability of a step too large.
    * *ascent*: slower rotation, and the loss curves upwards along the eigenvector
      (x^H H x > 0, x its part in parameter space). Beyond 1 the optimizer climbs the loss, as
      when alpha I + P is not positive. No positive definite preconditioner, with or without
      heavy-ball momentum, has such an eigenvalue.
    * *escape*: slower rotation along which the loss curves downwards. Normal below
      `growth_limit`.

    An eigenvalue is used only with its error e (`EigenEstimate.errors`). `unstable`: a converged
    eigenvalue with |lambda| - e > 1 + margin that oscillates, or |lambda| - e > 1 + ascent_margin
    that ascends, or |lambda| - e > growth_limit. `unresolved`: none converged, or an eigenvalue
    that would be unstable if its error were zero has not converged, or coordinates were held that
    could not be differentiated. `marginal`: an oscillating eigenvalue with ||lambda| - 1| <=
    max(e, margin). `stable`: the rest.

    "stable" is a statement about the eigenvalues that Arnoldi's method found, on one batch at one
    state: the outermost ones, with probability one, but no certificate. "unstable" is one about
    the linearization: training at the edge of stability crosses it and comes back.

    Attributes
    ----------
    margin : float
        Half width of the marginal band around modulus 1 for oscillation.
    ascent_margin : float
        The same for ascent, wider: the multiple eigenvalue 1 is near.
    rotation : float
        Radians a step from which a mode counts as oscillating; 0.25 is a period of 25 steps.
    growth_limit : float
        Growth a step that no escape from a saddle excuses.
    """

    margin: float = 1e-3
    ascent_margin: float = 1e-2
    rotation: float = 0.25
    growth_limit: float = 2.0


@dataclass(frozen=True)
class Judgement:
    """The verdict at one state, and the numbers it rests on (NaN where none converged).

    Attributes
    ----------
    verdict : str
        "stable", "marginal", "unresolved" or "unstable".
    direction : str
        "oscillation", "ascent" or "escape": what decided an unstable or marginal verdict, or
        left it unresolved; else "".
    radius : float
        max |lambda| over all converged eigenvalues.
    oscillatory_radius, ascent_radius, growth : float
        max |lambda| over the converged eigenvalues that oscillate, that ascend with modulus above
        one, that escape with modulus above one.
    error : float
        The error of the eigenvalue that decided, or of the oscillatory radius.
    """

    verdict: str
    direction: str
    radius: float
    oscillatory_radius: float
    ascent_radius: float
    growth: float
    error: float

    def to_json(self) -> dict[str, Any]:
        """The fields; NaN as None."""
        return {k: None if v != v else v for k, v in asdict(self).items()}


def judge(
    estimate: EigenEstimate, curvatures: np.ndarray, rule: VerdictRule, *, held: int = 0
) -> Judgement:
    """The verdict of `VerdictRule` on the eigenvalues of the joint update map.

    Parameters
    ----------
    estimate : EigenEstimate
        Of the joint operator.
    curvatures : ndarray, shape (m,)
        Re x^H H x / x^H x for the parameter part x of each eigenvector; NaN if it has none.
    rule : VerdictRule
    held : int
        Coordinates that could not be differentiated.

    Examples
    --------
    >>> values = np.array([-1.5 + 0j, 1.2 + 0j])
    >>> exact = EigenEstimate(values, np.zeros(2), np.zeros(2), np.ones(2, bool), np.eye(2), 2, True)
    >>> found = judge(exact, np.array([3.0, -1.0]), VerdictRule())
    >>> found.verdict, found.direction, found.growth
    ('unstable', 'oscillation', 1.2)
    """
    size, error, sure = np.abs(estimate.values), estimate.errors, estimate.converged
    turning = np.abs(np.angle(estimate.values)) >= rule.rotation
    classes = {
        "oscillation": (turning, 1.0 + rule.margin),
        "ascent": (~turning & (size > 1.0) & (curvatures > 0), 1.0 + rule.ascent_margin),
        "escape": (~turning & (size > 1.0) & ~(curvatures > 0), rule.growth_limit),
    }
    top = {name: _largest(size, member & sure) for name, (member, _) in classes.items()}

    def result(verdict: str, direction: str, index: int | None) -> Judgement:
        if index is None:
            index = top["oscillation"]
        at = [_at(size, top[name]) for name in classes]
        return Judgement(verdict, direction, estimate.radius, *at, error=_at(error, index))

    for name, (member, limit) in classes.items():
        index = _largest(size - error, member & sure)
        if index is not None and size[index] - error[index] > limit:
            return result("unstable", name, index)
    for name, (member, limit) in classes.items():
        index = _largest(size, member & ~sure & (size > limit))
        # Among the crowd at lambda = 1 an unconverged value has no meaning of its own.
        if index is not None and name != "ascent":
            return result("unresolved", name, index)
    if held or not sure.any():
        return result("unresolved", "", None)
    near = turning & sure & (np.abs(size - 1.0) <= np.maximum(error, rule.margin))
    if near.any():
        return result("marginal", "oscillation", _largest(size, near))
    return result("stable", "", None)


def _largest(values: np.ndarray, among: np.ndarray) -> int | None:
    """The index of the largest of `values` where `among` holds, None if it holds nowhere."""
    return int(np.argmax(np.where(among, values, -np.inf))) if among.any() else None


def _at(values: np.ndarray, index: int | None) -> float:
    return float("nan") if index is None else float(values[index])
