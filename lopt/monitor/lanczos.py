"""Krylov factorizations of symmetric operators, of any dimension, inside `jit`."""

import jax
import jax.numpy as jnp
from jax import Array

from lopt.monitor.krylov import ROUNDING_UNITS, KrylovFactorization, Operator, arnoldi

__all__ = ["lanczos", "symmetric_factorization"]

# Entries of a basis beyond which memory traffic would cost as much as the products.
LARGE_BASIS = 2**21
# Paige's factor between residual and error where the vectors are not orthogonalized anew.
PAIGE = 2.5


def symmetric_factorization(operator: Operator, start: Array, vectors: int) -> KrylovFactorization:
    """A Q^T = Q^T T + h q e_m^T without the basis Q; fully orthogonal where Q is small.

    `arnoldi` up to `LARGE_BASIS` entries of Q, `lanczos` beyond.
    """
    if start.shape[0] * vectors > LARGE_BASIS:
        return lanczos(operator, start, vectors)
    nothing = jnp.zeros((0, 0), start.dtype)
    return arnoldi(operator, start, vectors)._replace(basis=nothing)


def lanczos(operator: Operator, start: Array, vectors: int) -> KrylovFactorization:
    """A Q^T = Q^T T + h q e_m^T by the three-term recurrence, three vectors of memory.

    No vector is orthogonalized against any but the last two, so that orthogonality is lost as
    Ritz values converge. Paige has shown that the values stay honest: within 2.5 times the usual
    residual, plus rounding, of every Ritz value there is an eigenvalue of A. What is lost is
    multiplicity: converged values may come again.

    Parameters
    ----------
    operator : callable, (n,) -> (n,)
        v -> A v, linear and symmetric.
    start : Array, shape (n,)
        The first vector, not zero.
    vectors : int
        m, the number of products.

    Returns
    -------
    KrylovFactorization
        With T tridiagonal, an empty basis, and 2.5 h as its coupling.

    References
    ----------
    .. [1] Paige, Linear Algebra Appl. 34 (1980) 235-258, theorem 3.1 and (3.48).

    Examples
    --------
    >>> f = lanczos(lambda v: jnp.array([1.0, 3.0]) * v, jnp.ones(2), 2)
    >>> bool(jnp.allclose(jnp.linalg.eigvalsh(f.projection), jnp.array([1.0, 3.0])))
    True
    """
    unit = jnp.finfo(start.dtype).eps

    def body(index: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        previous, vector, diagonal, below, length, size, scale = carry
        product = operator(vector)
        scale = jnp.maximum(scale, jnp.linalg.norm(product))
        remainder = product - length * previous
        along = jnp.vdot(vector, remainder, precision="highest")
        remainder = remainder - along * vector
        length = jnp.linalg.norm(remainder)
        # A non-finite product must stay visible, hence the negated comparison.
        alive = ~(length <= ROUNDING_UNITS * unit * scale) & (size == index + 1)
        length = jnp.where(alive, length, 0.0)
        following = jnp.where(alive, remainder / jnp.where(alive, length, 1.0), 0.0)
        diagonal, below = diagonal.at[index].set(along), below.at[index].set(length)
        return vector, following, diagonal, below, length, size + alive, scale

    zero, entries = jnp.zeros((), start.dtype), jnp.zeros(vectors, start.dtype)
    first = start / jnp.linalg.norm(start)
    carry = (jnp.zeros_like(start), first, entries, entries, zero, jnp.array(1), zero)
    _, following, diagonal, below, length, size, _ = jax.lax.fori_loop(0, vectors, body, carry)
    off = jnp.diag(below[:-1], -1)
    return KrylovFactorization(
        basis=jnp.zeros((0, 0), start.dtype),
        projection=jnp.diag(diagonal) + off + off.T,
        coupling=PAIGE * length,
        following=following,
        size=jnp.minimum(size, vectors),
    )
