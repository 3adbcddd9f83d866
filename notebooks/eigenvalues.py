"""A learned optimizer on a quadratic of two parameters, and the criteria that judge it.

The notation is the paper's: A = I - H^-q (alpha I + P) H, where q = 0 is (6) and q = 1/2 is (12),
and P = (1 - w) Delta P~ with weight decay w and disturbance Delta = diag(d), (15).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import nqm

Array = NDArray[np.float64]

# The Hessian of the counterexample in docs/errata.md; eigenvalues 1 and 3.
HESSIAN = nqm.example("theorem1-real-eigenvalues").hessian


@dataclass(frozen=True)
class Setting:
    """The values of the sliders.

    Attributes
    ----------
    alpha : float
        The nominal step of (5).
    low, high : float
        The eigenvalues of P~.
    coupling : float
        The entry that makes P~ = [[low, coupling], [0, high]] non-normal; 0 is symmetric.
    weight_decay : float
        The weight decay w.
    preconditioning : float
        The exponent q.
    d1, d2 : float
        The diagonal of Delta.
    """

    alpha: float = 0.25
    low: float = -0.2
    high: float = 0.3
    coupling: float = 0.0
    weight_decay: float = 0.0
    preconditioning: float = 0.0
    d1: float = 1.0
    d2: float = 1.0

    def undisturbed(self) -> Array:
        """(1 - w) P~, (2, 2)."""
        return (1 - self.weight_decay) * np.array([[self.low, self.coupling], [0, self.high]])

    def preconditioner(self) -> Array:
        """P, (2, 2)."""
        return np.asarray(nqm.perturbed_preconditioner(self.undisturbed(), [self.d1, self.d2]))

    def hessian(self) -> Array:
        """H^(1-q), (2, 2): A is similar to I - (alpha I + P) H^(1-q), so the results about (6) hold
        with this matrix in place of H.
        """
        h, vectors = np.linalg.eigh(HESSIAN)
        return np.asarray((vectors * h ** (1 - self.preconditioning)) @ vectors.T)

    def eigenvalues(self) -> NDArray[np.complex128]:
        """The eigenvalues of A, by decreasing modulus."""
        A = nqm.update_matrix(self.hessian(), self.preconditioner(), self.alpha)
        return np.asarray(nqm.eigenvalues(A), complex)


SETTINGS = {
    "no nominal term": Setting(alpha=0.0, low=-0.3, high=0.3),
    "a nominal term": Setting(alpha=0.32, low=-0.3, high=0.3),
    "no weight decay": Setting(alpha=0.25, low=0.0, high=0.25, coupling=-1.5),
    "weight decay": Setting(alpha=0.25, low=0.0, high=0.25, coupling=-1.5, weight_decay=0.6),
    "no preconditioning": Setting(alpha=0.95, low=0.0, high=0.1),
    "preconditioning": Setting(alpha=0.95, low=0.0, high=0.1, preconditioning=0.5),
    "symmetric P": Setting(alpha=0.0, low=0.0, high=0.5),
    "P that is not symmetric": Setting(alpha=0.0, low=0.0, high=0.5, coupling=2.0),
    "no disturbance": Setting(alpha=0.1, low=0.0, high=0.5, coupling=-1.0),
    "disturbance": Setting(alpha=0.1, low=0.0, high=0.5, coupling=-1.0, d2=0.3),
    "small symmetric P": Setting(alpha=0.1, low=0.0, high=0.3),
    "larger symmetric P": Setting(alpha=0.1, low=0.0, high=0.85),
}
"""Named settings, in pairs: before and after a change."""


class Verdict(NamedTuple):
    """The answer of one criterion for a setting.

    Attributes
    ----------
    name : str
    says : str
        "stable", "unstable" or "no answer".
    why : str
        The numbers that it rests on.
    wrong : bool
        Whether the answer contradicts the eigenvalues.
    """

    name: str
    says: str
    why: str
    wrong: bool


def printed_theorem1(hessian: Array, preconditioner: Array, alpha: float) -> bool | None:
    """Whether (9) and (10) hold for the eigenvalues of P; None if the eigenvalues are not real or P
    is not diagonalizable, as the paper assumes.
    """
    p, vectors = np.linalg.eig(preconditioner)
    if np.iscomplexobj(p) or np.linalg.cond(vectors) > 1e10:
        return None
    # Only the eigenvalues of P enter, so a diagonal matrix of them gives the same bounds.
    low, high = nqm.theorem1_interval(hessian, np.diag(p))
    return bool(alpha >= 0 and low <= alpha <= high)


def verdicts(setting: Setting) -> list[Verdict]:
    """The answers of Theorem 1 as printed, Theorem 1', the exact steps and a certificate.

    They are compared with the spectral radius that `nqm.check` encloses.
    """
    H, P, alpha = setting.hessian(), setting.preconditioner(), setting.alpha
    report = nqm.check(H, P, alpha)
    stable = report.spectrum.spectral_radius <= 1 + 1e-9
    (prime,) = [c for c in report.conditions if c.name == "Theorem 1'"]
    steps = report.nominal_step_intervals
    inside = any(low - 1e-9 <= alpha <= high + 1e-9 for low, high in steps)
    certificate = nqm.lyapunov_certificate(nqm.update_matrix(H, P, alpha))
    rows = (
        ("Theorem 1 as printed", *_printed(H, P, alpha)),
        (
            "Theorem 1′",
            "stable" if prime.margin >= -1e-12 else "no answer",
            f"‖P − (1/h − α) I‖ = {prime.largest:.3g}, bound 1/h = {prime.upper:.3g}",
        ),
        (
            "exact nominal steps",
            "stable" if inside else "unstable",
            f"α ∈ {' ∪ '.join(f'[{low:.3g}, {high:.3g}]' for low, high in steps) or '∅'}",
        ),
        (
            "Lyapunov certificate",
            "stable" if certificate.valid else "no answer",
            "X − AᵀXA > 0 with X > 0" if certificate.valid else "no X > 0 found",
        ),
    )
    return [
        Verdict(name, says, why, says != "no answer" and (says == "stable") != stable)
        for name, says, why in rows
    ]


def _printed(hessian: Array, preconditioner: Array, alpha: float) -> tuple[str, str]:
    """The answer of Theorem 1 as printed, and its numbers."""
    holds = printed_theorem1(hessian, preconditioner, alpha)
    if holds is None:
        return "no answer", "P has complex eigenvalues or too few eigenvectors"
    p = np.sort(np.linalg.eigvals(preconditioner).real)
    top = 2 / np.linalg.eigvalsh(hessian)[-1]
    numbers = f"λ(P) = {p[0]:.3g}, {p[1]:.3g}; bounds {0 - alpha:.3g}, {top - alpha:.3g}"
    return "stable" if holds else "no answer", numbers


def disturbed(setting: Setting) -> nqm.RobustReport:
    """The worst case over all disturbances up to the given Delta, (15)."""
    return nqm.robust_stability(
        setting.hessian(), setting.undisturbed(), setting.alpha, [setting.d1, setting.d2]
    )
