"""Update rules with hidden state: momentum, Nesterov, AggMo, frozen Adam, delay, averaging.

Letters as in `nqm.rules.linear`; g = H (phi - xi) is the gradient, beta a momentum.
"""

from collections.abc import Sequence
from typing import Any

from nqm import validate
from nqm.namespace import AnyArray, Namespace, common
from nqm.rules.linear import UpdateRule

LONGEST_DELAY = 1000
LARGEST_STATE = 2**14
"""Most rows of a joint matrix, which then takes 2 GB."""


def _blocks(xp: Namespace, rows: list[list[AnyArray]]) -> AnyArray:
    size = sum(row[0].shape[0] for row in rows)
    if size > LARGEST_STATE:
        raise ValueError(
            f"the rule must have a state of at most {LARGEST_STATE} numbers; it has {size}. Take "
            "less memory, or a smaller hessian."
        )
    return xp.concat([xp.concat(row, axis=1) for row in rows], axis=0)


def checked_delay(delay: float) -> int:
    """The delay as an integer from 0 to 1000, also from a float that is one."""
    tau = validate.scalar("delay", delay)
    if not (tau.is_integer() and 0 <= tau <= LONGEST_DELAY):
        raise ValueError(
            f"delay must be a nonnegative integer of at most {LONGEST_DELAY}; it is {tau:g}."
        )
    return int(tau)


def _start(xp: Namespace, identity: AnyArray, hidden: int) -> tuple[AnyArray, AnyArray]:
    """Readout and lift of a state whose first block is phi and whose hidden blocks start at 0."""
    zeros = xp.zeros((identity.shape[0], hidden * identity.shape[0]), dtype=identity.dtype)
    readout = xp.concat([identity, zeros], axis=1)
    return readout, readout.T


def _arrays(
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: AnyArray, *more: Any
) -> tuple[Namespace, list[AnyArray]]:
    """Namespace and [H, I, M, *more]."""
    xp, (H, P, alpha, *rest) = common(hessian, preconditioner, nominal_step, *more)
    identity = xp.eye(H.shape[0], dtype=H.dtype)
    M = alpha * identity if P is None else alpha * identity + P
    return xp, [H, identity, M, *rest]


def aggregated_momentum_rule(
    hessian: AnyArray, step_matrices: Sequence[AnyArray], dampings: Sequence[AnyArray]
) -> UpdateRule:
    """v_k' = beta_k v_k + g, phi' = phi - sum_k M_k v_k'.

    The family behind heavy ball, exponential-average momentum and AggMo; for symmetric positive
    semidefinite M_k `nqm.momentum_condition` is exact.

    Parameters
    ----------
    hessian : (N, N) array
        H.
    step_matrices : sequence of K (N, N) arrays
        M_k.
    dampings : sequence of K scalars
        beta_k.

    Returns
    -------
    UpdateRule
        The state is (phi, v_1, ..., v_K).

    Raises
    ------
    ValueError
        If the two sequences differ in length or are empty.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import aggregated_momentum_rule
    >>> rule = aggregated_momentum_rule(np.eye(1), [0.5 * np.eye(1)], [0.9])
    >>> rule.joint_matrix.tolist()  # [[1 - m h, -beta m], [h, beta]]
    [[0.5, -0.45], [1.0, 0.9]]
    """
    if len(step_matrices) != len(dampings) or not dampings:
        raise ValueError(
            "step_matrices and dampings must be as many, at least one; they are "
            f"{len(step_matrices)} and {len(dampings)}. Give one damping for each matrix."
        )
    count = len(dampings)
    xp, (H, *rest) = common(hessian, *step_matrices, *dampings)
    matrices, betas = rest[:count], rest[count:]
    identity = xp.eye(H.shape[0], dtype=H.dtype)
    total = sum(matrices[1:], matrices[0])
    first = [identity - total @ H, *(-b * M for b, M in zip(betas, matrices, strict=True))]
    rows = [first]
    for k in range(count):
        rows.append([H, *(betas[k] * identity if j == k else 0 * identity for j in range(count))])
    noise = xp.concat([total @ H, *([-H] * count)], axis=0)
    return UpdateRule(_blocks(xp, rows), noise, *_start(xp, identity, count))


def heavy_ball_rule(
    hessian: AnyArray,
    preconditioner: AnyArray | None,
    nominal_step: AnyArray,
    momentum: AnyArray = 0.9,
) -> UpdateRule:
    """v' = beta v + g, phi' = phi - (alpha I + P) v': Polyak's heavy ball.

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `update_matrix`.
    momentum : scalar
        beta.

    Returns
    -------
    UpdateRule

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import heavy_ball_rule, spectral_radius
    >>> rule = heavy_ball_rule(np.eye(1), None, 2 * (1 + 0.9), 0.9)  # x = 2 (1 + beta)
    >>> bool(np.isclose(spectral_radius(rule.joint_matrix), 1.0))
    True
    """
    _, (H, _, M, beta) = _arrays(hessian, preconditioner, nominal_step, momentum)
    return aggregated_momentum_rule(H, [M], [beta])


def exponential_average_rule(
    hessian: AnyArray,
    preconditioner: AnyArray | None,
    nominal_step: AnyArray,
    momentum: AnyArray = 0.9,
) -> UpdateRule:
    """m' = beta m + (1 - beta) g, phi' = phi - (alpha I + P) m', with m = (1 - beta) v.

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `update_matrix`.
    momentum : scalar
        beta.

    Returns
    -------
    UpdateRule

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import exponential_average_rule, heavy_ball_rule
    >>> H = np.diag([1.0, 3.0])
    >>> average = exponential_average_rule(H, None, 1.0, 0.5)  # heavy ball at half the step
    >>> bool(np.array_equal(average.joint_matrix, heavy_ball_rule(H, None, 0.5, 0.5).joint_matrix))
    True
    """
    _, (H, _, M, beta) = _arrays(hessian, preconditioner, nominal_step, momentum)
    return aggregated_momentum_rule(H, [(1 - beta) * M], [beta])


def aggmo_rule(
    hessian: AnyArray,
    preconditioner: AnyArray | None,
    nominal_step: AnyArray,
    dampings: Sequence[AnyArray] = (0.0, 0.9, 0.99),
) -> UpdateRule:
    """v_k' = beta_k v_k + g, phi' = phi - (alpha I + P) mean_k v_k': AggMo.

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `update_matrix`.
    dampings : sequence of scalars
        beta_k.

    Returns
    -------
    UpdateRule

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import aggmo_rule, spectral_radius
    >>> limit = 2 * 3 / (1 / 1 + 1 / 1.9 + 1 / 1.99)
    >>> rule = aggmo_rule(np.eye(1), None, limit)
    >>> round(limit, 5), bool(np.isclose(spectral_radius(rule.joint_matrix), 1.0))
    (2.95737, True)
    """
    _, (H, _, M) = _arrays(hessian, preconditioner, nominal_step)
    return aggregated_momentum_rule(H, [M / len(dampings)] * len(dampings), list(dampings))


def nesterov_rule(
    hessian: AnyArray,
    preconditioner: AnyArray | None,
    nominal_step: AnyArray,
    momentum: AnyArray = 0.9,
    *,
    lookahead: bool = False,
) -> UpdateRule:
    """v' = beta v + g, phi' = phi - M (g + beta v'): Nesterov's momentum, M = alpha I + P.

    With lookahead the gradient is taken at phi - beta M v and phi' = phi - M v'. Both forms have
    one characteristic polynomial and are stable below 2 (1 + beta)/(1 + 2 beta).

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `update_matrix`.
    momentum : scalar
        beta.
    lookahead : bool
        Which of the two forms.

    Returns
    -------
    UpdateRule

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import nesterov_rule
    >>> H = np.diag([1.0, 3.0])
    >>> forms = [nesterov_rule(H, None, 0.3, 0.9, lookahead=b).joint_matrix for b in (False, True)]
    >>> bool(np.allclose(np.poly(forms[0]), np.poly(forms[1])))
    True
    """
    xp, (H, identity, M, beta) = _arrays(hessian, preconditioner, nominal_step, momentum)
    if lookahead:
        velocity = [H, beta * (identity - H @ M)]
        first = [identity - M @ H, -M @ velocity[1]]
        noise = [M @ H, -H]
    else:
        velocity = [H, beta * identity]
        first = [identity - (1 + beta) * M @ H, -(beta**2) * M]
        noise = [(1 + beta) * M @ H, -H]
    joint = _blocks(xp, [first, velocity])
    return UpdateRule(joint, xp.concat(noise, axis=0), *_start(xp, identity, 1))


def frozen_adam_rule(
    hessian: AnyArray,
    preconditioner: AnyArray | None,
    nominal_step: AnyArray,
    momentum: AnyArray = 0.9,
    weight_decay: AnyArray = 0.0,
) -> UpdateRule:
    """m' = b1 m + (1-b1) g, phi' = (1 - lr w) phi - lr D m': Adam with its scale D frozen.

    Parameters
    ----------
    hessian : (N, N) array
        H.
    preconditioner : (N, N) array or None
        D, such as diag(1/(sqrt(v) + eps)); None means I.
    nominal_step : scalar
        lr, the learning rate.
    momentum : scalar
        b1.
    weight_decay : scalar
        w, decoupled as in AdamW.

    Returns
    -------
    UpdateRule

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import frozen_adam_rule, spectral_radius
    >>> rule = frozen_adam_rule(np.eye(1), None, 38.0)  # 2 (1 + b1)/(1 - b1) at b1 = 0.9
    >>> bool(np.isclose(spectral_radius(rule.joint_matrix), 1.0))
    True
    """
    xp, (H, D, lr, b1, w) = common(hessian, preconditioner, nominal_step, momentum, weight_decay)
    identity = xp.eye(H.shape[0], dtype=H.dtype)
    D = identity if D is None else D
    first = [(1 - lr * w) * identity - lr * (1 - b1) * D @ H, -lr * b1 * D]
    joint = _blocks(xp, [first, [(1 - b1) * H, b1 * identity]])
    noise = xp.concat([lr * (1 - b1) * D @ H, -(1 - b1) * H], axis=0)
    return UpdateRule(joint, noise, *_start(xp, identity, 1))


def nominal_momentum_rule(
    hessian: AnyArray,
    preconditioner: AnyArray | None,
    nominal_step: AnyArray,
    momentum: AnyArray = 0.9,
) -> UpdateRule:
    """v' = beta v + g, phi' = phi - alpha v' - P g: momentum in the nominal term alone.

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `update_matrix`; P acts on the raw gradient.
    momentum : scalar
        beta.

    Returns
    -------
    UpdateRule

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import nominal_momentum_rule, spectral_radius
    >>> beta, P = 0.9, 0.5 * np.eye(1)
    >>> rule = nominal_momentum_rule(np.eye(1), P, 1.5 * (1 + beta), beta)
    >>> bool(np.isclose(spectral_radius(rule.joint_matrix), 1.0))  # alpha/(1+beta) + p = 2/h
    True
    """
    xp, (H, identity, M, alpha, beta) = _arrays(
        hessian, preconditioner, nominal_step, nominal_step, momentum
    )
    joint = _blocks(xp, [[identity - M @ H, -alpha * beta * identity], [H, beta * identity]])
    return UpdateRule(joint, xp.concat([M @ H, -H], axis=0), *_start(xp, identity, 1))


def delayed_rule(
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: AnyArray, delay: int = 1
) -> UpdateRule:
    """phi_{t+1} = phi_t - (alpha I + P) g_{t-tau}: the gradient is tau steps old.

    The gradient of phi_{t-tau} with the noise of step t; before the start phi is phi_0.

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `update_matrix`.
    delay : int
        tau >= 0.

    Returns
    -------
    UpdateRule
        The state is (phi_t, phi_{t-1}, ..., phi_{t-tau}).

    Raises
    ------
    ValueError
        If the delay is not a nonnegative integer.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import delayed_rule, spectral_radius
    >>> rule = delayed_rule(np.eye(1), None, 2 * np.sin(np.pi / 10), 2)
    >>> bool(np.isclose(spectral_radius(rule.joint_matrix), 1.0))
    True
    """
    tau = checked_delay(delay)
    xp, (H, identity, M) = _arrays(hessian, preconditioner, nominal_step)
    zero = 0 * identity
    rows = [[identity, *([zero] * tau)]]
    rows[0][tau] = rows[0][tau] - M @ H
    for k in range(tau):
        rows.append([identity if j == k else zero for j in range(tau + 1)])
    noise = xp.concat([M @ H, *([zero] * tau)], axis=0)
    readout = xp.concat([identity, *([zero] * tau)], axis=1)
    return UpdateRule(_blocks(xp, rows), noise, readout, xp.concat([identity] * (tau + 1), axis=0))


def averaged_rule(rule: UpdateRule, averaging: AnyArray) -> UpdateRule:
    """mean' = gamma mean + (1 - gamma) phi', read out in place of phi: iterate averaging.

    Adds the eigenvalue gamma, N times, to those of the rule.

    Parameters
    ----------
    rule : UpdateRule
        Any rule.
    averaging : scalar
        gamma.

    Returns
    -------
    UpdateRule
        The state is (x, mean).

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import averaged_rule, plain_rule
    >>> rule = averaged_rule(plain_rule(np.eye(1), None, 0.5), 0.75)
    >>> sorted(np.linalg.eigvals(rule.joint_matrix).real.tolist())
    [0.5, 0.75]
    """
    xp, (F, B, C, E, gamma) = common(*rule, averaging)
    identity = xp.eye(C.shape[0], dtype=C.dtype)
    corner = xp.zeros((F.shape[0], C.shape[0]), dtype=F.dtype)
    joint = _blocks(xp, [[F, corner], [(1 - gamma) * C @ F, gamma * identity]])
    noise = xp.concat([B, (1 - gamma) * C @ B], axis=0)
    return UpdateRule(
        joint, noise, xp.concat([0 * C, identity], axis=1), xp.concat([E, identity], axis=0)
    )
