"""Which conditions a report lists, each with the exact margin beside its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from nqm.conditions.condition import SYMMETRIC_ONLY, Condition, Statement
from nqm.conditions.general import (
    DESCENT,
    EIGENVECTOR,
    NUMERICAL_RADIUS,
    descent,
    eigenvector_condition,
    numerical_radius_condition,
)
from nqm.conditions.lemma2 import LEMMA2, own_counterexample
from nqm.conditions.lemma3 import LEMMA3, lemma3
from nqm.conditions.momentum import MOMENTUM, momentum_condition
from nqm.conditions.theorem1 import (
    THEOREM1,
    THEOREM1_PRIME,
    bounded_spectrum,
    distance_from_ideal,
    theorem1_prime,
)
from nqm.spectra.enclosures import DENSE_LIMIT
from nqm.verdict.problem import Problem

FOR_PLAIN = "it is about the plain rule (6)"
FOR_MOMENTUM = "it is about v_k' = beta_k v_k + g, phi' = phi - sum_k M_k v_k'"
FOR_PRECONDITIONED = "it is about rule (12); pass the rule `preconditioned`"


def memoryless_conditions(
    problem: Problem, p: tuple[float, float] | None, margins: tuple[float, float], rule: str
) -> tuple[Condition, ...]:
    """For M H or, with `rule` preconditioned, M H^1/2; p the extremes of a symmetric P.

    `margins` are the exact ones: in units of alpha, and of the spectral radius.
    """
    paper = _paper_conditions(problem, p, margins[0], rule)
    if p is not None:
        return (*paper, *_for_symmetric(problem, p, margins))
    n = len(problem.hessian)
    functions: tuple[tuple[Statement, Callable[..., Condition], int, int], ...] = (
        (THEOREM1_PRIME, theorem1_prime, DENSE_LIMIT, 0),
        (DESCENT, descent, DENSE_LIMIT, 1),
        (EIGENVECTOR, eigenvector_condition, DENSE_LIMIT, 0),
        (NUMERICAL_RADIUS, numerical_radius_condition, 64, 1),
    )
    found = []
    for statement, function, largest, unit in functions:
        if n > largest:
            reason = f"not evaluated above N = {largest}; call nqm.{function.__name__}"
            found.append(statement.not_on(reason))
            continue
        condition = function(problem.hessian, problem.preconditioner, problem.alpha)
        found.append(replace(condition, exact_margin=margins[unit]))
    return (*paper, *found)


def _paper_conditions(
    problem: Problem, p: tuple[float, float] | None, exact: float, rule: str
) -> tuple[Condition, ...]:
    """Theorem 1 and Lemma 2, of which one applies at most."""
    top = 2 / float(problem.h[-1])  # of H^1/2 where the rule is (12)
    reason = SYMMETRIC_ONLY.format(problem.gap)
    if rule == "preconditioned":
        statement, reason = LEMMA2, own_counterexample(reason)
        other = THEOREM1.not_on(FOR_PLAIN)
    else:
        statement, other = THEOREM1, LEMMA2.not_on(FOR_PRECONDITIONED)
    own = bounded_spectrum(statement, problem.alpha, top, p, reason=reason, exact_margin=exact)
    return own, other


def _for_symmetric(
    problem: Problem, p: tuple[float, float], margins: tuple[float, float]
) -> tuple[Condition, ...]:
    """The general conditions in closed form: |J| = w(J) = rho, and V is orthogonal."""
    h, alpha = float(problem.h[-1]), problem.alpha
    norm, radius = distance_from_ideal(p, alpha, h), 1 - margins[1]
    return (
        THEOREM1_PRIME.on(upper=1 / h, largest=norm, exact_margin=margins[0]),
        DESCENT.on(upper=1.0, largest=radius, exact_margin=margins[1]),
        EIGENVECTOR.on(upper=1 / h, largest=norm, exact_margin=margins[0]),
        NUMERICAL_RADIUS.on(upper=1.0, largest=radius, exact_margin=margins[1]),
    )


def momentum_conditions(
    problem: Problem, rule: str, parameters: dict[str, Any]
) -> tuple[Condition, ...]:
    """The exact momentum condition, where the rule belongs to that family."""
    n, alpha = len(problem.hessian), problem.alpha
    identity = np.eye(n)
    P = 0 * identity if problem.preconditioner is None else problem.preconditioner
    M, beta = alpha * identity + P, parameters.get("momentum", 0.0)
    dampings = list(parameters.get("dampings", ()))
    family: dict[str, tuple[list[Any], list[float]]] = {
        "heavy_ball": ([M], [beta]),
        "exponential_average": ([(1 - beta) * M], [beta]),
        "aggmo": ([M / max(len(dampings), 1)] * len(dampings), dampings),
        "nominal_momentum": ([alpha * identity, P], [beta, 0.0]),
    }
    if rule == "frozen_adam" and not parameters["weight_decay"]:
        D = identity if problem.preconditioner is None else problem.preconditioner
        family[rule] = ([(1 - beta) * alpha * D], [beta])
    if rule not in family:
        return (MOMENTUM.not_on(FOR_MOMENTUM),)
    return (momentum_condition(problem.hessian, *family[rule]),)


def robust_conditions(problem: Problem, disturbance_bound: Any) -> tuple[Condition, ...]:
    """Lemma 3, for the plain rule on a hessian of full rank."""
    if problem.rank < problem.dimension:
        return (LEMMA3.not_on("the hessian is singular"),)
    P = np.zeros_like(problem.hessian) if problem.preconditioner is None else problem.preconditioner
    return (lemma3(problem.hessian, P, problem.alpha, disturbance_bound),)
