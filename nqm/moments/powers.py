"""Sums over the powers of a matrix in O(log T) products, scaled so that none overflows.

For a matrix F and a symmetric weight W, with U_a = sum_{j<a} F^jT W F^j:

    F^2a = (F^a)^2,   U_{a+b} = U_a + F^aT U_b F^a,
    V_a = sum_{t=1..a} U_t,   V_{a+b} = V_a + b U_a + F^aT V_b F^a.

Nothing is inverted, so no eigenvalue of F is special. Every array travels with a power of two.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np

from nqm.namespace import AnyArray, Namespace, common


class Scaled(NamedTuple):
    """The array `hat` * 2**`exponent`, with `hat` far from overflow."""

    hat: AnyArray
    exponent: AnyArray

    def value(self, xp: Namespace) -> AnyArray:
        """The array itself; beyond the range of the dtype, infinities with its signs."""
        top = math.frexp(float(xp.finfo(self.hat.dtype).max))[1] - 1
        hat, exponent = scaled(xp, self.hat, self.exponent)
        within = hat * 2.0 ** xp.clip(exponent, -2 * top, top)
        zero = xp.zeros_like(hat)
        beyond = xp.where(hat > 0, zero + xp.inf, xp.where(hat < 0, zero - xp.inf, zero))
        return xp.where(exponent <= top, within, beyond)

    def log(self, xp: Namespace) -> AnyArray:
        """The natural logarithm of a nonnegative array; -inf where it is zero."""
        positive = self.hat > 0
        logs = xp.log(xp.where(positive, self.hat, xp.ones_like(self.hat)))
        logs = logs + self.exponent * math.log(2)
        return xp.where(positive, logs, xp.zeros_like(logs) - xp.inf)


def scaled(xp: Namespace, array: AnyArray, exponent: AnyArray = 0.0) -> Scaled:
    """`array` * 2**`exponent` as a Scaled; exact, since only exponents change."""
    largest = xp.max(xp.abs(array))
    shift = xp.floor(xp.log2(xp.where(largest > 0, largest, xp.ones_like(largest))))
    half = xp.floor(-shift / 2)  # 2**1074, which a subnormal number needs, would overflow at once
    return Scaled(array * 2.0**half * 2.0 ** (-shift - half), shift + exponent)


def tamed(xp: Namespace, array: AnyArray, exponent: AnyArray = 0.0) -> Scaled:
    """As `scaled`, but in NumPy an array of moderate size is left as it is, which is cheaper."""
    if isinstance(array, np.ndarray) and _moderate(max(np.max(array), -np.min(array))):
        return Scaled(array, exponent)
    return scaled(xp, array, exponent)


def _moderate(size: AnyArray) -> bool:
    """Whether a number known now needs no scaling; one that JAX traces always gets it."""
    return isinstance(size, float) and (size == 0 or 2.0**-64 <= size <= 2.0**64)


def product(xp: Namespace, left: Scaled, right: Scaled) -> Scaled:
    """The matrix product."""
    return tamed(xp, left.hat @ right.hat, left.exponent + right.exponent)


def times(factor: float, term: Scaled) -> Scaled:
    """A nonnegative number times an array."""
    if factor < 2.0**30:
        return Scaled(factor * term.hat, term.exponent)
    fraction, exponent = math.frexp(factor)
    return Scaled(2 * fraction * term.hat, term.exponent + (exponent - 1))


def add(xp: Namespace, *terms: Scaled) -> Scaled:
    """The sum of nonnegative numbers or semidefinite matrices, whose size is their trace."""
    sizes = [xp.linalg.trace(t.hat) if t.hat.ndim == 2 else t.hat for t in terms]
    least = top = functools.reduce(xp.minimum, [term.exponent for term in terms])
    for term, size in zip(terms, sizes, strict=True):  # the exponent of a zero says nothing
        top = xp.maximum(top, xp.where(size > 0, term.exponent, least))
    weights = [2.0 ** xp.minimum(xp.maximum(term.exponent - top, -1000.0), 0.0) for term in terms]
    size = sum(w * s for w, s in zip(weights, sizes, strict=True))
    if _moderate(size):
        shift = 0.0
    else:
        shift = xp.floor(xp.log2(xp.where(size > 0, size, xp.ones_like(size))))
        weights = [weight * 2.0 ** (-shift) for weight in weights]
    parts = [
        t.hat if isinstance(w, float) and w == 1 else w * t.hat
        for w, t in zip(weights, terms, strict=True)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return Scaled(total, top + shift)


def inner(xp: Namespace, left: Scaled, right: Scaled) -> Scaled:
    """<X, Y> = tr(X^T Y), without forming the product."""
    total = xp.reshape(left.hat, (-1,)) @ xp.reshape(right.hat, (-1,))
    return scaled(xp, total, left.exponent + right.exponent)


def congruence(weight: Scaled, factor: Scaled) -> Scaled:
    """F^T W F for a symmetric W."""
    hat = _symmetric_product(factor.hat, weight.hat @ factor.hat)
    return Scaled(hat, weight.exponent + 2 * factor.exponent)


def _symmetric_product(left: AnyArray, right: AnyArray) -> AnyArray:
    """X^T Y where it is symmetric; large NumPy arrays are multiplied below the diagonal only."""
    size = left.shape[1]
    if not isinstance(left, np.ndarray) or size < 100:
        return left.T @ right
    found, ends = np.empty((size, size)), [size * k // 4 for k in range(5)]
    for a, b in itertools.pairwise(ends):
        np.matmul(left[:, a:b].T, right[:, :b], out=found[a:b, :b])
        found[:a, a:b] = found[a:b, :a].T
    return found


class Sums(NamedTuple):
    """U_a and V_a over a = `steps` steps."""

    steps: int
    total: Scaled
    running: Scaled


class Block(NamedTuple):
    """F^a and the sums over a = `sums.steps` steps."""

    power: Scaled
    sums: Sums


class Ladder(NamedTuple):
    """The blocks of 1, 2, 4, … steps; `settled` where F^a no longer matters after the last."""

    blocks: list[Block]
    settled: bool

    @property
    def top(self) -> int:
        """The number of steps of the last block."""
        return self.blocks[-1].sums.steps


def extend(xp: Namespace, block: Block, sums: Sums) -> Sums:
    """The sums over a + b steps, from the block of a and the sums over b."""
    first = block.sums
    total = add(xp, first.total, congruence(sums.total, block.power))
    if first.steps == 1:  # V_{1+b} = V_b + U_{1+b}
        return Sums(1 + sums.steps, total, add(xp, sums.running, total))
    running = add(
        xp,
        first.running,
        times(sums.steps, first.total),
        congruence(sums.running, block.power),
    )
    return Sums(first.steps + sums.steps, total, running)


def ladder(matrix: AnyArray, weight: AnyArray | Scaled, horizon: int) -> Ladder:
    """The blocks for every power of two up to `horizon`; the weight may come scaled.

    In NumPy the ladder ends early once ||F^a||^2 < 2^-72, the weight of all that follows in U.
    """
    xp, (F, W, exponent) = common(matrix, *(weight if isinstance(weight, Scaled) else (weight, 0)))
    power, total = tamed(xp, F), tamed(xp, W, exponent)
    blocks = [Block(power, Sums(1, total, total))]
    while 2 * blocks[-1].sums.steps <= horizon:
        last = blocks[-1]
        if is_negligible(last.power):
            return Ladder(blocks, True)
        blocks.append(Block(product(xp, last.power, last.power), extend(xp, last, last.sums)))
    return Ladder(blocks, False)


def is_negligible(power: Scaled, exponent: int = -36) -> bool:
    """Whether ||F|| < 2**`exponent`, in NumPy; JAX does not know it in advance."""
    if not isinstance(power.hat, np.ndarray):
        return False
    norm = np.linalg.norm(power.hat)
    return bool(norm == 0 or np.log2(norm) + float(power.exponent) < exponent)


def taking_part(F: AnyArray, entering: AnyArray, leaving: AnyArray) -> AnyArray:
    """The indices of the states that the input reaches and the weight sees, by exact zeros.

    A mode that grows without being excited would otherwise set the scale in which the others
    underflow. NumPy only: elsewhere zeros are not known in advance, and every state takes part.

    >>> import numpy as np
    >>> F, input_, weight = np.diag([0.5, 2.0]), np.diag([1.0, 0.0]), np.eye(2)
    >>> taking_part(F, input_, weight).tolist()
    [0]
    """
    if not isinstance(F, np.ndarray):
        return np.arange(F.shape[0])
    nonzero = F != 0
    reached, seen = np.any(entering != 0, axis=1), np.any(leaving != 0, axis=1)
    for mask, edges in ((reached, nonzero), (seen, nonzero.T)):
        count = -1
        while count != np.sum(mask):
            count = np.sum(mask)
            mask |= np.any(edges[:, mask], axis=1)
    kept = np.flatnonzero(reached & seen)
    return kept if kept.size else np.arange(1)


def independent_parts(*matrices: AnyArray) -> list[AnyArray]:
    """The index sets that no matrix couples, by exact zeros; under JAX the one set of all.

    Each part is then scaled by itself: one that grows cannot make another underflow.

    >>> import numpy as np
    >>> [part.tolist() for part in independent_parts(np.diag([1.0, 2.0]), np.eye(2))]
    [[0], [1]]
    """
    size = matrices[0].shape[0]
    if not isinstance(matrices[0], np.ndarray):
        return [np.arange(size)]
    from scipy.sparse.csgraph import connected_components  # imported here since it takes long

    graph = np.any([matrix != 0 for matrix in matrices], axis=0)
    count, labels = connected_components(graph, directed=False)
    return [np.flatnonzero(labels == label) for label in range(count)]
