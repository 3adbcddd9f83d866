"""The update rules by name, as `check(rule=...)` and `--rule` take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nqm import validate
from nqm.conditions import momentum
from nqm.rules import hidden_state as rules
from nqm.rules import linear as updates
from nqm.rules.linear import UpdateRule
from nqm.untrusted import quoted

Builder = Callable[..., UpdateRule]


@dataclass(frozen=True)
class NamedRule:
    """A rule, its parameters, and the bound c on lr lambda below which it is stable.

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
    parameters: dict[str, Any] = field(default_factory=dict)
    limit: Callable[..., float] | None = None


def _plain(hessian: Any, preconditioner: Any, nominal_step: Any) -> UpdateRule:
    return updates.plain_rule(hessian, preconditioner, nominal_step)


def _preconditioned(hessian: Any, preconditioner: Any, nominal_step: Any) -> UpdateRule:
    A = updates.preconditioned_update_matrix(hessian, preconditioner, nominal_step)
    return updates.memoryless_rule(A)


def _averaged(hessian: Any, preconditioner: Any, nominal_step: Any, averaging: Any) -> UpdateRule:
    plain = updates.plain_rule(hessian, preconditioner, nominal_step)
    return rules.averaged_rule(plain, averaging)


def _lookahead(hessian: Any, preconditioner: Any, nominal_step: Any, momentum: Any) -> UpdateRule:
    return rules.nesterov_rule(hessian, preconditioner, nominal_step, momentum, lookahead=True)


def _averaging_limit(averaging: float) -> float:
    if not -1 < averaging < 1:
        raise ValueError(f"averaging must lie inside (-1, 1); it is {averaging:g}.")
    return 2.0


BETA = {"momentum": 0.9}
RULES = {
    rule.name: rule
    for rule in (
        NamedRule("plain", "phi' = phi - (alpha I + P) g, (6)", _plain, {}, lambda: 2.0),
        NamedRule(
            "preconditioned", "phi' = phi - H^-1/2 (alpha I + P) g, (12)", _preconditioned, {}
        ),
        NamedRule(
            "heavy_ball",
            "v' = beta v + g, phi' = phi - (alpha I + P) v'",
            rules.heavy_ball_rule,
            BETA,
            momentum.heavy_ball_limit,
        ),
        NamedRule(
            "exponential_average",
            "m' = beta m + (1-beta) g, phi' = phi - (alpha I + P) m'",
            rules.exponential_average_rule,
            BETA,
            momentum.exponential_average_limit,
        ),
        NamedRule(
            "nesterov",
            "v' = beta v + g, phi' = phi - (alpha I + P) (g + beta v')",
            rules.nesterov_rule,
            BETA,
            momentum.nesterov_limit,
        ),
        NamedRule(
            "nesterov_lookahead",
            "the gradient at phi - beta (alpha I + P) v",
            _lookahead,
            BETA,
            momentum.nesterov_limit,
        ),
        NamedRule(
            "aggmo",
            "v_k' = beta_k v_k + g, phi' = phi - (alpha I + P) mean_k v_k'",
            rules.aggmo_rule,
            {"dampings": (0.0, 0.9, 0.99)},
            momentum.aggmo_limit,
        ),
        NamedRule(
            "frozen_adam",
            "m' = b1 m + (1-b1) g, phi' = (1 - lr w) phi - lr P m', lr the nominal step",
            rules.frozen_adam_rule,
            {**BETA, "weight_decay": 0.0},
        ),
        NamedRule(
            "nominal_momentum",
            "v' = beta v + g, phi' = phi - alpha v' - P g",
            rules.nominal_momentum_rule,
            BETA,
        ),
        NamedRule(
            "delayed",
            "phi_{t+1} = phi_t - (alpha I + P) g_{t-delay}",
            rules.delayed_rule,
            {"delay": 1},
            momentum.delay_limit,
        ),
        NamedRule(
            "averaged",
            "plain, with the mean = gamma mean + (1-gamma) phi' read out",
            _averaged,
            {"averaging": 0.9},
            _averaging_limit,
        ),
        NamedRule(
            "perturbed",
            "plain with disturbance * P in place of P, (15) with Delta = d I",
            lambda H, P, a, disturbance: updates.perturbed_rule(H, P, a, disturbance),
            {"disturbance": 1.0},
        ),
        NamedRule(
            "cancelled",
            "M = alpha (1 - disturbance) I + disturbance * P, (18) with Delta = d I, P = P*",
            lambda H, P, a, disturbance: updates.cancellation_rule(H, P, a, disturbance),
            {"disturbance": 1.0},
        ),
    )
}
"""Name -> NamedRule."""


def parse_rule(text: str) -> tuple[NamedRule, dict[str, Any]]:
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


def check_parameters(rule: NamedRule, parameters: dict[str, Any]) -> None:
    """Raise ValueError where a parameter lies outside its range."""
    if rule.limit is not None:
        rule.limit(**parameters)
    elif "momentum" in parameters:
        momentum.heavy_ball_limit(parameters["momentum"])
    if parameters.get("disturbance", 1.0) <= 0:
        raise ValueError(f"disturbance must be positive; it is {parameters['disturbance']:g}.")
