r"""Newton and Schulz's iteration, by which `StarConfig.orthogonalize_update` brings all singular
values of a matrix near one, as Muon does (Jordan et al. 2024).

With :math:`X_0 = X / \lVert X \rVert_F` each iteration is
:math:`X_{k+1} = (a I + b G_k + c G_k^2) X_k`, :math:`G_k = X_k X_k^T`. The polynomials of the
symmetric :math:`G_k` commute, so that the result is :math:`Q X` with a symmetric `Q`, which is
computed from :math:`G_0` alone, by products of matrices of the smaller of both sizes.
"""

import math
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from lopt.optimizers.parts.normalization import inverse_rms

# Muon's coefficients and iterations; they bring singular values from 1e-3 on between 0.5 and 1.2.
COEFFICIENTS, ITERATIONS = (3.4445, -4.7750, 2.0315), 5


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Rows and columns of a tensor as the matrix of a linear map to its last axis; None where one
    of them is 1, and there is nothing to orthogonalize.

    Examples
    --------
    >>> matrix_shape((3, 3, 16, 32)), matrix_shape((32,)), matrix_shape((5, 1))
    ((144, 32), None, None)
    """
    if not shape:
        return None
    rows, columns = math.prod(shape[:-1]), shape[-1]
    return (rows, columns) if min(rows, columns) > 1 else None


def orthogonalizer(update: Array) -> Callable[[Array], Array]:
    """The linear map that brings the singular values of `update` near one; the identity for what is
    no matrix. `update` itself is given to it, or a part of it.

    Examples
    --------
    >>> tilted = jnp.array([[3.0, 4.0], [-0.4, 0.3]])
    >>> jnp.round(jnp.linalg.svd(orthogonalizer(tilted)(tilted))[1], 1)
    Array([0.7, 0.7], dtype=float32)
    """
    shape = matrix_shape(update.shape)
    if shape is None:
        return lambda part: part
    tall = shape[0] > shape[1]

    def matrix(part: Array) -> Array:
        flat = part.reshape(shape)
        return flat.T if tall else flat

    scale = inverse_rms(update) / math.sqrt(update.size)
    begin = scale * matrix(update)
    gram = _product(begin, begin.T)
    identity = jnp.eye(min(shape), dtype=gram.dtype)
    a, b, c = COEFFICIENTS
    whole = identity
    for iteration in range(ITERATIONS):
        step = a * identity + b * gram + c * _product(gram, gram)
        whole = _product(step, whole)
        if iteration < ITERATIONS - 1:
            gram = _product(step, _product(gram, step))

    def apply(part: Array) -> Array:
        found = _product(scale * whole, matrix(part))
        return (found.T if tall else found).reshape(part.shape)

    return apply


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")
