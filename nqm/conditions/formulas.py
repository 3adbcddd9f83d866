"""The closed forms behind the conditions, for NumPy and inside JAX's `jit`, `vmap` and `grad`.

Letters as in `nqm.rules.linear`; h = lambda_max(H). The conditions beside this module check
arguments and assumptions around these.
"""

from collections.abc import Sequence

from nqm.namespace import AnyArray, common
from nqm.spectra.eigenvalues import loss_norm_matrix


def theorem1_interval(hessian: AnyArray, preconditioner: AnyArray | None) -> AnyArray:
    """[-lambda_min(P), 2/lambda_max(H) - lambda_max(P)]: Theorem 1's steps, (9) and (10).

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite.
    preconditioner : (N, N) array or None
        P, symmetric; None means zero.

    Returns
    -------
    (2,) array
        Lower and upper end; never longer than the exact interval, and up to a factor kappa(H)
        shorter.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import theorem1_interval
    >>> theorem1_interval(np.diag([1.0, 0.01]), np.diag([0.0, 50.0])).tolist()  # empty
    [-0.0, -48.0]
    """
    xp, (H, P) = common(hessian, preconditioner)
    h = xp.linalg.eigvalsh(H)[-1]
    if P is None:
        return xp.stack([xp.zeros_like(h), 2 / h])
    p = xp.linalg.eigvalsh(P)
    return xp.stack([-p[0], 2 / h - p[-1]])


def lemma2_interval(hessian: AnyArray, preconditioner: AnyArray | None) -> AnyArray:
    """[-lambda_min(P), 2/sqrt(lambda_max(H)) - lambda_max(P)]: Lemma 2's steps, (9) and (13).

    Parameters
    ----------
    hessian, preconditioner
        As for `theorem1_interval`.

    Returns
    -------
    (2,) array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import lemma2_interval
    >>> lemma2_interval(np.diag([4.0, 16.0]), np.diag([0.0, 0.25])).tolist()
    [-0.0, 0.25]
    """
    xp, (H, P) = common(hessian, preconditioner)
    h = xp.linalg.eigvalsh(H)[-1]
    p = xp.linalg.eigvalsh(0 * H if P is None else P)
    return xp.stack([-p[0], 2 / xp.sqrt(h) - p[-1]])


def lemma3_bounds(
    hessian: AnyArray, nominal_step: AnyArray, disturbance_bound: AnyArray
) -> AnyArray:
    """[-alpha/max dbar, (2/lambda_max(H) - alpha)/max dbar]: (16) and (17) on the entries of P~.

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite.
    nominal_step : scalar
        alpha.
    disturbance_bound : (N,) array
        dbar > 0 of (15).

    Returns
    -------
    (2,) array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import lemma3_bounds
    >>> lemma3_bounds(np.diag([1.0, 2.0]), 0.25, np.array([1.0, 0.5])).tolist()
    [-0.25, 0.75]
    """
    xp, (H, alpha, d) = common(hessian, nominal_step, disturbance_bound)
    top, worst = 2 / xp.linalg.eigvalsh(H)[-1], xp.max(d)
    return xp.stack([-alpha / worst, (top - alpha) / worst])


def theorem1_prime_norm(
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: AnyArray
) -> AnyArray:
    """|P - (1/h - alpha) I|_2, which Theorem 1' compares with 1/h.

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite.
    preconditioner : (N, N) array or None
        P, any real matrix.
    nominal_step : scalar
        alpha.

    Returns
    -------
    scalar array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import theorem1_prime_norm
    >>> float(theorem1_prime_norm(np.diag([1.0, 2.0]), None, 0.75))  # |0.75 - 1/2|
    0.25
    """
    xp, (H, P, alpha) = common(hessian, preconditioner, nominal_step)
    shift = alpha - 1 / xp.linalg.eigvalsh(H)[-1]
    shifted = shift * xp.eye(H.shape[0], dtype=H.dtype)
    return xp.max(xp.linalg.svdvals(shifted if P is None else P + shifted))


def descent_norm(
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: AnyArray
) -> AnyArray:
    """|A|_H = |J|_2: at most 1 iff without noise the loss never rises.

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `theorem1_prime_norm`.

    Returns
    -------
    scalar array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import descent_norm
    >>> float(descent_norm(np.diag([1.0, 4.0]), None, 0.5))
    1.0
    """
    xp, (J,) = common(loss_norm_matrix(hessian, preconditioner, nominal_step))
    return xp.max(xp.linalg.svdvals(J))


def momentum_eigenvalues(
    hessian: AnyArray, step_matrices: Sequence[AnyArray], dampings: Sequence[AnyArray]
) -> AnyArray:
    """The eigenvalues of H^1/2 sum_k M_k/(1 + beta_k) H^1/2, which must lie in (0, 2).

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite.
    step_matrices : sequence of K (N, N) arrays
        M_k, symmetric.
    dampings : sequence of K scalars
        beta_k.

    Returns
    -------
    (N,) array, ascending

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import momentum_eigenvalues
    >>> momentum_eigenvalues(np.diag([1.0, 2.0]), [1.5 * np.eye(2)], [0.5]).round(12).tolist()
    [1.0, 2.0]
    """
    count = len(dampings)
    xp, (H, *rest) = common(hessian, *step_matrices, *dampings)
    pairs = zip(rest[:count], rest[count:], strict=True)
    total = sum((M / (1 + beta) for M, beta in pairs), 0 * H)
    factor = xp.linalg.cholesky(H)
    inner = factor.T @ total @ factor
    return xp.linalg.eigvalsh((inner + inner.T) / 2)
