"""The stability of a linear optimizer on a noisy quadratic: one matrix, known exactly."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import nqm
from lopt.monitor.krylov.eigenvalues import dense_eigenvalues
from lopt.monitor.probing.point import PointSpectrum, mode_curvatures
from lopt.monitor.probing.probe import ProbeReport
from lopt.monitor.probing.verdict import VerdictRule, judge
from nqm.quadratic import NoisyQuadratic

__all__ = ["QuadraticProbe"]

UNIT = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class QuadraticProbe:
    """The eigenvalues of A = I - (alpha I + P) H, equation (6), dense and in float64.

    The dynamics are the same at every inner step and have no hidden state, so that a report has
    one point, and its joint and frozen maps are both A. The verdict is that of `nqm.check`: not
    the eigenvalues on one batch but stability itself.

    Parameters
    ----------
    model : NoisyQuadratic
    nominal_step : float
        alpha.

    Examples
    --------
    >>> probe = QuadraticProbe(nqm.NoisyQuadratic([[2.0, 1.0], [1.0, 2.0]]), nominal_step=0.5)
    >>> report = probe.measure(np.zeros((2, 2)))          # 1 - 0.5 * 3 and 1 - 0.5 * 1
    >>> report.verdict, round(report.points[0].judgement.radius, 12)
    ('stable', 0.5)
    """

    model: NoisyQuadratic
    nominal_step: float

    def measure(self, preconditioner: Any) -> ProbeReport:
        """The report for one P, ``[N, N]``."""
        H = self.model.hessian
        P = np.asarray(preconditioner, np.float64)
        A = np.asarray(nqm.plain_rule(H, P, self.nominal_step).joint_matrix)
        hessian = dense_eigenvalues(H, UNIT, symmetric=True)
        dynamics = dense_eigenvalues(A, UNIT)
        curvatures = mode_curvatures(dynamics, H, np.eye(len(H)))
        judgement = judge(dynamics, dynamics, curvatures, VerdictRule(margin=0.0))
        exact = "diverged"
        if np.isfinite(A).all():
            exact = nqm.check(self.model, P, self.nominal_step).verdict
        direction = judgement.direction if exact == "unstable" else ""
        point = PointSpectrum(
            inner_step=0,
            loss=float("nan"),
            joint=dynamics,
            frozen=dynamics,
            hessian=hessian,
            curvatures=curvatures,
            held=0,
            judgement=replace(judgement, verdict=exact, direction=direction),
        )
        return ProbeReport(points=(point,), finite_steps=0)
