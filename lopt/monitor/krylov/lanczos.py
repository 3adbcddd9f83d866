"""Krylov factorizations of symmetric operators, of any dimension, inside `jit`."""

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from lopt.monitor.krylov.arnoldi import ROUNDING_UNITS, KrylovFactorization, arnoldi, random_share

__all__ = ["lanczos", "norm", "symmetric_factorization"]

Tree = Any
TreeOperator = Callable[[Tree], Tree]

# Entries of a basis beyond which memory traffic would cost as much as the products.
LARGE_BASIS = 2**21
# Paige's factor between residual and error where the vectors are not reorthogonalized.
PAIGE = 2.5


def symmetric_factorization(
    operator: TreeOperator, start: Tree, vectors: int, random_norm: Array | float | None = None
) -> KrylovFactorization:
    """A Q^T = Q^T T + h q e_m^T without the basis Q; fully orthogonal where Q is small.

    `arnoldi` up to `LARGE_BASIS` entries of Q, `lanczos` beyond. The vectors are pytrees, so that
    a product with the Hessian of a network need not copy its tensors into one vector.
    """
    size = sum(leaf.size for leaf in jax.tree.leaves(start))
    if size * vectors > LARGE_BASIS:
        return lanczos(operator, start, vectors, random_norm=random_norm)
    flat, unravel = ravel_pytree(start)
    found = arnoldi(lambda v: ravel_pytree(operator(unravel(v)))[0], flat, vectors, random_norm)
    return found._replace(basis=jnp.zeros((0, 0), flat.dtype))


def lanczos(
    operator: TreeOperator,
    start: Tree,
    vectors: int,
    sign: Array | float = 1.0,
    random_norm: Array | float | None = None,
) -> KrylovFactorization:
    """A Q^T = Q^T T + h q e_m^T by the three-term recurrence, three vectors of memory.

    No vector is orthogonalized against any but the last two, so that orthogonality is lost as
    Ritz values converge. Paige has shown that the values stay honest: within 2.5 times the usual
    residual, plus rounding, of every Ritz value there is an eigenvalue of A. What is lost is
    multiplicity: converged values may come again, and `ritz_values` lists them once.

    Parameters
    ----------
    operator : callable
        v -> A v, linear and symmetric, of pytrees of one structure.
    start : pytree of arrays
        The first vector, not zero.
    vectors : int
        m, the number of products.
    sign : Array, shape ()
        1, or -1 for a skew-symmetric A.
    random_norm : scalar, optional
        As for `arnoldi`.

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
    dtype = jnp.result_type(*jax.tree.leaves(start))
    unit = jnp.finfo(dtype).eps

    def body(index: Array, carry: tuple[Any, ...]) -> tuple[Any, ...]:
        previous, vector, diagonal, below, length, size, scale = carry
        product = operator(vector)
        scale = jnp.maximum(scale, norm(product))
        remainder = _less(product, sign * length, previous)
        along = _dot(vector, remainder)
        remainder = _less(remainder, along, vector)
        length = norm(remainder)
        # A non-finite product must stay visible, hence the negated comparison.
        alive = ~(length <= ROUNDING_UNITS * unit * scale) & (size == index + 1)
        length = jnp.where(alive, length, 0.0)
        inverse = jnp.where(alive, 1.0 / jnp.where(alive, length, 1.0), 0.0)
        following = jax.tree.map(lambda r: jnp.where(alive, r * inverse, 0.0), remainder)
        diagonal, below = diagonal.at[index].set(along), below.at[index].set(length)
        return vector, following, diagonal, below, length, size + alive, scale

    zero, entries = jnp.zeros((), dtype), jnp.zeros(vectors, dtype)
    whole = norm(start)
    inverse = 1.0 / whole
    first = jax.tree.map(lambda v: v * inverse, start)
    none = jax.tree.map(jnp.zeros_like, start)
    carry = (none, first, entries, entries, zero, jnp.array(1), zero)
    _, following, diagonal, below, length, size, _ = jax.lax.fori_loop(0, vectors, body, carry)
    off = jnp.diag(below[:-1], -1)
    return KrylovFactorization(
        basis=jnp.zeros((0, 0), dtype),
        projection=jnp.diag(diagonal) + off + sign * off.T,
        coupling=PAIGE * length,
        following=following,
        size=jnp.minimum(size, vectors),
        dimension=jnp.array(sum(leaf.size for leaf in jax.tree.leaves(start))),
        random_share=random_share(random_norm, whole),
        orthogonal=jnp.array(False),
    )


def _dot(left: Tree, right: Tree) -> Array:
    parts = jax.tree.map(lambda a, b: jnp.vdot(a, b, precision="highest"), left, right)
    return reduce(add, jax.tree.leaves(parts))


def norm(vector: Tree) -> Array:
    """The Euclidean norm of all leaves together."""
    return jnp.linalg.norm(
        jnp.stack([jnp.linalg.norm(jnp.ravel(v)) for v in jax.tree.leaves(vector)])
    )


def _less(vector: Tree, factor: Array, other: Tree) -> Tree:
    """vector - factor * other."""
    return jax.tree.map(lambda v, o: v - factor * o, vector, other)
