"""The report as a person reads it: verdict first, then meaning, distance and what to do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nqm.bounds import Condition

if TYPE_CHECKING:
    from nqm.report import StabilityReport

SHOWN_EIGENVALUES = 8


def number(value: float) -> str:
    """Six significant digits."""
    return f"{value:.6g}"


def radius_number(value: float) -> str:
    """A spectral radius with as many digits as tell it from 1."""
    gap = abs(value - 1.0)
    digits = 6 if gap == 0 else max(6, 3 - math.floor(math.log10(gap)))
    return f"{value:.{min(digits, 17)}g}"


def complex_number(value: complex) -> str:
    """A real number without its zero imaginary part."""
    if value.imag == 0:
        return number(value.real)
    return f"{number(value.real)} {'+' if value.imag > 0 else '-'} {number(abs(value.imag))}i"


def _headline(report: StabilityReport) -> str:
    spectrum = report.spectrum
    sign = {"stable": " < 1", "unstable": " > 1", "marginal": ", not to be told from 1"}
    return (
        f"{report.verdict.upper()}: the spectral radius of the update is "
        f"{radius_number(spectrum.spectral_radius)}{sign[report.verdict]} "
        f"(uncertainty {spectrum.uncertainty:.1g})."
    )


def _steps(count: float) -> str:
    return f"{count:.3g} step{'' if count == 1 else 's'}"


def _meaning(report: StabilityReport) -> str:
    radius = report.spectrum.spectral_radius
    if report.verdict == "stable":
        if radius == 0.0:
            return "Every mode is gone after a few steps; the expected loss stays bounded."
        halving = math.log(2) / -math.log(radius)
        return (
            "From any start the mean error dies out and the expected loss stays bounded; "
            f"the slowest mode halves every {_steps(halving)}."
        )
    if report.verdict == "unstable":
        doubling = math.log(2) / math.log(radius) if radius > 1 else math.inf
        mode = complex_number(complex(report.spectrum.eigenvalues[0]))
        return (
            f"The mode with eigenvalue {mode} doubles every {_steps(doubling)}: any start or noise "
            "that excites it makes the loss diverge."
        )
    return _marginal_meaning(report)


def _marginal_meaning(report: StabilityReport) -> str:
    spectrum = report.spectrum
    near = [z for z in spectrum.eigenvalues if abs(z) >= 1 - spectrum.uncertainty]
    if all(abs(z - 1) <= max(1e-6, 10 * spectrum.uncertainty) for z in near):
        return (
            f"{len(near)} mode(s) with eigenvalue +1: where the eigenvalue is semisimple these "
            "directions are frozen, neither learned nor lost, and noise does not enter them."
        )
    return (
        f"{len(near)} mode(s) on the unit circle away from +1: the error there neither decays nor "
        "grows by itself, but noise that reaches it makes the loss grow without bound."
    )


def _distance(report: StabilityReport) -> list[str]:
    alpha, interval = report.nominal_step, report.nominal_step_interval
    if interval is None:
        if report.intervals_reason:
            return [f"Stable nominal steps: not known, {report.intervals_reason}."]
        return ["No nominal step is stable with this preconditioner: change the preconditioner."]
    low, high = interval
    spans = " and ".join(f"{number(a)} and {number(b)}" for a, b in report.nominal_step_intervals)
    lines = [f"Stable nominal steps: exactly those between {spans}."]
    if report.verdict == "stable":
        room = f"{number(alpha - low)} above the lower end, {number(high - alpha)} below the upper"
        lines.append(f"Yours, {number(alpha)}, lies {room}.")
    elif alpha > high:
        lines.append(f"Yours, {number(alpha)}, is too large by {number(alpha - high)}: go below.")
    elif alpha < low:
        lines.append(f"Yours, {number(alpha)}, is too small by {number(low - alpha)}: go above.")
    else:
        lines.append(f"Yours, {number(alpha)}, is at an end; move it inside.")
    if report.best_nominal_step is not None:
        best, radius = report.best_nominal_step
        lines.append(f"The fastest is {number(best)}, with spectral radius {number(radius)}.")
    return lines


def _condition_line(condition: Condition) -> str:
    label = f"  {condition.name:<24}"
    if not condition.applies:
        return f"{label}does not apply: {condition.reason}"
    state = "holds" if condition.holds else "fails"
    line = f"{label}{state}, margin {number(condition.margin)}"
    if math.isfinite(condition.conservatism):
        line += f" ({condition.conservatism:.0%} of the exact margin)"
    return line


def describe(report: StabilityReport) -> str:
    """The whole text of a report."""
    lines = [_headline(report), _meaning(report)]
    if report.rank < report.dimension:
        lines.append(
            f"The hessian has rank {report.rank} of {report.dimension}: judged on its range; in "
            "the other directions the loss is flat and the parameters may drift unseen."
        )
    lines += ["", *_distance(report)]
    values = report.spectrum.eigenvalues
    shown = ", ".join(complex_number(complex(z)) for z in values[:SHOWN_EIGENVALUES])
    more = f", ... ({values.size} in all)" if values.size > SHOWN_EIGENVALUES else ""
    lines += ["", f"Eigenvalues: {shown}{more}"]
    if report.conditions:
        lines += ["Sufficient conditions:", *map(_condition_line, report.conditions)]
    return "\n".join(lines)
