"""Update rules with hidden state that is no momentum, and how a joint matrix is put together.

Letters as in `nqm.rules.linear`; g = H (phi - xi) is the gradient.
"""

from typing import Any

from nqm.conditions.momentum import checked_delay
from nqm.namespace import AnyArray, Namespace, common
from nqm.rules.linear import UpdateRule

LARGEST_STATE = 2**14
"""Most rows of a joint matrix, which then takes 2 GB."""


def blocks(xp: Namespace, rows: list[list[AnyArray]]) -> AnyArray:
    """The matrix of these blocks, unless it is too large."""
    size = sum(row[0].shape[0] for row in rows)
    if size > LARGEST_STATE:
        raise ValueError(
            f"the rule must have a state of at most {LARGEST_STATE} numbers; it has {size}. Take "
            "less memory, or a smaller hessian."
        )
    return xp.concat([xp.concat(row, axis=1) for row in rows], axis=0)


def start(xp: Namespace, identity: AnyArray, hidden: int) -> tuple[AnyArray, AnyArray]:
    """Readout and lift of a state whose first block is phi and whose hidden blocks start at 0."""
    zeros = xp.zeros((identity.shape[0], hidden * identity.shape[0]), dtype=identity.dtype)
    readout = xp.concat([identity, zeros], axis=1)
    return readout, readout.T


def arrays(
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: AnyArray, *more: Any
) -> tuple[Namespace, list[AnyArray]]:
    """Namespace and [H, I, M, *more]."""
    xp, (H, P, alpha, *rest) = common(hessian, preconditioner, nominal_step, *more)
    identity = xp.eye(H.shape[0], dtype=H.dtype)
    M = alpha * identity if P is None else alpha * identity + P
    return xp, [H, identity, M, *rest]


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
    xp, (H, identity, M) = arrays(hessian, preconditioner, nominal_step)
    zero = 0 * identity
    rows = [[identity, *([zero] * tau)]]
    rows[0][tau] = rows[0][tau] - M @ H
    for k in range(tau):
        rows.append([identity if j == k else zero for j in range(tau + 1)])
    noise = xp.concat([M @ H, *([zero] * tau)], axis=0)
    readout = xp.concat([identity, *([zero] * tau)], axis=1)
    return UpdateRule(blocks(xp, rows), noise, readout, xp.concat([identity] * (tau + 1), axis=0))


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
    joint = blocks(xp, [[F, corner], [(1 - gamma) * C @ F, gamma * identity]])
    noise = xp.concat([B, (1 - gamma) * C @ B], axis=0)
    return UpdateRule(
        joint, noise, xp.concat([0 * C, identity], axis=1), xp.concat([E, identity], axis=0)
    )
