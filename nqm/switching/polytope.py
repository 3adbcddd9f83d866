"""A polytope as the unit ball of a norm, grown from the leading eigenvectors of the best word.

After Guglielmi and Protasov. The ball is the absolute convex hull of vertices v_1 .. v_k: |x| is
the least sum |c_j| with x = sum c_j v_j, a linear program. max over i, j of |A_i v_j| bounds the
joint spectral radius; where the word is the best of all, the hull of the orbit of its eigenvector
closes and the bound is its averaged spectral radius.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from nqm.switching.family import MatrixSet, norms
from nqm.switching.words import Word
from nqm.validate import EPS, Array

LARGEST = 12
"""Up to this many rows a polytope is tried: its vertices multiply with the dimension."""
PIVOTS = 200
"""The most steps of one linear program; a program that is cut short still gives a bound."""
CLOSED = 1e-9
"""An image counts as inside the hull up to this share."""


class _Hull:
    """Vertices, with a basis among them that bounds the norm of any vector."""

    def __init__(self, vertices: Array) -> None:
        """Vertices (k, K) that span the space; raises LinAlgError where they do not."""
        self.vertices = vertices
        size = vertices.shape[1]
        _, _, order = scipy.linalg.qr(vertices.T, mode="economic", pivoting=True)
        self.basis = order[:size]
        basis = vertices[self.basis].T
        inverse = np.linalg.inv(basis)
        spread = float(np.linalg.norm(basis)) * float(np.linalg.norm(inverse))
        rest = float(np.linalg.norm(np.eye(size) - basis @ inverse))
        if not rest + 4 * (size + 2) * EPS * spread < 0.01:
            raise np.linalg.LinAlgError
        # |x| <= |basis^-1 x|_1 <= sqrt(K) |basis^-1|_2 |x|_2.
        self.gain = 1.02 * np.sqrt(size) * float(np.linalg.norm(inverse))

    def add(self, vertex: Array) -> None:
        """One vertex more; the ball grows, so every bound stays valid."""
        self.vertices = np.concatenate([self.vertices, vertex[None]])

    def norm(self, x: Array) -> float:
        """An upper bound on |x| for this float vector, rounding included.

        The simplex method from the last basis, which every sign pattern makes feasible. It stops
        where |x| <= 1, or where the dual vector y shows that |x| > 1.
        """
        V, basis = self.vertices, self.basis
        best = float("inf")
        for _ in range(PIVOTS):
            inverse = np.linalg.inv(V[basis].T)
            weights = inverse @ x
            total = float(np.sum(np.abs(weights)))
            if total < best:
                best, self.basis = total, basis
            if total <= 1.0:
                break
            signs = np.where(weights < 0, -1.0, 1.0)
            y = signs @ inverse
            scores = V @ y
            enter = int(np.argmax(np.abs(scores)))
            top = abs(float(scores[enter]))
            if top <= 1 + 1e-12 or float(x @ y) > (1 + CLOSED) * top:
                break
            column = signs * (inverse @ (np.sign(scores[enter]) * V[enter]))
            with np.errstate(divide="ignore", invalid="ignore"):
                ratios = np.where(column > 1e-12, np.abs(weights) / column, np.inf)
            leave = int(np.argmin(ratios))
            if not np.isfinite(ratios[leave]):
                break
            basis = basis.copy()
            basis[leave] = enter
        weights = np.linalg.solve(V[self.basis].T, x)
        return self._combined(x, weights, V[self.basis])

    def _combined(self, x: Array, weights: Array, vertices: Array) -> float:
        """sum |weights| plus the norm of what they leave of x."""
        total = float(np.sum(np.abs(weights)))
        rest = float(np.linalg.norm(x - weights @ vertices))
        size = float(np.linalg.norm(x) + np.abs(weights) @ np.linalg.norm(vertices, axis=1))
        rounding = (len(weights) + 4) * EPS * size
        return total * (1 + len(weights) * EPS) + self.gain * (rest + rounding)


def polytope_bound(given: MatrixSet, word: Word, slack: float, budget: int) -> float:
    """An upper bound on the joint spectral radius by a polytope; infinite where none closes.

    Parameters
    ----------
    given : MatrixSet
        In coordinates where the norms are of the order one.
    word : Word
        The best word, whose leading eigenvectors are the first vertices.
    slack : float
        By which share the bound may exceed the averaged spectral radius of the word.
    budget : int
        How many images of vertices may be examined.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> pair = MatrixSet(np.array([[[1.0, 1], [0, 1]], [[1.0, 0], [1, 1]]]), np.zeros(2))
    >>> golden = (1 + 5**0.5) / 2
    >>> bound = polytope_bound(pair, Word((0, 1), golden), 0.0, 200)
    >>> bool(0 <= bound / golden - 1 < 1e-8)
    True
    """
    if not word.radius > 0 or given.size > LARGEST:
        return float("inf")
    try:
        return _closed_hull(given, word, word.radius * (1 + slack), budget)
    except np.linalg.LinAlgError:  # the vertices lie in a plane, as far as rounding can tell
        return float("inf")


def _closed_hull(given: MatrixSet, word: Word, radius: float, budget: int) -> float:
    """The bound by the hull that grows until every image / radius of a vertex lies in it."""
    hull = _Hull(_first_vertices(given, word))
    largest, letters, queue = 0.0, norms(given), list(hull.vertices)
    missed = given.errors + (given.size + 4) * EPS * np.linalg.norm(given.matrices, axis=(-2, -1))
    while queue:
        vertex = queue.pop(0)
        length = float(np.linalg.norm(vertex))
        for i in np.argsort(-letters):
            image = given.matrices[i] @ vertex / radius
            # What the float image is off by, in the norm of the hull.
            off = hull.gain * (float(missed[i]) * length / radius + EPS * float(np.sum(abs(image))))
            size = hull.norm(image)
            budget -= 1
            if size > 1 + CLOSED:
                hull.add(image)
                queue.append(image)
                size = 1.0
            largest = max(largest, size + 1.01 * off)
            if budget <= 0 or not np.isfinite(off):
                return float("inf")
    return largest * radius * (1 + 8 * EPS)


def _first_vertices(given: MatrixSet, word: Word) -> Array:
    """The leading eigenvectors of the turns of the word, and small ones for what they do not span.

    For a complex pair, the real and the imaginary part at as many phases as keep the hull round.
    """
    product = np.eye(given.size)
    for i in word.letters:
        product = given.matrices[i] @ product / word.radius
    values, vectors = np.linalg.eig(product)
    lead = int(np.argmax(np.abs(values)))
    leading = vectors[:, lead] / np.linalg.norm(vectors[:, lead])
    if abs(values[lead].imag) > 1e-9 * abs(values[lead]):
        phases = np.exp(1j * np.pi * np.arange(8) / 8)
        starts = [(phase * leading).real for phase in phases]
    else:
        starts = [leading.real / np.linalg.norm(leading.real)]
    vertices = []
    for start in starts:
        v = start
        for i in word.letters:
            vertices.append(v)
            v = given.matrices[i] @ v / word.radius
    found = np.array(vertices)
    _, sizes, directions = np.linalg.svd(found)
    missing = directions[int(np.sum(sizes > 1e-2 * sizes[0])) :]
    return np.concatenate([found, 1e-2 * missing])
