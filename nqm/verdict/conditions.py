"""Which conditions a report lists, each with the exact margin beside its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nqm.conditions.condition import Condition, Known, Statement
from nqm.conditions.every_hessian import EXACT_SIZE, posed_every_hessian
from nqm.conditions.general import (
    DESCENT,
    EIGENVECTOR,
    NUMERICAL_RADIUS,
    posed_descent,
    posed_eigenvector_condition,
    posed_numerical_radius_condition,
)
from nqm.conditions.lemma2 import LEMMA2
from nqm.conditions.momentum import MOMENTUM, momentum_condition
from nqm.conditions.theorem1 import THEOREM1
from nqm.conditions.theorem1_prime import THEOREM1_PRIME, posed_theorem1_prime
from nqm.problem import Problem
from nqm.rules.table import NamedRule, Parameters, PlainForm
from nqm.spectra.enclosures import DENSE_LIMIT

FOR_PLAIN = "it is about the plain rule (6)"
FOR_MOMENTUM = "it is about v_k' = beta_k v_k + g, phi' = phi - sum_k M_k v_k'"
FOR_PRECONDITIONED = "it is about rule (12); pass the rule `preconditioned`"


class General(NamedTuple):
    """A condition for any P: what a user calls, what stands behind it, and the largest N."""

    statement: Statement
    public: str
    posed: Callable[[Problem, Known], Condition]
    largest: int


GENERAL = (
    General(
        statement=THEOREM1_PRIME,
        public="theorem1_prime",
        posed=posed_theorem1_prime,
        largest=DENSE_LIMIT,
    ),
    General(statement=DESCENT, public="descent", posed=posed_descent, largest=DENSE_LIMIT),
    General(
        statement=EIGENVECTOR,
        public="eigenvector_condition",
        posed=posed_eigenvector_condition,
        largest=DENSE_LIMIT,
    ),
    General(
        statement=NUMERICAL_RADIUS,
        public="numerical_radius_condition",
        posed=posed_numerical_radius_condition,
        largest=64,
    ),
)


def plain_conditions(form: PlainForm, known: Known) -> tuple[Condition, ...]:
    """Those for a rule without hidden state, the statement about this rule first."""
    problem, n = form.problem, len(form.problem.hessian)
    found = [form.condition(problem, known)]
    for statement, reason in ((THEOREM1, FOR_PLAIN), (LEMMA2, FOR_PRECONDITIONED)):
        if found[0].name != statement.name:
            found.append(statement.not_applicable(reason))
    for general in GENERAL:
        if known.p is None and n > general.largest:
            reason = f"not evaluated above N = {general.largest}; call nqm.{general.public}"
            found.append(general.statement.not_applicable(reason))
        else:
            found.append(general.posed(problem, known))
    if n <= EXACT_SIZE:  # beyond, the function says more than a condition can
        found.append(posed_every_hessian(problem, known))
    return tuple(found)


def momentum_conditions(
    problem: Problem, named: NamedRule, parameters: Parameters
) -> tuple[Condition, ...]:
    """The exact momentum condition, where the rule belongs to that family."""
    family = None
    if named.family is not None:
        arrays = problem.hessian, problem.preconditioner, problem.alpha
        family = named.family(*arrays, **parameters)
    if family is None:
        return (MOMENTUM.not_applicable(FOR_MOMENTUM),)
    return (momentum_condition(problem.hessian, *family),)
