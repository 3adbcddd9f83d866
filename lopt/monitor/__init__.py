"""Watch the eigenvalues of training dynamics: linearize, find them matrix-free, judge, probe."""

from lopt.monitor.effective import StepSummary
from lopt.monitor.eigen import EigenEstimate, ritz_values
from lopt.monitor.enclosure import Enclosure
from lopt.monitor.exact import QuadraticProbe
from lopt.monitor.growth import Growth, growth
from lopt.monitor.inspection import inspect
from lopt.monitor.krylov import KrylovFactorization, arnoldi
from lopt.monitor.linearize import (
    JointOperator,
    balance,
    hessian_operator,
    joint_operator,
    update_map,
)
from lopt.monitor.margins import Margin
from lopt.monitor.point import PointSpectrum, ProbeSettings, factorize, resolve
from lopt.monitor.probe import Probe, ProbeReport
from lopt.monitor.report import Inspection, ResponseSummary
from lopt.monitor.settings import InspectSettings
from lopt.monitor.split import star_blackbox
from lopt.monitor.values import Value
from lopt.monitor.verdict import Judgement, VerdictRule, judge

__all__ = [
    "EigenEstimate",
    "Enclosure",
    "Growth",
    "InspectSettings",
    "Inspection",
    "JointOperator",
    "Judgement",
    "KrylovFactorization",
    "Margin",
    "PointSpectrum",
    "Probe",
    "ProbeReport",
    "ProbeSettings",
    "QuadraticProbe",
    "ResponseSummary",
    "StepSummary",
    "Value",
    "VerdictRule",
    "arnoldi",
    "balance",
    "factorize",
    "growth",
    "hessian_operator",
    "inspect",
    "joint_operator",
    "judge",
    "resolve",
    "ritz_values",
    "star_blackbox",
    "update_map",
]
