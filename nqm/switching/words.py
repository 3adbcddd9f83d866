"""Products with a large spectral radius, and proofs of how large it is at least."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nqm.robust.family import (
    Rational,
    all_roots_inside,
    characteristic_polynomial,
    times,
)
from nqm.spectra.enclosures import enclosure
from nqm.switching.family import MatrixSet, product_of
from nqm.validate import EPS, Array

LENGTHS = 12
"""The longest words that are searched."""
EXACT_LETTERS = 40
"""The longest word whose product is formed in rational numbers."""
SAME = 1e-10
"""A longer word counts as better only by more than this share."""


Integers = NDArray[np.integer]


class Word(NamedTuple):
    """A word with its averaged spectral radius rho(A_w)^(1/k), as computed."""

    letters: tuple[int, ...]
    radius: float


def best_word(given: MatrixSet, budget: int) -> Word:
    """The best word that a beam of products with large norms comes upon; the shortest of equals.

    Parameters
    ----------
    given : MatrixSet
        In coordinates where the norms are telling.
    budget : int
        How many products may be formed.

    Returns
    -------
    Word

    Examples
    --------
    >>> import numpy as np
    >>> pair = MatrixSet(np.array([[[1.0, 1], [0, 1]], [[1.0, 0], [1, 1]]]) / 2, np.zeros(2))
    >>> found = best_word(pair, 1000)
    >>> found.letters, bool(np.isclose(found.radius, (1 + 5**0.5) / 4))  # half the golden ratio
    ((0, 1), True)
    """
    A, count = given.matrices, len(given.matrices)
    products, words = A, np.arange(count)[:, None]
    best = Word((0,), -1.0)
    used, beam = 0, max(32, budget // (LENGTHS * count))
    for length in range(1, LENGTHS + 1):
        used += len(products)
        best = improved(best, products, words)
        if used + min(len(products), beam) * count > budget:
            break
        if len(products) > beam:
            sizes = np.linalg.norm(products, axis=(-2, -1))
            kept = np.sort(np.argpartition(-sizes, beam)[:beam])
            products, words = products[kept], words[kept]
        products = (A[None] @ products[:, None]).reshape(-1, *A.shape[1:])
        letters = np.tile(np.arange(count), len(words))[:, None]
        words = np.concatenate([np.repeat(words, count, axis=0), letters], axis=1)
        if length > 1 and not np.any(products):
            break
    return Word(primitive(best.letters), best.radius)


def improved(best: Word, products: Array, words: Integers) -> Word:
    """The better of a word and the best of some products of equal length."""
    with np.errstate(invalid="ignore", over="ignore"):
        radii = np.max(np.abs(np.linalg.eigvals(products)), axis=-1) ** (1 / words.shape[1])
    place = int(np.argmax(radii))
    if radii[place] > best.radius * (1 + SAME) or best.radius < 0:
        return Word(tuple(int(i) for i in words[place]), float(radii[place]))
    return best


def primitive(word: tuple[int, ...]) -> tuple[int, ...]:
    """The shortest word that this one repeats, turned to its first place in the alphabet.

    >>> primitive((1, 0, 1, 0)), primitive((2, 1, 0))
    ((0, 1), (0, 2, 1))
    """
    size = len(word)
    for length in range(1, size + 1):
        if size % length == 0 and word == word[:length] * (size // length):
            word = word[:length]
            break
    return min(word[i:] + word[:i] for i in range(len(word)))


def proved_radius(given: MatrixSet, word: tuple[int, ...]) -> float:
    """A lower bound on rho(A_w)^(1/k), rounding included: by its eigenvalues, or by a trace.

    K rho(F)^j >= |tr F^j| for every j, which needs no eigenvectors and so holds its own where they
    are defective.

    >>> import numpy as np
    >>> shear = MatrixSet(np.array([[[1.0, 1.0], [0.0, 1.0]]]), np.zeros(1))
    >>> bool(1 - 1e-12 < proved_radius(shear, (0,)) <= 1)
    True
    """
    product, error = product_of(given, word)
    exponent = float(np.max(np.abs(product)))
    if not 0 < exponent < np.inf:
        return 0.0
    scale = 2.0 ** np.floor(np.log2(exponent))
    product, error = product / scale, error / scale
    lower = max(enclosure(product, error).lower, _by_traces(product, error))
    if not lower > 0:
        return 0.0
    return float(np.exp((np.log(lower) + np.log(scale)) / len(word)) * (1 - 16 * EPS))


def _by_traces(F: Array, error: float) -> float:
    """max over j = 1, 2, 4, ... of (|tr F^j| / K)^(1/j), the powers scaled as they come."""
    size, power, best, logarithm, j = len(F), F, 0.0, 0.0, 1
    for _ in range(30):
        rounding = error + size * EPS * float(np.max(np.abs(power)))
        trace = abs(float(np.trace(power))) - size * rounding
        if trace > 0:
            best = max(best, float(np.exp((np.log(trace / size) + logarithm) / j)) * (1 - 16 * EPS))
        norm = float(np.linalg.norm(power))
        error = 2 * norm * error + error**2 + (size + 2) * EPS * norm**2
        power, j, logarithm = power @ power, 2 * j, 2 * logarithm
        largest = float(np.max(np.abs(power)))
        if not error < 1e-6 * largest:
            break
        scale = 2.0 ** np.floor(np.log2(largest))
        power, error, logarithm = power / scale, error / scale, logarithm + float(np.log(scale))
    return best


def proves_growth(given: MatrixSet, word: tuple[int, ...]) -> bool:
    """Whether rho(A_w) > 1 for certain, in rational arithmetic where the matrices are small."""
    if proved_radius(given, word) > 1:
        return True
    if given.exact is None or len(word) > EXACT_LETTERS:
        return False
    polynomial = characteristic_polynomial(exact_product(given.exact, word))
    radius = float(np.max(np.abs(np.roots([float(c) for c in polynomial])), initial=0.0))
    outside = (Fraction(1 + (radius - 1) / 2), 1 + Fraction(1, 2**60))
    return any(r > 1 and not all_roots_inside(polynomial, r) for r in outside)


def exact_product(matrices: tuple[Rational, ...], word: tuple[int, ...]) -> Rational:
    """The product of a word in rational numbers."""
    product = matrices[word[0]]
    for i in word[1:]:
        product = times(matrices[i], product)
    return product
