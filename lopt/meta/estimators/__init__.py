"""Estimators of the meta-gradient behind one interface: evolution strategies (PES, truncated,
noise-reuse, full-horizon) and backpropagation (truncated, full), and how long episodes last.
"""

from lopt.meta.estimators.full_backprop import FullBackprop
from lopt.meta.estimators.full_es import FullES
from lopt.meta.estimators.interface import Estimate, Estimator, MakeOptimizer, MetaParameters
from lopt.meta.estimators.pes import PES, Pairs
from lopt.meta.estimators.schedule import Annealed, Constant, Growing, LogUniform, Schedule
from lopt.meta.estimators.truncated_backprop import Particles, TruncatedBackprop
from lopt.meta.estimators.unroll import Count

__all__ = [
    "PES",
    "Annealed",
    "Constant",
    "Count",
    "Estimate",
    "Estimator",
    "FullBackprop",
    "FullES",
    "Growing",
    "LogUniform",
    "MakeOptimizer",
    "MetaParameters",
    "Pairs",
    "Particles",
    "Schedule",
    "TruncatedBackprop",
]
