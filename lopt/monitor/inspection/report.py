"""The result of `inspect`: numbers with their errors, as text, JSON and a picture."""

from dataclasses import dataclass
from typing import Any

from lopt.monitor.growth import Growth
from lopt.monitor.inspection.conditions import Margin
from lopt.monitor.inspection.step_sizes import StepSummary
from lopt.monitor.krylov.eigenvalues import EigenEstimate
from lopt.monitor.krylov.values import Value
from nqm.json_values import json_value

__all__ = ["Inspection", "ResponseSummary"]

FLAT = "in {} coordinates, as a sign is: du/dg is 0 there and says nothing of a finite step"
STILL = "the update does not depend on the gradient here, as between two steps of optax.MultiSteps"


@dataclass(frozen=True)
class ResponseSummary:
    """A matrix M: the extreme eigenvalues of (M + M^T)/2 and |(M - M^T)/2|_2.

    Attributes
    ----------
    smallest, largest, asymmetry : Value
    """

    smallest: Value
    largest: Value
    asymmetry: Value

    def unsure(self) -> "ResponseSummary":
        """The same values with unbounded errors, none of them converged."""
        return ResponseSummary(
            self.smallest.unsure(), self.largest.unsure(), self.asymmetry.unsure()
        )

    def text(self) -> str:
        """One line."""
        return (
            f"eigenvalues {self.smallest.text()} to {self.largest.text()}, "
            f"asymmetry {self.asymmetry.text()}"
        )

    def to_json(self) -> dict[str, Any]:
        """The three values."""
        return {name: getattr(self, name).to_json() for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Inspection:
    """The stability of training at one state; every number with its error. See `inspect`.

    Attributes
    ----------
    loss : float
        On the batch looked at.
    hessian : EigenEstimate
        Of the loss; `sharpness` and `smallest_curvature` are its extremes.
    sharpness, smallest_curvature : Value
    steps : StepSummary
        Effective alpha.
    response : ResponseSummary
        M = du/dg, the step's derivative with respect to the gradient.
    blackbox : ResponseSummary or None
        P, that of the blackbox part; None where none was told apart.
    frozen : EigenEstimate
        A = I - du/dparams - M H; `frozen_radius` is its largest modulus.
    frozen_radius : Value
    product : EigenEstimate
        M H; `preconditioned_sharpness` is its largest real part.
    preconditioned_sharpness : Value
    joint : EigenEstimate or None
        Parameters and hidden state together; `radius` is the largest modulus. None and not
        measured without `InspectSettings.joint`.
    radius : Value
    theorem1, theorem1_prime : Margin
        Whether they apply, and their margins.
    growth : Growth or None
        Along real steps; None without `batches`.
    held : int
        Coordinates held because the step has no finite derivative there.
    flat : int
        Coordinates in which the update is piecewise constant in the gradient, as a sign is: its
        derivative is zero and says nothing of a finite step. Where that is all of the response,
        nothing that rests on it counts as converged.
    """

    loss: float
    hessian: EigenEstimate
    sharpness: Value
    smallest_curvature: Value
    steps: StepSummary
    response: ResponseSummary
    blackbox: ResponseSummary | None
    frozen: EigenEstimate
    frozen_radius: Value
    product: EigenEstimate
    preconditioned_sharpness: Value
    joint: EigenEstimate | None
    radius: Value
    theorem1: Margin
    theorem1_prime: Margin
    growth: Growth | None
    held: int
    flat: int = 0

    def normalized_sharpness(self, step: float, momentum: float = 0.0) -> float:
        """lambda_max(M H) / (step (1 - momentum)): Cohen et al.'s preconditioned sharpness.

        The direct response M to a gradient holds what one step makes of it. Adam's first moment
        takes in the share 1 - beta_1 of it, so that M = step (1 - beta_1) P^-1 with their
        preconditioner P = (1 - beta_1^t)(sqrt(v^) + eps), but for the response of v^ itself, which
        is smaller by (1 - beta_2)/(1 - beta_1). What is left is lambda_max(P^-1 H), whose edge is
        2 (1 + beta_1)/((1 - beta_1) step): 38/step at beta_1 = 0.9. Without normalization the
        edge of lambda_max(M H) is 2 for gradient descent and 2 (1 + beta) for heavy ball and Adam.

        References
        ----------
        .. [1] Cohen et al., "Adaptive gradient methods at the edge of stability" (2022), (2).
        """
        return self.preconditioned_sharpness.value / (step * (1.0 - momentum))

    def text(self) -> str:
        """A table for a person: one quantity a line, with error and a mark if not converged."""
        rows = {
            "loss": f"{self.loss:.6g}",
            "sharpness": self.sharpness.text(),
            "smallest curvature": self.smallest_curvature.text(),
            "effective alpha": self.steps.text(),
            "response du/dg": self.response.text(),
            "blackbox P": self.blackbox.text() if self.blackbox else "",
            "preconditioned sharpness": self.preconditioned_sharpness.text(),
            "radius, state frozen": self.frozen_radius.text(),
            "radius, joint": self.radius.text() if self.joint else "",
            "growth": self.growth.text() if self.growth else "",
            "held coordinates": str(self.held) if self.held else "",
            "piecewise constant": FLAT.format(self.flat) if self.flat else "",
            "no response": STILL if self._still and not self.flat else "",
        }
        lines = [f"{name:26}{shown}" for name, shown in rows.items() if shown]
        return "\n".join([*lines, self.theorem1.text(), self.theorem1_prime.text()])

    @property
    def _still(self) -> bool:
        response = self.response
        return response.smallest.value == response.largest.value == response.asymmetry.value == 0

    def to_json(self) -> dict[str, Any]:
        """Every number, as plain Python; None for what is not finite."""
        found: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            found[name] = value.to_json() if hasattr(value, "to_json") else value
        return found | {"loss": json_value(self.loss)}

    def plot(self, axes: Any = None) -> Any:
        """The eigenvalues of the frozen map, and of the joint one if any, in the complex plane.

        Filled where converged; the unit circle is where growth begins. Needs matplotlib, the
        optional extra `figures`. Returns the axes, drawn on a new figure unless given.
        """
        from lopt.monitor.picture import complex_plane

        joint = {"joint": self.joint} if self.joint else {}
        return complex_plane({**joint, "state frozen": self.frozen}, axes)
