"""StabilityReport: the answer as data, as JSON and as text."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

from nqm.conditions.condition import Condition
from nqm.json_values import json_value
from nqm.moments.limits import LimitLoss
from nqm.robust.stability import RobustReport
from nqm.rules.table import Parameters
from nqm.spectra.eigenvalues import Spectrum
from nqm.spectra.minibatch import MeanSquare
from nqm.spectra.proofs import Proof
from nqm.spectra.transients import Transient
from nqm.verdict.conditions import FOR_MOMENTUM, FOR_PLAIN, FOR_PRECONDITIONED

SCHEMA_VERSION = 1
SHOWN_EIGENVALUES = 8
OTHER_RULE = (FOR_PLAIN, FOR_PRECONDITIONED, FOR_MOMENTUM)
SEVERITY = ("stable", "marginal", "unstable")
EXIT_CODES = {"stable": 0, "unstable": 1, "marginal": 3}


def condition_json(condition: Condition) -> dict[str, object]:
    """One entry of `conditions` in the JSON of `nqm check`."""
    return {
        "name": condition.name,
        "source": condition.source,
        "quantity": condition.quantity,
        "applies": condition.applies,
        "reason": condition.reason,
        "lower": condition.lower,
        "upper": condition.upper,
        "smallest": condition.smallest,
        "largest": condition.largest,
        "margin": condition.margin,
        "exact_margin": condition.exact_margin,
        "holds": condition.holds,
        "conservatism": condition.conservatism,
    }


@dataclass(frozen=True, eq=False)
class StabilityReport:
    """Whether phi' = A phi + (I - A) xi is stable, by how much, and which step would be.

    Instability is a value here, never an exception.

    Attributes
    ----------
    nominal_step : float
        alpha.
    dimension, rank : int
        N, and the rank of H; where it is lower the verdict is about the range of H.
    rule : str
        The update rule.
    rule_parameters : dict
        Its parameters.
    spectrum : Spectrum
        Eigenvalues, spectral radius and its enclosure.
    nominal_step_intervals : tuple of (float, float)
        All alpha with rho <= 1, as disjoint closed intervals; empty if there are none.
    intervals_reason : str
        Why the intervals are not known, otherwise empty.
    interval_uncertainty : float
        Rounding in the ends of the interval for symmetric P; NaN otherwise.
    best_nominal_step : (float, float) or None
        The alpha of the smallest spectral radius, and that radius.
    conditions : tuple of Condition
        The sufficient conditions.
    transient : Transient or None
        Growth before decay in the norm of the loss: plain rule, symmetric P or N <= 32.
    proof, mean_square, limit_loss, robust
        Where asked for: `Proof`, `MeanSquare`, `LimitLoss`, and the worst case over (15).

    Examples
    --------
    >>> import json
    >>> from nqm import check
    >>> report = check([[2.0, 1.0], [1.0, 2.0]], nominal_step=0.5)
    >>> report.verdict, report.exit_code
    ('stable', 0)
    >>> [round(end, 12) for end in json.loads(report.to_json())["nominal_step_interval"]]
    [0.0, 0.666666666667]
    """

    nominal_step: float
    dimension: int
    rank: int
    rule: str
    rule_parameters: Parameters
    spectrum: Spectrum
    nominal_step_intervals: tuple[tuple[float, float], ...]
    intervals_reason: str
    interval_uncertainty: float
    best_nominal_step: tuple[float, float] | None
    conditions: tuple[Condition, ...]
    transient: Transient | None = None
    proof: Proof | None = None
    mean_square: MeanSquare | None = None
    limit_loss: LimitLoss | None = None
    robust: RobustReport | None = None

    @property
    def verdict(self) -> str:
        """'stable', 'marginal' or 'unstable': the worse of mean and, where asked, mean square."""
        parts = [self.spectrum.verdict]
        if self.mean_square is not None:
            parts.append(self.mean_square.verdict)
        return max(parts, key=SEVERITY.index)

    @property
    def is_stable(self) -> bool:
        """Whether the spectral radius is below one beyond its uncertainty."""
        return self.verdict == "stable"

    @property
    def exit_code(self) -> int:
        """0 stable, 1 unstable, 3 marginal."""
        return EXIT_CODES[self.verdict]

    @property
    def nominal_step_interval(self) -> tuple[float, float] | None:
        """The stable interval that holds alpha, or else the nearest one; None if there is none."""
        if not self.nominal_step_intervals:
            return None
        alpha = self.nominal_step
        return min(self.nominal_step_intervals, key=lambda i: max(i[0] - alpha, alpha - i[1], 0.0))

    def as_dict(self) -> dict[str, object]:
        """What `to_json` writes."""
        found = {
            "schema_version": SCHEMA_VERSION,
            "verdict": self.verdict,
            "spectral_radius": self.spectrum.spectral_radius,
            "spectral_radius_bounds": [self.spectrum.lower, self.spectrum.upper],
            "uncertainty": self.spectrum.uncertainty,
            "method": self.spectrum.method,
            "eigenvalues": [[float(z.real), float(z.imag)] for z in self.spectrum.eigenvalues],
            "rule": self.rule,
            "rule_parameters": self.rule_parameters,
            "dimension": self.dimension,
            "rank": self.rank,
            "nominal_step": self.nominal_step,
            "nominal_step_interval": self.nominal_step_interval,
            "nominal_step_intervals": self.nominal_step_intervals,
            "nominal_step_interval_reason": self.intervals_reason,
            "nominal_step_interval_uncertainty": self.interval_uncertainty,
            "best_nominal_step": self.best_nominal_step,
            "conditions": [condition_json(c) for c in self.conditions],
            **self._asked(),
        }
        return {key: json_value(value) for key, value in found.items()}

    def _asked(self) -> dict[str, object]:
        """The parts that are there only where they apply or were asked for."""
        parts: dict[str, object] = {}
        if self.transient is not None:
            parts["transient"] = asdict(self.transient)
        if self.proof is not None:
            parts["rigorous"] = self.proof.status
            parts["rigorous_proof"] = asdict(self.proof)
        if self.mean_square is not None:
            found = {**asdict(self.mean_square), "verdict": self.mean_square.verdict}
            parts["mean_square"] = found
        if self.limit_loss is not None:
            parts["limit_loss"] = self.limit_loss._asdict()
        if self.robust is not None:
            parts["robust"] = asdict(self.robust)
        return parts

    def to_json(self) -> str:
        """The report as one JSON object; its schema is in docs/nqm.md."""
        return json.dumps(self.as_dict(), indent=2, allow_nan=False)

    def text(self) -> str:
        """The report for a person: verdict, meaning, distance, the steps that would be stable."""
        return describe(self)

    def __str__(self) -> str:
        return self.text()


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
    tail = (
        f"the spectral radius of the update is {radius_number(spectrum.spectral_radius)}"
        f"{sign[spectrum.verdict]} (uncertainty {spectrum.uncertainty:.1g})."
    )
    word = report.verdict.upper()
    if report.verdict != spectrum.verdict:  # decided by the mean square
        return f"{word} in mean square, though {spectrum.verdict} in the mean: {tail}"
    return f"{word}: {tail}"


def _steps(count: float) -> str:
    shown = f"{count:.3g}"
    return f"{shown} step{'' if shown == '1' else 's'}"


def _modes(count: int) -> str:
    return "One mode" if count == 1 else f"{count} modes"


def _meaning(report: StabilityReport) -> str:
    radius = report.spectrum.spectral_radius
    verdict = report.spectrum.verdict
    if verdict != report.verdict:
        return (
            "The mean error decays, but the randomness of the minibatches makes the second moment, "
            "and with it the expected loss, grow."
        )
    if verdict == "stable":
        if radius == 0.0:
            return "Every mode is gone after a few steps; the expected loss stays bounded."
        halving = math.log(2) / -math.log(radius)
        return (
            "From any start the mean error dies out and the expected loss stays bounded; "
            f"the slowest mode halves every {_steps(halving)}."
        )
    if verdict == "unstable":
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
            f"{_modes(len(near))} with eigenvalue +1: where the eigenvalue is semisimple these "
            "directions are frozen, neither learned nor lost, and noise does not enter them."
        )
    return (
        f"{_modes(len(near))} on the unit circle away from +1: the error there neither decays nor "
        "grows by itself, but noise that reaches it makes the loss grow without bound."
    )


def _distance(report: StabilityReport) -> list[str]:
    alpha, interval = report.nominal_step, report.nominal_step_interval
    if interval is None:
        if report.intervals_reason:
            return [f"Stable nominal steps: not known, {report.intervals_reason}."]
        return ["No nominal step is stable with this preconditioner: change the preconditioner."]
    low, high = interval
    spans = " or between ".join(
        f"{number(a)} and {number(b)}" for a, b in report.nominal_step_intervals
    )
    notes = [report.intervals_reason, "in the mean" if report.mean_square is not None else ""]
    among = f" ({', '.join(filter(None, notes))})" if any(notes) else ""
    lines = [f"Stable nominal steps{among}: exactly those between {spans}."]
    if report.spectrum.verdict == "stable":
        room = f"{number(alpha - low)} above the lower end, {number(high - alpha)} below the upper"
        lines.append(f"Yours, {number(alpha)}, lies {room}.")
    elif alpha > high:
        by = number(alpha - high)
        lines.append(f"Yours, {number(alpha)}, is {by} too large: take less than {number(high)}.")
    elif alpha < low:
        by = number(low - alpha)
        lines.append(f"Yours, {number(alpha)}, is {by} too small: take more than {number(low)}.")
    else:
        lines.append(f"Yours, {number(alpha)}, is at an end: move it inside.")
    if report.best_nominal_step is not None:
        best, radius = report.best_nominal_step
        lines.append(f"The fastest is {number(best)}, with spectral radius {number(radius)}.")
    return lines


def _condition_line(condition: Condition) -> str:
    state = "holds" if condition.holds else "fails"
    line = f"  {condition.name:<23}{state}, margin {number(condition.margin)}"
    if math.isfinite(condition.conservatism) and condition.holds:
        line += f", {condition.conservatism:.0%}"
    return line


def _asked_lines(report: StabilityReport) -> list[str]:
    """What was asked for beside the verdict."""
    lines = []
    if report.proof is not None:
        proof = report.proof
        about = f"; about {proof.about}" if "rounded" in proof.about else ""
        lines.append(f"Rigorous: {proof.status.replace('_', ' ')} - {proof.by}{about}.")
    if report.robust is not None:
        lines.append(_robust_line(report.robust))
    if report.mean_square is not None:
        found = report.mean_square
        line = (
            f"Minibatches of {number(found.batch_size)}: {found.verdict} in mean square; the "
            f"second moment's radius is {radius_number(found.spectral_radius)}"
        )
        if math.isfinite(found.step_limit):
            line += f", below 1 for steps under {number(found.step_limit)}"
        lines.append(line + ".")
    if report.limit_loss is not None:
        value, error, reason = report.limit_loss
        lines.append(f"Expected loss in the limit: {number(value)} (error {error:.1g}; {reason}).")
    return lines


def _robust_line(found: RobustReport) -> str:
    if found.witness is not None:
        d = ", ".join(number(float(x)) for x in found.witness)
        radius = radius_number(found.worst_spectral_radius)
        return f"Robust: refuted ({found.by}): Delta = diag({d}) has spectral radius {radius}."
    if found.status == "certified":
        return f"Robust: certified for every Delta in the box ({found.by})."
    return f"Robust: unknown ({found.by})."


def _transient_line(report: StabilityReport) -> list[str]:
    found = report.transient
    if found is None or not found.peak > 1.0:
        return []
    line = (
        f"Before it decays the loss can rise {number(found.peak * found.peak)}-fold "
        f"(at step {found.peak_step}; Kreiss constant {number(found.kreiss)})."
    )
    if found.bound > found.peak:
        line += f" It cannot rise more than {number(found.bound * found.bound)}-fold."
    return [line]


def describe(report: StabilityReport) -> str:
    """The whole text of a report."""
    lines = [_headline(report), _meaning(report), *_transient_line(report)]
    if report.rank < report.dimension:
        lines.append(
            f"The hessian has rank {report.rank} of {report.dimension}: judged on its range; in "
            "the other directions the loss is flat and the parameters may drift unseen."
        )
    lines += [*_asked_lines(report), "", *_distance(report)]
    values = report.spectrum.eigenvalues
    shown = ", ".join(complex_number(complex(z)) for z in values[:SHOWN_EIGENVALUES])
    more = f", ... ({values.size} in all)" if values.size > SHOWN_EIGENVALUES else ""
    lines += ["", f"Eigenvalues: {shown}{more}"]
    applying = [c for c in report.conditions if c.applies]
    if applying:
        lines += ["", "Conditions, and how much of the exact margin each one sees:"]
        lines += [_condition_line(c) for c in applying]
    others = [c for c in report.conditions if not c.applies and c.reason not in OTHER_RULE]
    if others:
        lines += ["", "Conditions that do not apply here:"]
        lines += [f"  {c.name}: {c.reason}." for c in others]
    return "\n".join(lines)
