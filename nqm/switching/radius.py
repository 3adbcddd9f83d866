"""The joint spectral radius of a finite set of matrices, between bounds that are both proved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.csgraph import connected_components

from nqm import validate
from nqm.robust.family import EXACT_SIZE, fractions
from nqm.switching.branching import branch
from nqm.switching.edge import distinct_products, never_rises
from nqm.switching.family import MatrixSet, norms
from nqm.switching.polytope import polytope_bound
from nqm.switching.quadratic import quadratic_norm
from nqm.switching.words import (
    Word,
    best_word,
    primitive,
    proved_radius,
    proves_growth,
)

MOST_MATRICES = 4096
MOST_ROWS = 200
IMAGES = 1500
"""How many images of vertices a polytope may have."""


@dataclass(frozen=True, eq=False)
class JointSpectralRadius:
    """Bounds on the joint spectral radius, and whether every product stays bounded.

    Attributes
    ----------
    status : str
        'certified': every product, in whatever order, is bounded; 'refuted': the powers of `word`
        grow without bound, which was proved; 'unknown'.
    by : str
        The argument behind the status.
    lower, upper : float
        Proved bounds; every product of t matrices has a norm below c (upper + eps)^t.
    lower_by, upper_by : str
        The argument behind each of them.
    word : tuple of int
        The indices of the matrices, the first applied first, of the product that gives `lower`:
        the t-th root of its spectral radius, t the length.
    word_radius : float
        That root, as computed.
    products : int
        How many products were formed.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import JointSpectralRadius, joint_spectral_radius
    >>> found = joint_spectral_radius([[[0.5, 0.0], [0.0, -0.75]]])
    >>> isinstance(found, JointSpectralRadius), found.status, bool(np.isclose(found.upper, 0.75))
    (True, 'certified', True)
    """

    status: str
    by: str
    lower: float
    upper: float
    lower_by: str
    upper_by: str
    word: tuple[int, ...]
    word_radius: float
    products: int

    @property
    def gap(self) -> float:
        """upper - lower."""
        return self.upper - self.lower


def joint_spectral_radius(
    matrices: ArrayLike, *, tolerance: float = 1e-3, budget: int = 20_000
) -> JointSpectralRadius:
    """lim max |A_{i_t} ... A_{i_1}|^(1/t) over all words of length t, and whether it exceeds one.

    It is below one iff every product tends to zero, whatever the order; it is the same for a set
    and its convex hull, so that the vertices of a segment or polytope decide for all of it. Below:
    the t-th root of the spectral radius of the best product found. Above, the smallest of: a common
    quadratic Lyapunov function; norms of products by branch and bound (Gripenberg); a polytope
    grown from the eigenvectors of the best product (Guglielmi and Protasov). Each bound allows for
    the rounding in its own evaluation.

    Parameters
    ----------
    matrices : (m, K, K) array
        The set; one matrix may be given alone.
    tolerance : float
        The bounds are improved until upper <= (1 + tolerance) lower.
    budget : int
        How many products may be formed.

    Returns
    -------
    JointSpectralRadius

    Raises
    ------
    ValueError
        For malformed arguments.

    Examples
    --------
    The golden ratio is that of two shears, by applying them in turn:

    >>> import numpy as np
    >>> from nqm import joint_spectral_radius
    >>> pair = np.array([[[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]])
    >>> found = joint_spectral_radius(pair)
    >>> found.status, found.word, found.lower <= (1 + 5**0.5) / 2 <= found.upper
    ('refuted', (0, 1), True)
    >>> joint_spectral_radius(0.6 * pair).status  # 0.6 times the golden ratio is 0.97
    'certified'
    """
    A = matrix_stack("matrices", matrices)
    small = A.shape[-1] <= EXACT_SIZE
    given = MatrixSet(
        matrices=A,
        errors=np.zeros(len(A)),
        exact=tuple(fractions(X) for X in A) if small else None,
    )
    return bounds_of(given, tolerance=tolerance, budget=budget)


def matrix_stack(name: str, value: ArrayLike) -> validate.Array:
    """A stack of square matrices, (m, K, K); a single one becomes a stack."""
    array = validate.real_array(name, value)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[1] != array.shape[2]:
        raise ValueError(
            f"{name} must be a stack of square matrices; its shape is {array.shape}. Pass "
            "(m, N, N)."
        )
    return array


def bounds_of(given: MatrixSet, *, tolerance: float, budget: int) -> JointSpectralRadius:
    """`joint_spectral_radius` of a set with errors."""
    tolerance = validate.scalar("tolerance", tolerance)
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive; it is {tolerance:g}. Pass 1e-3.")
    budget = validate.whole_number("budget", budget, 1)
    count, size = len(given.matrices), given.size
    if count > MOST_MATRICES or size > MOST_ROWS:
        raise ValueError(
            f"matrices must be at most {MOST_MATRICES} of at most {MOST_ROWS} rows; here are "
            f"{count} of {size}. Pass fewer, such as the vertices of their hull."
        )
    parts = _blocks(given)
    found = [_irreducible(part, tolerance, budget) for part in parts]
    if len(found) == 1:
        return _decided(given, found[0])
    best = max(found, key=lambda part: part.lower)
    worst = max(found, key=lambda part: part.upper)
    return _decided(
        given,
        best._replace(
            upper=worst.upper,
            upper_by=f"{worst.upper_by}, on diagonal blocks",
            lower_by=f"{best.lower_by}, of a diagonal block",
            products=sum(part.products for part in found),
        ),
    )


class _Bounds(NamedTuple):
    lower: float
    upper: float
    lower_by: str
    upper_by: str
    word: Word
    products: int

    def times(self, unit: float) -> _Bounds:
        word = Word(self.word.letters, self.word.radius * unit)
        return self._replace(lower=self.lower * unit, upper=self.upper * unit, word=word)


def _blocks(given: MatrixSet) -> list[MatrixSet]:
    """The diagonal blocks of a set that one permutation makes triangular; itself if there is none.

    Only of matrices that are known exactly: zeros that rounding made prove nothing.
    """
    if np.any(given.errors):
        return [given]
    linked = np.any(given.matrices != 0, axis=0)
    count, labels = connected_components(linked, directed=True, connection="strong")
    if count == 1:
        return [given]
    parts = []
    for k in range(count):
        rows = np.flatnonzero(labels == k)
        parts.append(MatrixSet(given.matrices[:, rows[:, None], rows], given.errors))
    return parts


def _irreducible(given: MatrixSet, tolerance: float, budget: int) -> _Bounds:
    """Both bounds, in the order of their cost, until they meet."""
    largest = float(np.max(norms(given)))
    if not largest > 1e-250:  # the zero set, up to underflow
        return _Bounds(0.0, largest, "", "norms", Word((0,), 0.0), 0)
    exponent = int(np.floor(np.log2(largest)))
    return _Search(given.scaled(exponent), tolerance, budget).run().times(2.0**exponent)


class _Search:
    """The search for both bounds on a set whose norms are of the order one."""

    def __init__(self, given: MatrixSet, tolerance: float, budget: int) -> None:
        """Both bounds from a quadratic norm and a beam of products."""
        self.given, self.tolerance, self.budget = given, tolerance, budget
        _, self.inner, self.upper = quadratic_norm(given)
        self.upper_by = "a common quadratic Lyapunov function"
        self.used, self.lower, self.word = 0, 0.0, Word((0,), -1.0)
        self.meet(best_word(self.inner, max(budget // 4, len(given.matrices))))

    @property
    def open(self) -> bool:
        """Whether the bounds are further apart than asked for."""
        return self.upper > (1 + self.tolerance) * self.lower

    def meet(self, word: Word) -> bool:
        """Take a word if it is a better one."""
        if not word.radius > self.word.radius:
            return False
        self.word = Word(primitive(word.letters), word.radius)
        proved = [proved_radius(known, self.word.letters) for known in (self.given, self.inner)]
        self.lower = max(self.lower, *proved)
        return True

    def polytope(self, slack: float, images: int) -> None:
        """Try a polytope."""
        bound = polytope_bound(self.inner, self.word, slack, images)
        if bound < self.upper:
            self.upper, self.upper_by = bound, "an invariant polytope"

    def branch(self, budget: int) -> bool:
        """Branch; whether a better word came up."""
        target = (1 + self.tolerance / 2) * max(self.lower, 1e-12)
        found = branch(self.inner, target, budget, self.word)
        self.used += found.products
        if found.upper < self.upper:
            self.upper, self.upper_by = found.upper, "norms of products, by branch and bound"
        return self.meet(found.word)

    def run(self) -> _Bounds:
        """The cheap arguments first, until the bounds meet."""
        images = min(IMAGES, self.budget // 8)
        if self.open:
            self.polytope(0.0, images // 8)
        if self.open:
            self.branch(self.budget // 40)
        if self.open:
            self.polytope(0.0, images)
        if self.open and self.branch(self.budget // 8) and self.open:
            self.polytope(0.0, images)
        if self.open:
            self.polytope(self.tolerance / 2, images)
        if self.open:
            self.branch(self.budget - self.used)
        return _Bounds(
            lower=self.lower,
            upper=max(self.upper, self.lower),
            lower_by="the spectral radius of a product",
            upper_by=self.upper_by,
            word=self.word,
            products=self.used,
        )


def _decided(given: MatrixSet, found: _Bounds) -> JointSpectralRadius:
    """What the bounds say of one, sharpened in rational numbers where they meet there."""
    status, by, lower, upper = "unknown", "the bounds lie on both sides of one", *found[:2]
    if upper < 1:
        status, by = "certified", found.upper_by
    elif lower > 1 or (found.word.radius > 1 - 1e-9 and proves_growth(given, found.word.letters)):
        status, by = "refuted", "a product with a spectral radius above one"
        lower = max(lower, float(np.nextafter(1.0, 2.0)))
    elif norm := never_rises(given):
        status, by, upper = "certified", f"{norm}, which no matrix raises", 1.0
        found = found._replace(upper_by=by)
    elif abs(found.word.radius - 1) < 1e-6:
        products = distinct_products(given)
        if products.finite:
            status, by, upper = "certified", "products, of which there are finitely many", 1.0
            found = found._replace(upper_by=by)
        elif products.growing is not None:
            status, by, lower = "refuted", "a product with a defective eigenvalue 1 or -1", 1.0
            found = found._replace(word=Word(primitive(products.growing), 1.0))
    return JointSpectralRadius(
        status=status,
        by=by,
        lower=lower,
        upper=max(upper, lower),
        lower_by=found.lower_by,
        upper_by=found.upper_by,
        word=found.word.letters,
        word_radius=found.word.radius,
        products=found.products,
    )
