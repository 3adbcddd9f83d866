"""Mean-square stability where the Hessian itself is random: multiplicative minibatch noise.

Letters as in `nqm.rules.linear`; B is the batch size. For a Gaussian minibatch
E[H_t X H_t] = (1 + 1/B) H X H + tr(H X) H / B, so the second moment obeys
X' = T(X) = A X A^T + (1/B) M [H X H + tr(H X) H] M^T, a positive operator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.sparse.linalg import ArpackError, LinearOperator, eigs

from nqm import validate
from nqm.namespace import AnyArray, common
from nqm.problem import Problem, pose
from nqm.validate import EPS, Array


def mean_square_matrix(update_matrices: AnyArray, weights: AnyArray | None = None) -> AnyArray:
    """E[A_t kron A_t]: mean-square stable iff its spectral radius is below 1.

    Parameters
    ----------
    update_matrices : (S, N, N) array
        The A that may occur.
    weights : (S,) array, optional
        Their probabilities; default equal.

    Returns
    -------
    (N^2, N^2) array

    Examples
    --------
    Each A alone is stable or not, the mean is stable, the second moment grows:

    >>> import numpy as np
    >>> from nqm import mean_square_matrix, spectral_radius
    >>> A = np.array([[[1.5]], [[-0.5]]])
    >>> float(spectral_radius(mean_square_matrix(A)))
    1.25
    """
    xp, (A, w) = common(update_matrices, weights)
    count, n = A.shape[0], A.shape[1]
    w = xp.full(count, 1 / count, dtype=A.dtype) if w is None else w
    weighted = A * w[:, None, None]
    # (A kron A)[(i, k), (j, l)] = A_ij A_kl, summed over the samples.
    products = weighted[:, :, None, :, None] * A[:, None, :, None, :]
    return xp.reshape(xp.sum(products, axis=0), (n * n, n * n))


def second_moment_step(
    hessian: AnyArray, step_matrix: AnyArray, batch_size: AnyArray, second_moment: AnyArray
) -> AnyArray:
    """T(X) = A X A^T + (1/B) M [H X H + tr(H X) H] M^T, the second moment one step later.

    Parameters
    ----------
    hessian, step_matrix, second_moment : (N, N) arrays
        H, M = alpha I + P, and X = E phi phi^T.
    batch_size : scalar
        B.

    Returns
    -------
    (N, N) array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import second_moment_step
    >>> one = np.eye(1)
    >>> second_moment_step(one, 0.5 * one, 4, one).tolist()  # (1-x)^2 + 2 x^2 / B, x = 1/2
    [[0.375]]
    """
    xp, (H, M, B, X) = common(hessian, step_matrix, batch_size, second_moment)
    A = xp.eye(H.shape[0], dtype=H.dtype) - M @ H
    spread = H @ X @ H + xp.sum(H * X.T) * H
    return A @ X @ A.T + M @ spread @ M.T / B


@dataclass(frozen=True)
class MeanSquare:
    """The spectral radius of the second-moment map, enclosed: lower <= rho(T) <= upper.

    Attributes
    ----------
    batch_size : float
        B.
    spectral_radius, lower, upper : float
        rho(T) and its enclosure.
    step_limit : float
        For P = 0 the largest mean-square stable alpha; NaN otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import minibatch_mean_square
    >>> minibatch_mean_square(np.eye(1), None, 0.5, 4).verdict
    'stable'
    """

    batch_size: float
    spectral_radius: float
    lower: float
    upper: float
    step_limit: float

    @property
    def verdict(self) -> str:
        """'stable', 'unstable' or 'marginal'."""
        if self.upper < 1.0:
            return "stable"
        return "unstable" if self.lower > 1.0 else "marginal"


def _batch_size(value: float) -> float:
    batch = validate.scalar("batch_size", value)
    if not batch > 0:
        raise ValueError(f"batch_size must be positive; it is {batch:g}.")
    return batch


def minibatch_step_limit(hessian: AnyArray, batch_size: float) -> float:
    """The alpha with sum_i alpha h_i/(B (2 - alpha h_i (1+1/B))) = 1, alpha h_max (1+1/B) < 2.

    Below it phi' = phi - alpha H_t phi is mean-square stable for Gaussian minibatches of size B.

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive semidefinite.
    batch_size : float
        B > 0.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        For malformed arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import minibatch_step_limit
    >>> round(minibatch_step_limit(np.diag([1, 0.5, 0.1, 0.1]), 4), 6)
    1.289315
    """
    B = _batch_size(batch_size)
    h = np.linalg.eigvalsh(validate.semidefinite("hessian", hessian))
    return _step_limit(h[h > validate.rounding(h)], B)


def _step_limit(h: Array, B: float) -> float:
    """`minibatch_step_limit` from the positive eigenvalues of H, ascending."""
    pole = 2 / (float(h[-1]) * (1 + 1 / B))

    def excess(fraction: float) -> float:
        # The condition times (1 - fraction), continuous up to the pole at fraction = 1.
        share = h / h[-1]
        terms = fraction * share / (B + 1) / (1 - fraction * share)
        return float(np.sum(terms)) - 1.0

    high = 1.0 - 1.0 / (2 * (B + 1) * h.size + 2)
    while excess(high) < 0:
        high = (1 + high) / 2
    return pole * float(brentq(excess, 0.0, high, xtol=1e-15))


def minibatch_mean_square(
    hessian: AnyArray,
    preconditioner: AnyArray | None,
    nominal_step: float,
    batch_size: float,
) -> MeanSquare:
    """rho(T) of X' = A X A^T + (1/B) M [H X H + tr(H X) H] M^T, with an enclosure.

    T maps positive definite matrices to such, so any X > 0 encloses its spectral radius between
    the extreme eigenvalues of X^-1 T(X) (Collatz and Wielandt). X is the dominant eigenvector.

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite.
    preconditioner : (N, N) array or None
        P, any real matrix.
    nominal_step : float
        alpha.
    batch_size : float
        B > 0.

    Returns
    -------
    MeanSquare

    Raises
    ------
    ValueError
        For malformed arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import minibatch_mean_square
    >>> H = np.diag([1, 0.5, 0.1, 0.1])
    >>> [minibatch_mean_square(H, None, a, 4).verdict for a in (1.28, 1.30)]
    ['stable', 'unstable']
    """
    return posed_mean_square(pose(hessian, preconditioner, nominal_step), batch_size)


def posed_mean_square(problem: Problem, batch_size: float) -> MeanSquare:
    """`minibatch_mean_square` of a validated problem."""
    H, P, B = problem.model.hessian, problem.given, _batch_size(batch_size)
    n = problem.dimension
    # In the coordinates of the loss, with the range of H alone: H becomes I and M becomes L^T M L.
    h, vectors = np.linalg.eigh(H)
    inside = h > validate.rounding(h)
    limit = float("nan") if P is not None and np.any(P) else _step_limit(h[inside], B)
    M = problem.alpha * np.eye(n) if P is None else P + problem.alpha * np.eye(n)
    root = vectors[:, inside] * np.sqrt(h[inside])
    G = root.T @ M @ root
    lower, radius, upper = _collatz_wielandt(G, B, _dominant(G, B))
    return MeanSquare(
        batch_size=B, spectral_radius=radius, lower=lower, upper=upper, step_limit=limit
    )


def _dominant(G: Array, batch_size: float) -> Array:
    """The dominant eigenvector of T, made positive definite."""
    n = G.shape[0]
    identity = np.eye(n)

    def step(x: Array) -> Array:
        result: Array = second_moment_step(identity, G, batch_size, x.reshape(n, n)).reshape(-1)
        return result

    X: Array = identity
    for _ in range(50):
        X = step(X.reshape(-1)).reshape(n, n) + EPS * np.trace(X) * identity
        X = X / np.trace(X)
    if n > 1:
        operator = LinearOperator((n * n, n * n), matvec=step, dtype=np.float64)
        try:
            found = eigs(operator, k=1, v0=X.reshape(-1), which="LM", maxiter=2000)[1][:, 0]
        except ArpackError:
            return X
        V = (found / found[np.argmax(np.abs(found))]).real.reshape(n, n)
        V = V * np.sign(np.trace(V)) / 2
        V = V + V.T
        values = np.linalg.eigvalsh(V)
        if values[-1] > 0 and values[0] > -1e-6 * values[-1]:
            X = V + max(0.0, -2 * float(values[0])) * identity
    # T adds (1/B) |L^T phi|^2 M M^T to X: a small multiple of I keeps X invertible, smaller than
    # its least eigenvalue where that is more than rounding, or the bounds would be those of I.
    least, tiny = float(np.linalg.eigvalsh(X)[0]), 1e-12 * float(np.trace(X))
    return X + (1e-6 * least if least > tiny else tiny) * identity


def _collatz_wielandt(G: Array, batch_size: float, X: Array) -> tuple[float, float, float]:
    """Lower bound, estimate and upper bound of rho(T) from one X > 0."""
    n = G.shape[0]
    image = second_moment_step(np.eye(n), G, batch_size, X)
    values, vectors = np.linalg.eigh(X)
    whiten = vectors / np.sqrt(values)
    ratios = np.linalg.eigvalsh(whiten.T @ image @ whiten)
    slack = 8 * n * EPS * float(np.max(np.abs(ratios)) + 1) * float(values[-1] / values[0])
    weight = float(np.trace(image) / np.trace(X))
    low, high = float(ratios[0]) - slack, float(ratios[-1]) + slack
    return max(low, 0.0), min(max(weight, low), high), high
