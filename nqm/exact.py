"""The exact set of stable nominal steps."""

from typing import NamedTuple

from nqm.namespace import AnyArray, common


class Interval(NamedTuple):
    """The closed interval lower <= alpha <= upper; empty where lower > upper.

    Attributes
    ----------
    lower, upper : scalar array
        The ends, where rho = 1.

    Examples
    --------
    >>> from nqm import Interval
    >>> Interval(0.0, 2.0).upper
    2.0
    """

    lower: AnyArray
    upper: AnyArray


def nominal_step_interval(
    hessian: AnyArray, preconditioner: AnyArray | None = None, *, limit: AnyArray = 2.0
) -> Interval:
    """[-lambda_min(P), lambda_min(c H^-1 - P)]: all alpha with rho(A) <= 1, P symmetric, c = 2.

    rho <= 1 iff 0 <= alpha I + P <= 2 H^-1 in the Loewner order. The upper end is found as
    alpha_0 + 1/lambda_max(K^-1/2 L^T L K^-1/2) with K = c I - L^T (alpha_0 I + P) L >= (c/2) I, so
    H = L L^T is never inverted. The interval is empty where the ends come in the wrong order.

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite.
    preconditioner : (N, N) array or None
        P, symmetric; None means zero.
    limit : scalar
        c, what the eigenvalues of H^1/2 (alpha I + P) H^1/2 must stay below: 2 for the plain
        rule, 2 (1 + beta) for heavy ball, ... (`nqm.momentum`).

    Returns
    -------
    Interval

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import nominal_step_interval, symmetric_eigenvalues
    >>> H, P = np.diag([1.0, 0.01]), np.diag([0.0, 50.0])  # Theorem 1 certifies no step here
    >>> low, high = nominal_step_interval(H, P)
    >>> bool(np.allclose([low, high], [0.0, 2.0]))
    True
    >>> bool(np.isclose(abs(symmetric_eigenvalues(H, P, high)).max(), 1.0))
    True
    """
    xp, (H, P, c) = common(hessian, preconditioner, limit)
    if P is None:
        h = xp.linalg.eigvalsh(H)
        return Interval(xp.zeros_like(h[-1]), c / h[-1])
    h_max = xp.linalg.eigvalsh(H)[-1]
    p = xp.linalg.eigvalsh(P)
    factor = xp.linalg.cholesky(H)
    start = c / (2 * h_max) - p[-1]
    identity = xp.eye(H.shape[0], dtype=H.dtype)
    inner = c * identity - factor.T @ (start * identity + P) @ factor
    root = xp.linalg.cholesky((inner + inner.T) / 2)
    half = xp.linalg.solve(root, factor.T)
    return Interval(-p[0], start + 1 / xp.linalg.eigvalsh(half @ half.T)[-1])
