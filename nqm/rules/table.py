"""The update rules by name, as `check(rule=...)` and `--rule` take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from nqm import validate
from nqm.conditions import momentum as limits
from nqm.conditions.condition import Condition, Known
from nqm.conditions.intervals import KnownSteps
from nqm.conditions.lemma2 import posed_lemma2, with_root
from nqm.conditions.theorem1 import posed_theorem1
from nqm.namespace import AnyArray
from nqm.problem import Problem
from nqm.rules import linear as updates
from nqm.rules import momentum
from nqm.rules.hidden_state import averaged_rule, delayed_rule
from nqm.rules.linear import UpdateRule
from nqm.rules.momentum import nesterov_rule
from nqm.untrusted import quoted

Builder = Callable[..., UpdateRule]
Parameters = dict[str, float | tuple[float, ...]]
"""The parameters of a rule by name."""


class PlainForm(NamedTuple):
    """A rule without hidden state, written as the plain rule of another problem.

    Attributes
    ----------
    problem : Problem
        The one whose plain rule (6) has the eigenvalues of this rule.
    step_ratio : float
        The nominal step of that problem over the one of the rule.
    condition : callable
        The statement of the paper about this rule.
    """

    problem: Problem
    step_ratio: float = 1.0
    condition: Callable[[Problem, Known], Condition] = posed_theorem1


@dataclass(frozen=True)
class NamedRule:
    """An update rule by name, with all that `check` knows about it.

    Attributes
    ----------
    name, summary : str
        What to call it, and its equation.
    build : callable
        (hessian, preconditioner, nominal_step, **parameters) -> UpdateRule.
    parameters : dict
        Parameter -> default.
    limit : callable or None
        **parameters -> c: with symmetric P and |beta| < 1 the rule is stable iff the eigenvalues
        of H^1/2 (alpha I + P) H^1/2 lie in (0, c). None where there is no such number.
    family : callable or None
        As `build`, to the M_k and beta_k of `momentum_condition`, or None where it does not apply.
    steps : callable or None
        (problem, **parameters) -> the exact nominal steps for symmetric P, where they are known
        though there is no `limit`.
    plain_form : callable or None
        (problem, **parameters) -> the problem whose plain rule it is, for a rule without hidden
        state.

    Examples
    --------
    >>> from nqm import parse_rule
    >>> rule, parameters = parse_rule("heavy_ball:momentum=0.5")
    >>> rule.limit(**parameters)
    3.0
    """

    name: str
    summary: str
    build: Builder
    parameters: Parameters = field(default_factory=dict)
    limit: Callable[..., float] | None = None
    family: Callable[..., momentum.MomentumFamily | None] | None = None
    steps: Callable[..., KnownSteps] | None = None
    plain_form: Callable[..., PlainForm] | None = None


def _preconditioned(
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: AnyArray
) -> UpdateRule:
    A = updates.preconditioned_update_matrix(hessian, preconditioner, nominal_step)
    return updates.memoryless_rule(A)


def _averaged(
    hessian: AnyArray,
    preconditioner: AnyArray | None,
    nominal_step: AnyArray,
    averaging: AnyArray,
) -> UpdateRule:
    plain = updates.plain_rule(hessian, preconditioner, nominal_step)
    return averaged_rule(plain, averaging)


def _averaging_limit(averaging: float) -> float:
    if not -1 < averaging < 1:
        raise ValueError(f"averaging must lie inside (-1, 1); it is {averaging:g}.")
    return 2.0


def _lookahead(
    hessian: AnyArray,
    preconditioner: AnyArray | None,
    nominal_step: AnyArray,
    momentum: AnyArray,
) -> UpdateRule:
    return nesterov_rule(hessian, preconditioner, nominal_step, momentum, lookahead=True)


def _perturbed_form(problem: Problem, disturbance: float) -> PlainForm:
    """M = alpha I + d P."""
    P = problem.preconditioner
    return PlainForm(problem._replace(preconditioner=None if P is None else disturbance * P))


def _cancelled_form(problem: Problem, disturbance: float) -> PlainForm:
    """M = alpha (1 - d) I + d P."""
    form, ratio = _perturbed_form(problem, disturbance), 1 - disturbance
    return PlainForm(form.problem._replace(alpha=ratio * problem.alpha), step_ratio=ratio)


BETA: Parameters = {"momentum": 0.9}
RULES = {
    rule.name: rule
    for rule in (
        NamedRule(
            name="plain",
            summary="phi' = phi - (alpha I + P) g, (6)",
            build=updates.plain_rule,
            limit=lambda: 2.0,
            plain_form=PlainForm,
        ),
        NamedRule(
            name="preconditioned",
            summary="phi' = phi - H^-1/2 (alpha I + P) g, (12)",
            build=_preconditioned,
            plain_form=lambda problem: PlainForm(with_root(problem), condition=posed_lemma2),
        ),
        NamedRule(
            name="heavy_ball",
            summary="v' = beta v + g, phi' = phi - (alpha I + P) v'",
            build=momentum.heavy_ball_rule,
            parameters=BETA,
            limit=limits.heavy_ball_limit,
            family=momentum.heavy_ball_family,
        ),
        NamedRule(
            name="exponential_average",
            summary="m' = beta m + (1-beta) g, phi' = phi - (alpha I + P) m'",
            build=momentum.exponential_average_rule,
            parameters=BETA,
            limit=limits.exponential_average_limit,
            family=momentum.exponential_average_family,
        ),
        NamedRule(
            name="nesterov",
            summary="v' = beta v + g, phi' = phi - (alpha I + P) (g + beta v')",
            build=nesterov_rule,
            parameters=BETA,
            limit=limits.nesterov_limit,
        ),
        NamedRule(
            name="nesterov_lookahead",
            summary="the gradient at phi - beta (alpha I + P) v",
            build=_lookahead,
            parameters=BETA,
            limit=limits.nesterov_limit,
        ),
        NamedRule(
            name="aggmo",
            summary="v_k' = beta_k v_k + g, phi' = phi - (alpha I + P) mean_k v_k'",
            build=momentum.aggmo_rule,
            parameters={"dampings": (0.0, 0.9, 0.99)},
            limit=limits.aggmo_limit,
            family=momentum.aggmo_family,
        ),
        NamedRule(
            name="frozen_adam",
            summary="m' = b1 m + (1-b1) g, phi' = (1 - lr w) phi - lr P m', lr the nominal step",
            build=momentum.frozen_adam_rule,
            parameters={**BETA, "weight_decay": 0.0},
            family=momentum.frozen_adam_family,
            steps=limits.frozen_adam_steps,
        ),
        NamedRule(
            name="nominal_momentum",
            summary="v' = beta v + g, phi' = phi - alpha v' - P g",
            build=momentum.nominal_momentum_rule,
            parameters=BETA,
            family=momentum.nominal_momentum_family,
            steps=limits.nominal_momentum_steps,
        ),
        NamedRule(
            name="delayed",
            summary="phi_{t+1} = phi_t - (alpha I + P) g_{t-delay}",
            build=delayed_rule,
            parameters={"delay": 1},
            limit=limits.delay_limit,
        ),
        NamedRule(
            name="averaged",
            summary="plain, with the mean = gamma mean + (1-gamma) phi' read out",
            build=_averaged,
            parameters={"averaging": 0.9},
            limit=_averaging_limit,
        ),
        NamedRule(
            name="perturbed",
            summary="plain with disturbance * P in place of P, (15) with Delta = d I",
            build=lambda H, P, a, disturbance: updates.perturbed_rule(H, P, a, disturbance),
            parameters={"disturbance": 1.0},
            plain_form=_perturbed_form,
        ),
        NamedRule(
            name="cancelled",
            summary="M = alpha (1 - disturbance) I + disturbance * P, "
            "(18) with Delta = d I, P = P*",
            build=lambda H, P, a, disturbance: updates.cancellation_rule(H, P, a, disturbance),
            parameters={"disturbance": 1.0},
            plain_form=_cancelled_form,
        ),
    )
}
"""Name -> NamedRule."""


def parse_rule(text: str) -> tuple[NamedRule, Parameters]:
    """The rule and its parameters from "name" or "name:key=value,key=value".

    A list has slashes: "aggmo:dampings=0/0.9/0.99".

    Parameters
    ----------
    text : str
        Such a word.

    Returns
    -------
    pair of NamedRule and dict

    Raises
    ------
    ValueError
        If there is no such rule or parameter, or a value is no number.

    Examples
    --------
    >>> from nqm import parse_rule
    >>> parse_rule("aggmo:dampings=0/0.5")[1]
    {'dampings': (0.0, 0.5)}
    """
    name, _, rest = text.partition(":")
    if name not in RULES:
        raise ValueError(f"rule: {quoted(name)} is not one of {', '.join(RULES)}.")
    rule = RULES[name]
    parameters = dict(rule.parameters)
    for item in filter(None, rest.split(",")):
        key, equals, value = item.partition("=")
        if not equals or key not in parameters:
            known = ", ".join(f"{k}=..." for k in parameters) or "no parameter"
            raise ValueError(f"rule: {quoted(item)} is not understood; {name} takes {known}.")
        if isinstance(parameters[key], tuple):
            parameters[key] = tuple(validate.scalar(f"rule {key}", v) for v in value.split("/"))
        else:
            parameters[key] = validate.scalar(f"rule {key}", value)
    check_parameters(rule, parameters)
    return rule, parameters


def check_parameters(rule: NamedRule, parameters: Parameters) -> None:
    """Raise ValueError where a parameter lies outside its range."""
    scalars = {key: value for key, value in parameters.items() if not isinstance(value, tuple)}
    if rule.limit is not None:
        rule.limit(**parameters)
    elif "momentum" in scalars:
        limits.heavy_ball_limit(scalars["momentum"])
    if scalars.get("disturbance", 1.0) <= 0:
        raise ValueError(f"disturbance must be positive; it is {scalars['disturbance']:g}.")
