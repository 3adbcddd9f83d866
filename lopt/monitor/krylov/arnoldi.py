"""Krylov factorizations inside `jit`, matrix-free.

Written here rather than taken from matfree (0.6.3), whose `hessenberg` divides by the norm of the
residual without a test for breakdown and leaves the second Gram-Schmidt pass out of H. Both matter
here: update maps have few distinct eigenvalues.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

__all__ = [
    "KrylovFactorization",
    "KrylovProcess",
    "arnoldi",
    "begin",
    "expand",
    "finish",
    "random_share",
]

Operator = Callable[[Array], Array]

ROUNDING_UNITS = 16.0
# Share of its length that a vector must keep, or Gram-Schmidt runs again: 1/sqrt(2).
CANCELLED = 0.7071


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
    dimension : Array, shape ()
        n.
    random_share : Array, shape ()
        The length of the random part of the start over that of the start, see `Enclosure`.
    orthogonal : Array of bool, shape ()
        Whether the basis was kept orthogonal; where not, converged eigenvalues come again.
    """

    basis: Array
    projection: Array
    coupling: Array
    following: Array
    size: Array
    dimension: Array
    random_share: Array
    orthogonal: Array


def arnoldi(
    operator: Operator, start: Array, vectors: int, random_norm: Array | float | None = None
) -> KrylovFactorization:
    """A Q^T = Q^T H + h q e_m^T by Arnoldi's method, orthogonalized up to three times.

    Exactly `vectors` products are taken, so the function can be jitted and vmapped. Gram-Schmidt
    runs again where the vector has lost more than 1 - 1/sqrt(2) of its length ("twice is enough"
    unless it lies numerically inside the space, which the third time is for). A remainder
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
    random_norm : scalar, optional
        The length of the part of `start` whose entries are random, independent, and uniform or
        normal: all of it unless given. Bounds on eigenvalues that were missed rest on it.

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

    def body(index: Array, process: KrylovProcess) -> KrylovProcess:
        return expand(process, index, operator(process.vector))

    return finish(jax.lax.fori_loop(0, vectors, body, begin(start, vectors, random_norm)))


class KrylovProcess(NamedTuple):
    """Arnoldi's method between two of its steps, for products that are taken elsewhere.

    `vector` is what the operator is to be applied to next; see `begin`, `expand`, `finish`.
    """

    basis: Array
    columns: Array
    vector: Array
    size: Array
    scale: Array
    random_share: Array


def begin(start: Array, vectors: int, random_norm: Array | float | None = None) -> KrylovProcess:
    """The process before its first product, with room for `vectors` of them; see `arnoldi`."""
    dimension, dtype = start.shape[0], start.dtype
    length = jnp.linalg.norm(start)
    return KrylovProcess(
        basis=jnp.zeros((vectors + 1, dimension), dtype),
        columns=jnp.zeros((vectors + 1, vectors), dtype),
        vector=_normalize(start, length),
        size=jnp.array(1),
        scale=jnp.array(0.0, dtype),
        random_share=random_share(random_norm, length),
    )


def random_share(random_norm: Array | float | None, length: Array) -> Array:
    """The share of a start of this length that is random; all of it where no norm is given."""
    share = 1.0 if random_norm is None else random_norm / length
    return jnp.asarray(share, length.dtype)


def expand(process: KrylovProcess, index: Array, product: Array) -> KrylovProcess:
    """The process after its product number `index`, counted from 0: `product` is A times its
    `vector`.
    """
    _, columns, vector, size, scale, share = process
    vectors, unit = columns.shape[1], jnp.finfo(product.dtype).eps
    basis = process.basis.at[index].set(vector)
    whole = jnp.linalg.norm(product)
    scale = jnp.maximum(scale, whole)
    remainder, length, coefficients = _orthogonalize(product, whole, basis)
    # A non-finite product must stay visible, hence the negated comparison.
    alive = ~(length <= ROUNDING_UNITS * unit * scale) & (size == index + 1)
    vector = _normalize(remainder, length)
    column = coefficients.at[index + 1].set(jnp.where(alive, length, 0.0))
    columns = columns.at[:, index].set(jnp.where(size > index, column[: vectors + 1], 0.0))
    vector = jnp.where(alive, vector, 0.0)
    return KrylovProcess(basis, columns, vector, size + alive, scale, share)


def finish(process: KrylovProcess) -> KrylovFactorization:
    """The factorization after the last product."""
    vectors = process.columns.shape[1]
    return KrylovFactorization(
        basis=process.basis[:vectors],
        projection=process.columns[:vectors],
        coupling=process.columns[vectors, vectors - 1],
        following=process.vector,
        size=jnp.minimum(process.size, vectors),
        dimension=jnp.array(process.basis.shape[1]),
        random_share=process.random_share,
        orthogonal=jnp.array(True),
    )


class _Orthogonal(NamedTuple):
    vector: Array
    length: Array
    along: Array


def _orthogonalize(product: Array, whole: Array, basis: Array) -> _Orthogonal:
    """The part of `product`, of length `whole`, orthogonal to the rows of `basis`; its length and
    the coefficients of the rest.
    """
    highest = jax.lax.Precision.HIGHEST

    def sweep(carry: tuple[_Orthogonal, Array, Array]) -> tuple[_Orthogonal, Array, Array]:
        (vector, length, along), _, count = carry
        part = jnp.matmul(basis, vector, precision=highest)
        vector = vector - jnp.matmul(part, basis, precision=highest)
        after = _Orthogonal(vector, jnp.linalg.norm(vector), along + part)
        return after, length, count + 1

    def cancelled(carry: tuple[_Orthogonal, Array, Array]) -> Array:
        found, before, count = carry
        return (count == 0) | ((found.length < CANCELLED * before) & (count < 3))

    none = _Orthogonal(product, whole, jnp.zeros(basis.shape[0], product.dtype))
    return jax.lax.while_loop(cancelled, sweep, (none, whole, jnp.array(0)))[0]


def _normalize(vector: Array, length: Array) -> Array:
    """`vector / length`, and zero where the length is zero."""
    return vector / jnp.where(length == 0, 1.0, length)
