"""StabilityReport: the answer as data, as JSON and as text."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from nqm.conditions.condition import Condition
from nqm.spectra.eigenvalues import Spectrum

SCHEMA_VERSION = 1
SEVERITY = ("stable", "marginal", "unstable")
EXIT_CODES = {"stable": 0, "unstable": 1, "marginal": 3}


def plain(value: Any) -> Any:
    """The value as JSON has it: NaN and infinities become null, arrays become lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, complex):
        return [plain(value.real), plain(value.imag)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def condition_json(condition: Condition) -> dict[str, Any]:
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
    rule_parameters: dict[str, Any]
    spectrum: Spectrum
    nominal_step_intervals: tuple[tuple[float, float], ...]
    intervals_reason: str
    interval_uncertainty: float
    best_nominal_step: tuple[float, float] | None
    conditions: tuple[Condition, ...]
    transient: Any = None
    proof: Any = None
    mean_square: Any = None
    limit_loss: Any = None
    robust: Any = None

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

    def as_dict(self) -> dict[str, Any]:
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
        result: dict[str, Any] = plain(found)
        return result

    def _asked(self) -> dict[str, Any]:
        """The parts that are there only where they apply or were asked for."""
        parts: dict[str, Any] = {}
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
        from nqm.verdict.text import describe

        return describe(self)

    def __str__(self) -> str:
        return self.text()
