r"""Where the eigenvalues may be that a Krylov space has missed, with a stated confidence.

A small residual says that a Ritz value is near *some* eigenvalue, not that no other lies further
out. With the Krylov identity A Q^T = Q^T H + h q e^T the polynomial p with the Ritz values as its
roots satisfies

.. math:: p(A) v = h_{21} \cdots h_{m, m-1} \, h \, q

for the start v and a unit vector q. A unit left eigenvector z of an eigenvalue \lambda turns this
into |p(\lambda)| |z^* v| <= h_{21} ... h. A random start has a share of z, |z^* v| >= delta, with a
probability that is known whatever A is, and so \lambda lies where |p| is at most the product over
delta. No further product with A is needed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lopt.monitor.krylov.arnoldi import KrylovFactorization

__all__ = ["CONFIDENCE", "Enclosure", "enclosure"]

#: The probability with which an extreme eigenvalue lies in its enclosure.
CONFIDENCE = 0.99
HALVINGS = 60
ANGLES = 181


@dataclass(frozen=True)
class Enclosure:
    """{lambda: prod_i |lambda - theta_i| <= exp(log_level)}, widened by `slack`.

    Any one eigenvalue of the operator, such as its largest, lies there with probability
    `CONFIDENCE` over the random start. What the operator has no random start for, and the
    rounding of its products beyond `slack`, are not covered.

    Attributes
    ----------
    roots : ndarray, shape (m,)
        theta, all Ritz values.
    log_level : float
        log(h_21 ... h_m,m-1 h / delta).
    real : bool
        The eigenvalues are real, since the operator is symmetric in some coordinates.
    slack : float

    References
    ----------
    .. [1] van Dorsselaer, Hochstenbach, van der Vorst, SIAM J. Matrix Anal. Appl. 22 (2000)
       837-852, for symmetric operators.
    .. [2] Kuczynski, Wozniakowski, SIAM J. Matrix Anal. Appl. 13 (1992) 1094-1122.

    Examples
    --------
    >>> one = Enclosure(np.array([1.0, 3.0]), math.log(8.0), real=True)
    >>> round(one.largest, 12), round(one.smallest, 12)           # (x - 1)(x - 3) = 8
    (5.0, -1.0)
    """

    roots: np.ndarray
    log_level: float
    real: bool
    slack: float = 0.0

    @property
    def largest(self) -> float:
        """A bound on the real part of the eigenvalue that lies furthest right."""
        ends = np.real(self.roots)
        return float(ends.max() + self._beyond(ends.max() - ends) + self.slack)

    @property
    def smallest(self) -> float:
        """A bound on the real part of the eigenvalue that lies furthest left."""
        ends = np.real(self.roots)
        return float(ends.min() - self._beyond(ends - ends.min()) - self.slack)

    @property
    def modulus(self) -> float:
        """A bound on the largest modulus."""
        if self.real:
            return max(abs(self.largest), abs(self.smallest))
        angles = np.concatenate([np.linspace(0, np.pi, ANGLES), np.abs(np.angle(self.roots))])
        reach = self._outward(angles)
        near = angles[reach.argmax()] + np.linspace(-1, 1, ANGLES) * np.pi / ANGLES
        return float(np.abs(self.roots).max() + max(reach.max(), self._outward(near).max()))

    def reflected(self, shift: float, slack: float) -> "Enclosure":
        """That of shift * I - A + E, E of a size that `slack` allows for."""
        return replace(self, roots=shift - self.roots, slack=self.slack + slack)

    def _beyond(self, gaps: np.ndarray) -> float:
        """t >= 0 with prod_i (t + gaps_i) = level; |lambda - theta| is no less than its real part,
        so that complex roots are covered.
        """
        return float(self._solve(lambda t: t + gaps, 1)[0])

    def _outward(self, angles: np.ndarray) -> np.ndarray:
        """For each direction how much further out than every root the enclosure reaches."""
        turns, outermost = np.exp(1j * angles)[:, None], np.abs(self.roots).max()
        found = self._solve(
            lambda t: np.abs((outermost + t)[:, None] * turns - self.roots), len(angles)
        )
        return found + self.slack

    def _solve(self, distances: Callable[[np.ndarray], np.ndarray], count: int) -> np.ndarray:
        """The least t >= 0 from which on the product of the distances, each at least t and
        increasing, exceeds the level; by bisection, rounded up.
        """
        low, high = np.zeros(count), np.full(count, math.exp(self.log_level / len(self.roots)))
        with np.errstate(divide="ignore"):
            for _ in range(HALVINGS):
                middle = (low + high) / 2
                inside = np.log(distances(middle)).sum(axis=-1) < self.log_level
                low, high = np.where(inside, middle, low), np.where(inside, high, middle)
            outside = np.log(distances(np.zeros(count))).sum(axis=-1) >= self.log_level
        return np.where(outside, 0.0, high)


def enclosure(
    factorization: KrylovFactorization,
    projection: np.ndarray,
    roots: np.ndarray,
    rounding: float,
    *,
    real: bool,
) -> Enclosure | None:
    """The enclosure of a factorization with these Ritz values; None where they are all there are.

    For a unit vector z and independent entries, uniform or normal, with a joint density of z . v of
    at most sqrt(n/6)/share (Ball's theorem on slices of the cube), P(|z . v| < delta) is at most
    delta sqrt(2n/3)/share; of a complex z some multiple has a real part of length 1/sqrt(2) or
    more, which gives another factor sqrt(2).
    """
    dimension, share = int(factorization.dimension), float(factorization.random_share)
    size = len(projection)
    if size >= dimension:
        return None
    # Below the rounding error of a product a remainder counts as none.
    lengths = np.append(np.diag(projection, -1), max(float(factorization.coupling), rounding))
    if not lengths.all():
        return Enclosure(roots, -math.inf, real, rounding)
    scarce = math.sqrt(4 * dimension / 3) / ((1 - CONFIDENCE) * share)
    return Enclosure(roots, float(np.log(lengths).sum() + math.log(scarce)), real, rounding)
