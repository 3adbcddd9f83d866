"""Watch the eigenvalues of training dynamics: linearize, find them matrix-free, judge, probe."""

from lopt.monitor.eigen import EigenEstimate, KrylovFactorization, arnoldi, ritz_values
from lopt.monitor.linearize import (
    JointOperator,
    balance,
    hessian_operator,
    joint_operator,
    update_map,
)
from lopt.monitor.point import PointSpectrum, ProbeSettings, factorize, resolve
from lopt.monitor.probe import Probe, ProbeReport
from lopt.monitor.verdict import Judgement, VerdictRule, judge

__all__ = [
    "EigenEstimate",
    "JointOperator",
    "Judgement",
    "KrylovFactorization",
    "PointSpectrum",
    "Probe",
    "ProbeReport",
    "ProbeSettings",
    "VerdictRule",
    "arnoldi",
    "balance",
    "factorize",
    "hessian_operator",
    "joint_operator",
    "judge",
    "resolve",
    "ritz_values",
    "update_map",
]
