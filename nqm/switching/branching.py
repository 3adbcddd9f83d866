"""Bounds from norms of products: branch and bound over words, after Gripenberg.

The words at the leaves of a complete tree cut every long word into pieces, so the joint spectral
radius is at most the largest of min over the prefixes u of a leaf of |A_u|^(1/|u|). The leaf where
that is largest is the one to branch at.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nqm.switching.family import TINY, MatrixSet, norm_bounds, norms
from nqm.switching.words import SAME, Integers, Word, improved
from nqm.validate import EPS, Array

BATCH = 128
DEEPEST = 256


class Branching(NamedTuple):
    """Where the branching ended.

    Attributes
    ----------
    upper : float
        A proved upper bound on the joint spectral radius.
    products : int
        How many products were formed.
    word : Word
        The best word that was met.
    """

    upper: float
    products: int
    word: Word


class _Leaves(NamedTuple):
    """Words, their products with error bounds, and the least |A_u|^(1/|u|) of their prefixes."""

    words: Integers
    lengths: Integers
    products: Array
    errors: Array
    least: Array

    def at(self, chosen: Integers) -> _Leaves:
        return _Leaves(
            words=self.words[chosen],
            lengths=self.lengths[chosen],
            products=self.products[chosen],
            errors=self.errors[chosen],
            least=self.least[chosen],
        )


def branch(given: MatrixSet, target: float, budget: int, best: Word) -> Branching:
    """Branch until the bound is at most `target` or the budget is spent.

    Parameters
    ----------
    given : MatrixSet
        In coordinates where the norms are small, scaled to the order one.
    target : float
        The bound that is good enough.
    budget : int
        How many products may be formed.
    best : Word
        The best word known.

    Returns
    -------
    Branching

    Examples
    --------
    >>> import numpy as np
    >>> pair = MatrixSet(np.array([[[1.0, 1], [0, 1]], [[1.0, 0], [1, 1]]]), np.zeros(2))
    >>> golden = (1 + 5**0.5) / 2
    >>> golden < branch(pair, 1.001 * golden, 1000, Word((0,), 1.0)).upper <= 1.001 * golden
    True
    """
    count, letters = len(given.matrices), norms(given)
    leaves = _Leaves(
        words=np.arange(count)[:, None],
        lengths=np.ones(count, dtype=int),
        products=given.matrices,
        errors=given.errors,
        least=letters,
    )
    best, used, settled = improved(best, given.matrices, leaves.words), count, 0.0
    while True:
        settled = max(settled, float(np.max(leaves.least[leaves.least <= target], initial=0.0)))
        leaves = leaves.at(np.flatnonzero(leaves.least > target))
        if not leaves.least.size or used + count > budget:
            break
        room = max(1, min(BATCH, (budget - used) // count))
        order = np.argsort(-leaves.least, kind="stable")
        chosen = leaves.at(order[:room])
        if np.max(chosen.lengths) >= DEEPEST:
            break
        children, best = _children(given, letters, chosen, best)
        used += len(children.least)
        leaves = _joined(leaves.at(order[room:]), children)
    upper = max(settled, float(np.max(leaves.least, initial=0.0)))
    return Branching(upper=upper, products=used, word=best)


def _children(
    given: MatrixSet, letters: Array, parents: _Leaves, best: Word
) -> tuple[_Leaves, Word]:
    """Every word of the parents with every letter behind it."""
    count, size = len(given.matrices), given.size
    products = given.matrices[None] @ parents.products[:, None]
    before = np.linalg.norm(parents.products, axis=(-2, -1))[:, None]
    after = np.linalg.norm(given.matrices, axis=(-2, -1))[None]
    errors = parents.errors[:, None] * letters + before * given.errors
    errors = 1.01 * (errors + (size + 2) * EPS * before * after) + TINY
    lengths = np.repeat(parents.lengths + 1, count)
    products, errors = products.reshape(-1, size, size), errors.ravel()
    roots = (norm_bounds(products) + errors) ** (1 / lengths) * (1 + 16 * EPS)
    ends = np.tile(np.arange(count), len(parents.lengths))
    words = np.concatenate([np.repeat(parents.words, count, axis=0), ends[:, None]], axis=1)
    words[np.arange(len(words)), lengths - 1] = ends
    able = np.flatnonzero(roots > best.radius * (1 + SAME))  # the others are no better words
    if able.size:
        values = np.abs(np.linalg.eigvals(products[able]))
        radii = np.max(values, axis=-1) ** (1 / lengths[able])
        place = able[int(np.argmax(radii))]
        if np.max(radii) > best.radius * (1 + SAME):
            letter = tuple(int(i) for i in words[place, : lengths[place]])
            best = Word(letter, float(np.max(radii)))
    least = np.minimum(np.repeat(parents.least, count), roots)
    return _Leaves(words, lengths, products, errors, least), best


def _joined(first: _Leaves, second: _Leaves) -> _Leaves:
    """Both, their words padded to the same length."""
    longest = max(first.words.shape[1], second.words.shape[1])
    words = [
        np.pad(leaves.words, ((0, 0), (0, longest - leaves.words.shape[1])))
        for leaves in (first, second)
    ]
    rest = [np.concatenate(pair) for pair in zip(first[1:], second[1:], strict=True)]
    return _Leaves(np.concatenate(words), *rest)
