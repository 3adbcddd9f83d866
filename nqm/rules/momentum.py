"""Update rules with momentum: heavy ball, Nesterov, AggMo, frozen Adam.

Letters as in `nqm.rules.linear`; g = H (phi - xi) is the gradient, beta a momentum. What each
rule of the aggregated kind has as M_k and beta_k stands beside it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from nqm.namespace import AnyArray, common
from nqm.rules.hidden_state import arrays, blocks, start
from nqm.rules.linear import UpdateRule


class MomentumFamily(NamedTuple):
    """The M_k and beta_k with which `aggregated_momentum_rule` is the rule in question."""

    step_matrices: list[AnyArray]
    dampings: list[AnyArray]


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
    return UpdateRule(blocks(xp, rows), noise, *start(xp, identity, count))


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
    family = heavy_ball_family(hessian, preconditioner, nominal_step, momentum)
    return aggregated_momentum_rule(hessian, *family)


def heavy_ball_family(
    hessian: AnyArray,
    preconditioner: AnyArray | None,
    nominal_step: AnyArray,
    momentum: AnyArray = 0.9,
) -> MomentumFamily:
    """The one M_k of heavy ball, alpha I + P."""
    _, (_, _, M, beta) = arrays(hessian, preconditioner, nominal_step, momentum)
    return MomentumFamily(step_matrices=[M], dampings=[beta])


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
    family = exponential_average_family(hessian, preconditioner, nominal_step, momentum)
    return aggregated_momentum_rule(hessian, *family)


def exponential_average_family(
    hessian: AnyArray,
    preconditioner: AnyArray | None,
    nominal_step: AnyArray,
    momentum: AnyArray = 0.9,
) -> MomentumFamily:
    """The one M_k of an exponential average, (1 - beta) (alpha I + P)."""
    _, (_, _, M, beta) = arrays(hessian, preconditioner, nominal_step, momentum)
    return MomentumFamily(step_matrices=[(1 - beta) * M], dampings=[beta])


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
    family = aggmo_family(hessian, preconditioner, nominal_step, dampings)
    return aggregated_momentum_rule(hessian, *family)


def aggmo_family(
    hessian: AnyArray,
    preconditioner: AnyArray | None,
    nominal_step: AnyArray,
    dampings: Sequence[AnyArray] = (0.0, 0.9, 0.99),
) -> MomentumFamily:
    """The M_k of AggMo, each (alpha I + P)/K."""
    _, (_, _, M) = arrays(hessian, preconditioner, nominal_step)
    count = len(dampings)
    return MomentumFamily(step_matrices=[M / count] * count, dampings=list(dampings))


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
    xp, (H, identity, M, beta) = arrays(hessian, preconditioner, nominal_step, momentum)
    if lookahead:
        velocity = [H, beta * (identity - H @ M)]
        first = [identity - M @ H, -M @ velocity[1]]
        noise = [M @ H, -H]
    else:
        velocity = [H, beta * identity]
        first = [identity - (1 + beta) * M @ H, -(beta**2) * M]
        noise = [(1 + beta) * M @ H, -H]
    joint = blocks(xp, [first, velocity])
    return UpdateRule(joint, xp.concat(noise, axis=0), *start(xp, identity, 1))


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
    joint = blocks(xp, [first, [(1 - b1) * H, b1 * identity]])
    noise = xp.concat([lr * (1 - b1) * D @ H, -(1 - b1) * H], axis=0)
    return UpdateRule(joint, noise, *start(xp, identity, 1))


def frozen_adam_family(
    hessian: AnyArray,
    preconditioner: AnyArray | None,
    nominal_step: AnyArray,
    momentum: AnyArray = 0.9,
    weight_decay: float = 0.0,
) -> MomentumFamily | None:
    """The one M_k of frozen Adam, (1 - b1) lr D; None with weight decay."""
    if weight_decay:
        return None
    xp, (H, D, lr, b1) = common(hessian, preconditioner, nominal_step, momentum)
    D = xp.eye(H.shape[0], dtype=H.dtype) if D is None else D
    return MomentumFamily(step_matrices=[(1 - b1) * lr * D], dampings=[b1])


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
    xp, (H, identity, M, alpha, beta) = arrays(
        hessian, preconditioner, nominal_step, nominal_step, momentum
    )
    joint = blocks(xp, [[identity - M @ H, -alpha * beta * identity], [H, beta * identity]])
    return UpdateRule(joint, xp.concat([M @ H, -H], axis=0), *start(xp, identity, 1))


def nominal_momentum_family(
    hessian: AnyArray,
    preconditioner: AnyArray | None,
    nominal_step: AnyArray,
    momentum: AnyArray = 0.9,
) -> MomentumFamily:
    """alpha I with beta, and P without momentum."""
    _, (_, identity, _, alpha, beta) = arrays(
        hessian, preconditioner, nominal_step, nominal_step, momentum
    )
    P = 0 * identity if preconditioner is None else preconditioner
    return MomentumFamily(step_matrices=[alpha * identity, P], dampings=[beta, 0.0])
