"""Which conditions a report lists, each with the exact margin beside its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from nqm.conditions.general import (
    DESCENT,
    EIGENVECTOR,
    NUMERICAL_RADIUS,
    descent,
    eigenvector_condition,
    numerical_radius_condition,
)
from nqm.conditions.momentum import NAME as MOMENTUM_NAME
from nqm.conditions.momentum import QUANTITY, SOURCE, momentum_condition
from nqm.conditions.paper import (
    LEMMA2,
    LEMMA3,
    SYMMETRIC_ONLY,
    THEOREM1,
    THEOREM1_PRIME,
    Condition,
    lemma3,
    theorem1_prime,
)
from nqm.spectra.enclosures import DENSE_LIMIT
from nqm.verdict.problem import Problem

NAN = float("nan")
FOR_PLAIN = "it is about the plain rule (6)"
FOR_MOMENTUM = "it is about v_k' = beta_k v_k + g, phi' = phi - sum_k M_k v_k'"
FOR_PRECONDITIONED = "it is about rule (12); pass the rule `preconditioned`"


def _unavailable(names: tuple[str, str, str], reason: str) -> Condition:
    return Condition(*names, False, reason)


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
    functions: tuple[tuple[tuple[str, str, str], Callable[..., Condition], int, int], ...] = (
        (THEOREM1_PRIME, theorem1_prime, DENSE_LIMIT, 0),
        (DESCENT, descent, DENSE_LIMIT, 1),
        (EIGENVECTOR, eigenvector_condition, DENSE_LIMIT, 0),
        (NUMERICAL_RADIUS, numerical_radius_condition, 64, 1),
    )
    found = []
    for names, function, largest, unit in functions:
        if n > largest:
            reason = f"not evaluated above N = {largest}; call nqm.{function.__name__}"
            found.append(_unavailable(names, reason))
            continue
        condition = function(problem.hessian, problem.preconditioner, problem.alpha)
        found.append(replace(condition, exact_margin=margins[unit]))
    return (*paper, *found)


def _paper_conditions(
    problem: Problem, p: tuple[float, float] | None, exact: float, rule: str
) -> tuple[Condition, ...]:
    """Theorem 1 and Lemma 2, of which one applies at most."""
    top = 2 / float(problem.h[-1])
    bounds = -problem.alpha, top - problem.alpha
    names, others = (LEMMA2, THEOREM1) if rule == "preconditioned" else (THEOREM1, LEMMA2)
    if p is None:
        reason = SYMMETRIC_ONLY.format(problem.gap)
        if rule == "preconditioned":  # the counterexample's Hessian, squared
            reason = reason.replace("[2,1],[1,2]", "[5,4],[4,5]")
        own = Condition(*names, False, reason, *bounds)
    else:
        own = Condition(*names, True, "", *bounds, *p, exact)
    foreign = FOR_PLAIN if others == THEOREM1 else FOR_PRECONDITIONED
    return own, _unavailable(others, foreign)


def _for_symmetric(
    problem: Problem, p: tuple[float, float], margins: tuple[float, float]
) -> tuple[Condition, ...]:
    """The general conditions in closed form: |J| = w(J) = rho, and V is orthogonal."""
    h, alpha = float(problem.h[-1]), problem.alpha
    norm = max(abs(alpha + p[0] - 1 / h), abs(alpha + p[1] - 1 / h))
    radius = 1 - margins[1]
    prime = Condition(*THEOREM1_PRIME, True, "", NAN, 1 / h, NAN, norm, margins[0])
    return (
        prime,
        Condition(*DESCENT, True, "", NAN, 1.0, NAN, radius, margins[1]),
        Condition(*EIGENVECTOR, True, "", NAN, 1 / h, NAN, norm, margins[0]),
        Condition(*NUMERICAL_RADIUS, True, "", NAN, 1.0, NAN, radius, margins[1]),
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
        names = (MOMENTUM_NAME, SOURCE, QUANTITY)
        return (_unavailable(names, FOR_MOMENTUM),)
    return (momentum_condition(problem.hessian, *family[rule]),)


def robust_conditions(problem: Problem, disturbance_bound: Any) -> tuple[Condition, ...]:
    """Lemma 3, for the plain rule on a hessian of full rank."""
    if problem.rank < problem.dimension:
        return (_unavailable(LEMMA3, "the hessian is singular"),)
    P = np.zeros_like(problem.hessian) if problem.preconditioner is None else problem.preconditioner
    return (lemma3(problem.hessian, P, problem.alpha, disturbance_bound),)
