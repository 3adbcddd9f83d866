"""SwitchedReport: the answer on a P that changes at every step, as data, as JSON and as text."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np

from nqm.json_values import json_value
from nqm.rules.table import Parameters
from nqm.switching.radius import JointSpectralRadius
from nqm.validate import Array

SCHEMA_VERSION = 1
EXIT_CODES = {"stable": 0, "unstable": 1, "marginal": 3}
SHOWN_LETTERS = 12


@dataclass(frozen=True, eq=False)
class SwitchedReport:
    """Whether phi' = A_i phi stays bounded, whichever P_i is used at each step.

    Attributes
    ----------
    bounds : JointSpectralRadius
        The bounds, the status and the word; its letters are indices of `preconditioners`.
    preconditioners : (m, N, N) array
        The P that the word refers to.
    disturbances : (m, N) array or None
        With a bound dbar: the d of each, a corner of the closed box.
    hull : bool
        Whether the answer holds for the convex hull of the P, too: where the update is affine in P.
    single_spectral_radius : float
        The largest spectral radius of a P that never changes.
    nominal_step : float
        alpha.
    dimension, rank : int
        N, and the rank of H; where it is lower the answer is about the range of H.
    rule : str
        The update rule.
    rule_parameters : dict
        Its parameters.

    Examples
    --------
    Two P that are stable alone, and unstable in turn:

    >>> from nqm import switched
    >>> report = switched([[1.0, 0.0], [0.0, 1.0]], [[[0, 2], [0, 0]], [[0, 0], [2, 0]]], 0.5)
    >>> report.verdict, report.bounds.word, round(report.single_spectral_radius, 12)
    ('unstable', (0, 1), 0.5)
    """

    bounds: JointSpectralRadius
    preconditioners: Array
    disturbances: Array | None
    hull: bool
    single_spectral_radius: float
    nominal_step: float
    dimension: int
    rank: int
    rule: str
    rule_parameters: Parameters

    @property
    def verdict(self) -> str:
        """'stable' if the joint spectral radius is below one, 'unstable' if refuted, 'marginal'."""
        if self.bounds.status == "refuted":
            return "unstable"
        return "stable" if self.bounds.upper < 1 else "marginal"

    @property
    def exit_code(self) -> int:
        """0 stable, 1 unstable, 3 marginal."""
        return EXIT_CODES[self.verdict]

    def as_dict(self) -> dict[str, object]:
        """What `to_json` writes."""
        found = self.bounds
        parts = {
            "schema_version": SCHEMA_VERSION,
            "verdict": self.verdict,
            "status": found.status,
            "by": found.by,
            "joint_spectral_radius_bounds": [found.lower, found.upper],
            "lower_by": found.lower_by,
            "upper_by": found.upper_by,
            "word": list(found.word),
            "word_spectral_radius": found.word_radius,
            "word_disturbances": None
            if self.disturbances is None
            else self.disturbances[list(found.word)],
            "products": found.products,
            "preconditioners": len(self.preconditioners),
            "hull": self.hull,
            "single_spectral_radius": self.single_spectral_radius,
            "rule": self.rule,
            "rule_parameters": self.rule_parameters,
            "dimension": self.dimension,
            "rank": self.rank,
            "nominal_step": self.nominal_step,
        }
        return {key: json_value(value) for key, value in parts.items()}

    def to_json(self) -> str:
        """The report as one JSON object; its schema is in docs/switched.md."""
        return json.dumps(self.as_dict(), indent=2, allow_nan=False)

    def text(self) -> str:
        """The report for a person."""
        return described(self)

    def __str__(self) -> str:
        return self.text()


def number(value: float) -> str:
    """Six significant digits, or as many as tell it from one."""
    gap = abs(value - 1.0)
    digits = 6 if gap == 0 else max(6, 3 - math.floor(math.log10(gap)))
    return f"{value:.{min(digits, 17)}g}"


def _steps(count: float) -> str:
    shown = f"{count:.3g}"
    return f"{shown} step{'' if shown == '1' else 's'}"


def described(report: SwitchedReport) -> str:
    """The whole text of a report."""
    lines = [_headline(report), _meaning(report), _argument(report)]
    if report.rank < report.dimension:
        lines.append(
            f"The hessian has rank {report.rank} of {report.dimension}: judged on its range; in "
            "the other directions the loss is flat and the parameters may drift unseen."
        )
    return "\n".join([*lines, "", *_orders(report)])


def _headline(report: SwitchedReport) -> str:
    found, word = report.bounds, report.verdict.upper()
    between = f"between {number(found.lower)} and {number(found.upper)}"
    if found.gap <= 5e-7 * found.upper:
        between = number(found.lower if report.verdict == "unstable" else found.upper)
    count = len(report.preconditioners)
    of = "the update" if count == 1 else f"the {count} updates"
    sign = {"stable": " < 1", "unstable": " > 1", "marginal": ""}[report.verdict]
    if found.status != "certified" and report.verdict == "marginal":
        sign = ", so that either may be true"
    if report.verdict == "unstable" and not found.lower > 1:
        sign = ""
    return f"{word}: the joint spectral radius of {of} is {between}{sign}."


def _meaning(report: SwitchedReport) -> str:
    found = report.bounds
    order = "in whatever order these P are used"
    if report.verdict == "stable":
        if not found.upper > 0:
            return f"The mean error is gone after a few steps, {order}."
        steps = math.log(2) / -math.log(found.upper)
        return (
            f"The mean error dies out {order}: in the long run it halves every {steps:.3g} steps."
        )
    if report.verdict == "unstable":
        if found.lower > 1:
            steps = math.log(2) / math.log(found.lower)
            rate = f"doubles every {_steps(steps)}" if steps < 1e6 else "grows, very slowly"
            return f"In the order below the mean error {rate}: the loss diverges."
        return "In the order below the mean error grows without bound, though not exponentially."
    if found.status == "certified":
        return f"The mean error stays bounded {order}, but need not die out."
    return "Neither a norm that falls nor an order that diverges was found within the budget."


def _argument(report: SwitchedReport) -> str:
    found = report.bounds
    if found.status == "unknown":
        return f"Unknown: {found.by} ({found.upper_by} above)."
    hull = report.hull and len(report.preconditioners) > 1 and found.status == "certified"
    whole = "; this holds for every P of their convex hull, too" if hull else ""
    return f"{found.status.capitalize()} by {found.by}{whole}."


def _orders(report: SwitchedReport) -> list[str]:
    found = report.bounds
    letters = [f"P {i}" for i in found.word[:SHOWN_LETTERS]]
    if len(found.word) > SHOWN_LETTERS:
        letters.append(f"... ({len(found.word)} in all)")
    kind = "fastest growing" if found.word_radius > 1 else "slowest"
    word = f"{', '.join(letters)}, repeated" if len(letters) > 1 else f"{letters[0]} at every step"
    factor = number(found.word_radius)
    lines = [f"The {kind} order found: {word}; the error changes by a factor {factor} a step."]
    if report.disturbances is not None:
        shown = sorted(set(found.word))[:SHOWN_LETTERS]
        for i in shown:
            d = ", ".join(f"{x:.6g}" for x in report.disturbances[i])
            lines.append(f"  P {i} has Delta = diag({d})")
        if np.any(report.disturbances[shown] == 0):
            lines[-1] += ", where 0 stands for any small enough number"
    if len(report.preconditioners) > 1:
        alone = number(report.single_spectral_radius)
        lines.append(f"The largest spectral radius of one P that never changes: {alone}.")
    return lines
