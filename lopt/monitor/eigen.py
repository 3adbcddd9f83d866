"""Matrix-free eigenvalues: a Krylov factorization inside `jit`, its small eigenproblem on the host.

Written here rather than taken from matfree (0.6.3), whose `hessenberg` divides by the norm of the
residual without a test for breakdown, leaves the second Gram-Schmidt pass out of H, and returns
eigenvalues without a residual. All three matter here: update maps have few distinct eigenvalues.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax import Array

__all__ = ["EigenEstimate", "KrylovFactorization", "arnoldi", "ritz_values"]

Operator = Callable[[Array], Array]

ROUNDING_UNITS = 16.0


class KrylovFactorization(NamedTuple):
    """A Q^T = Q^T H + h q e_m^T, Q Q^T = I: the result of `arnoldi`, a pytree of arrays.

    Attributes
    ----------
    basis : Array, shape (m, n)
        Q, orthonormal rows; the rows from `size` on are zero.
    projection : Array, shape (m, m)
        H = Q A Q^T, upper Hessenberg; zero from `size` on.
    coupling : Array, shape ()
        h >= 0, the norm of the residual; zero when the Krylov space is invariant.
    following : Array, shape (n,)
        q, the unit vector that would come next; zero when the space is invariant.
    size : Array, shape ()
        The dimension of the space, m unless it became invariant sooner.
    """

    basis: Array
    projection: Array
    coupling: Array
    following: Array
    size: Array


def arnoldi(operator: Operator, start: Array, vectors: int) -> KrylovFactorization:
    """A Q^T = Q^T H + h q e_m^T by Arnoldi's method, every vector orthogonalized three times.

    Exactly `vectors` products are taken, so the function can be jitted and vmapped. Gram-Schmidt
    runs twice on the product ("twice is enough" unless it lies numerically inside the space) and
    once on the normalized remainder, whose rounding errors the division has blown up. A remainder
    below the rounding error of the product ends the process: the space is invariant, the
    remaining rows are zero, and the eigenvalues of H are eigenvalues of A. For a symmetric
    operator this is Lanczos with full reorthogonalization, at the same cost.

    Parameters
    ----------
    operator : callable, (n,) -> (n,)
        v -> A v, linear.
    start : Array, shape (n,)
        The first vector, not zero.
    vectors : int
        m, the number of products; at most n are of use.

    Returns
    -------
    KrylovFactorization

    References
    ----------
    .. [1] Arnoldi, Quart. Appl. Math. 9 (1951) 17-29.
    .. [2] Giraud, Langou, Rozloznik, van den Eshof, Numer. Math. 101 (2005) 87-100.

    Examples
    --------
    >>> A = jnp.array([[0.0, 1.0], [-1.0, 0.0]])
    >>> f = arnoldi(lambda v: A @ v, jnp.array([3.0, 4.0]), 2)
    >>> bool(jnp.allclose(A @ f.basis.T, f.basis.T @ f.projection, atol=1e-6))
    True
    """
    dimension, dtype = start.shape[0], start.dtype
    unit = jnp.finfo(dtype).eps

    def expand(index: Array, carry: tuple) -> tuple:
        basis, columns, vector, size, scale = carry
        basis = basis.at[index].set(vector)
        product = operator(vector)
        scale = jnp.maximum(scale, jnp.linalg.norm(product))
        remainder, first = _orthogonalize(product, basis)
        remainder, second = _orthogonalize(remainder, basis)
        length = jnp.linalg.norm(remainder)
        # A non-finite product must stay visible, hence the negated comparison.
        alive = ~(length <= ROUNDING_UNITS * unit * scale) & (size == index + 1)
        vector = _normalize(remainder, length)
        vector = _orthogonalize(vector, basis)[0]
        vector = _normalize(vector, jnp.linalg.norm(vector))
        column = (first + second).at[index + 1].set(jnp.where(alive, length, 0.0))
        columns = columns.at[:, index].set(jnp.where(size > index, column[: vectors + 1], 0.0))
        vector = jnp.where(alive, vector, 0.0)
        return basis, columns, vector, size + alive, scale

    first = _normalize(start, jnp.linalg.norm(start))
    carry = (
        jnp.zeros((vectors + 1, dimension), dtype),
        jnp.zeros((vectors + 1, vectors), dtype),
        first,
        jnp.array(1),
        jnp.array(0.0, dtype),
    )
    basis, columns, vector, size, _ = jax.lax.fori_loop(0, vectors, expand, carry)
    return KrylovFactorization(
        basis=basis[:vectors],
        projection=columns[:vectors],
        coupling=columns[vectors, vectors - 1],
        following=vector,
        size=jnp.minimum(size, vectors),
    )


def _orthogonalize(vector: Array, basis: Array) -> tuple[Array, Array]:
    """The part of `vector` orthogonal to the rows of `basis`, and its coefficients along them."""
    coefficients = jnp.matmul(basis, vector, precision=jax.lax.Precision.HIGHEST)
    along = jnp.matmul(coefficients, basis, precision=jax.lax.Precision.HIGHEST)
    return vector - along, coefficients


def _normalize(vector: Array, length: Array) -> Array:
    """`vector / length`, and zero where the length is zero."""
    return vector / jnp.where(length == 0, 1.0, length)


@dataclass(frozen=True)
class EigenEstimate:
    """Ritz values theta with |A x - theta x| = residual for a unit vector x, largest modulus first.

    Attributes
    ----------
    values : ndarray, shape (m,)
        Ritz values; real for a symmetric operator, else complex.
    residuals : ndarray, shape (m,)
        |h e_m^T y| plus the rounding error of the products. A *backward* error: theta is an exact
        eigenvalue of A + E for some |E|_2 <= residual, in the coordinates of the factorization.
    errors : ndarray, shape (m,)
        The forward error |theta - lambda|. For a symmetric operator equal to the residual, and a
        bound. Otherwise an estimate, see `ritz_values`: a non-normal operator has no bound that
        could be computed from products alone.
    converged : ndarray of bool, shape (m,)
        errors <= tolerance * max |values|.
    vectors : ndarray, shape (m, m)
        Column i holds the eigenvector of `values[i]` in the Krylov basis (x = Q^T y, |y| = 1).
    matvecs : int
        Products with the operator that were taken.
    invariant : bool
        The Krylov space became invariant: the values are exact up to rounding, and they are all
        those that the start vector has a part in (one copy of each).
    """

    values: np.ndarray
    residuals: np.ndarray
    errors: np.ndarray
    converged: np.ndarray
    vectors: np.ndarray
    matvecs: int
    invariant: bool

    @property
    def radius(self) -> float:
        """max |theta| over the converged values, NaN if there is none."""
        sure = np.abs(self.values[self.converged])
        return float(sure.max()) if sure.size else float("nan")

    def to_json(self) -> dict[str, Any]:
        """Every number as plain Python; a complex value as [real, imaginary]; NaN as None."""
        values = np.asarray(self.values)
        plain = np.stack([values.real, values.imag], axis=-1) if np.iscomplexobj(values) else values
        return {
            "values": _plain(plain),
            "residuals": _plain(self.residuals),
            "errors": _plain(self.errors),
            "converged": [bool(c) for c in self.converged],
            "matvecs": self.matvecs,
            "invariant": self.invariant,
        }


def _plain(array: np.ndarray) -> Any:
    """Nested lists of floats with None for what JSON cannot hold."""
    if array.ndim == 0:
        return float(array) if np.isfinite(array) else None
    return [_plain(item) for item in array]


def ritz_values(
    factorization: KrylovFactorization,
    *,
    left: KrylovFactorization | None = None,
    symmetric: bool = False,
    tolerance: float = 1e-2,
) -> EigenEstimate:
    """H y = theta y of the projection, with residual |h e_m^T y| and error (host, float64).

    To first order the error of an eigenvalue is its residual times its condition 1/|z^H x|, with
    unit left and right eigenvectors z, x. The condition within the Krylov space alone may be too
    small by orders of magnitude when A is far from normal. So from `left` come the Ritz vector
    nearest in value as z, and the difference of the two Ritz values, which is of the size of the
    error where the first order fails. The error reported is the largest of the three.

    Parameters
    ----------
    factorization : KrylovFactorization
        Of A; one, not a vmapped batch. Non-finite entries give NaN values, none converged: they
        are a result, not an error.
    left : KrylovFactorization, optional
        Of the transpose of A. Without it `errors` is the estimate within the Krylov space.
    symmetric : bool
        A is symmetric: the tridiagonal part of H is used, the values are real, and the errors are
        bounds.
    tolerance : float
        Largest error, relative to max |theta|, of a value called converged.

    Returns
    -------
    EigenEstimate

    References
    ----------
    .. [1] Saad, Numerical Methods for Large Eigenvalue Problems (2011), sections 3.2 and 6.2.

    Examples
    --------
    >>> A = jnp.array([[0.0, 1.0], [-1.0, 0.0]])
    >>> e = ritz_values(arnoldi(lambda v: A @ v, jnp.array([3.0, 4.0]), 2))
    >>> bool(np.allclose(sorted(e.values.imag), [-1, 1])), e.converged.tolist()
    (True, [True, True])
    """
    size, matvecs = int(factorization.size), factorization.projection.shape[0]
    unit = float(jnp.finfo(factorization.projection.dtype).eps)
    projection = np.asarray(factorization.projection, np.float64)[:size, :size]
    coupling = float(factorization.coupling)
    if not (np.isfinite(projection).all() and np.isfinite(coupling)):
        return _lost(size, matvecs)
    values, vectors, condition = (_symmetric_pairs if symmetric else _general_pairs)(projection)
    rounding = ROUNDING_UNITS * unit * np.linalg.norm(projection, 2)
    residuals = coupling * np.abs(vectors[-1]) + rounding
    errors = residuals * condition
    if left is not None:
        errors = np.maximum(
            errors, _two_sided_errors(factorization, left, values, vectors, residuals)
        )
        matvecs *= 2
    order = np.argsort(-np.abs(values), kind="stable")
    return EigenEstimate(
        values=values[order],
        residuals=residuals[order],
        errors=errors[order],
        converged=(errors <= tolerance * np.abs(values).max())[order],
        vectors=vectors[:, order],
        matvecs=matvecs,
        invariant=coupling == 0.0,
    )


def _two_sided_errors(
    right: KrylovFactorization,
    left: KrylovFactorization,
    values: np.ndarray,
    vectors: np.ndarray,
    residuals: np.ndarray,
) -> np.ndarray:
    """max(residual / |z^H x|, |theta - theta_left|), z the left Ritz vector nearest in value."""
    size = int(left.size)
    projection = np.asarray(left.projection, np.float64)[:size, :size]
    if not np.isfinite(projection).all():
        return np.full(len(values), np.inf)
    others, left_vectors, _ = _general_pairs(projection)
    distance = np.abs(others[:, None] - values[None, :])
    nearest = distance.argmin(axis=0)
    # A^T w = theta w, so that z = conj(w) and z^H x = w^T x.
    overlap = np.asarray(left.basis, np.float64)[:size] @ np.asarray(right.basis, np.float64).T
    cosine = np.abs(
        np.sum(left_vectors[:, nearest] * (overlap[:, : len(values)] @ vectors), axis=0)
    )
    with np.errstate(divide="ignore"):
        return np.maximum(residuals / cosine, distance.min(axis=0))


def _lost(size: int, matvecs: int) -> EigenEstimate:
    """The estimate from a factorization that overflowed: NaN throughout, nothing converged."""
    nan, none = np.full(size, np.nan), np.zeros(size, bool)
    return EigenEstimate(nan, nan, nan, none, np.full((size, size), np.nan), matvecs, False)


class _Pairs(NamedTuple):
    values: np.ndarray
    vectors: np.ndarray  # unit right eigenvectors y, in columns
    condition: np.ndarray  # 1 / |x^H y| with unit left eigenvectors x


def _symmetric_pairs(projection: np.ndarray) -> _Pairs:
    off_diagonal = np.diag(projection, -1)
    values, vectors = scipy.linalg.eigh_tridiagonal(np.diag(projection), off_diagonal)
    return _Pairs(values, vectors, np.ones(len(values)))


def _general_pairs(projection: np.ndarray) -> _Pairs:
    values, left, right = scipy.linalg.eig(projection, left=True, right=True)
    overlap = np.abs(np.sum(left.conj() * right, axis=0))
    with np.errstate(divide="ignore"):
        return _Pairs(values, right, 1.0 / overlap)
