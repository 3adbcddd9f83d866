"""The spectral density of a Hessian by stochastic Lanczos quadrature."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


class Estimate(NamedTuple):
    """A number and how far it may be off."""

    value: float
    error: float


@dataclass(frozen=True)
class Density:
    """The distribution of the eigenvalues, as the mean of Gauss quadratures from random vectors.

    A random unit vector v defines a measure with the weight (v^T x)^2 at every eigenvalue, whose
    mean is the distribution of the eigenvalues. Lanczos from v gives the nodes and weights of its
    Gauss quadrature.

    Attributes
    ----------
    nodes, weights : tuple of ndarray, shapes (k,)
        Those of each random vector; the weights of one have the sum 1.
    dimension : int
        The number of eigenvalues.

    References
    ----------
    .. [1] Ubaru, Chen, Saad, SIAM J. Matrix Anal. Appl. 38 (2017) 1075-1099.

    Examples
    --------
    >>> flat = Density((np.array([1.0, 3.0]),) * 2, (np.array([0.5, 0.5]),) * 2, 10)
    >>> flat.trace.value, flat.count_above(2.0).value
    (20.0, 5.0)
    """

    nodes: tuple[Vector, ...]
    weights: tuple[Vector, ...]
    dimension: int

    @property
    def trace(self) -> Estimate:
        """The sum of the eigenvalues; its error is the standard error over the vectors."""
        pairs = zip(self.nodes, self.weights, strict=True)
        return self._estimate([float(w @ x) for x, w in pairs])

    def count_above(self, threshold: float) -> Estimate:
        """The number of eigenvalues above the threshold.

        The error is the standard error over the vectors plus what quadrature leaves open: by the
        inequalities of Chebyshev, Markov and Stieltjes at most the larger weight of the two nodes
        beside the threshold.
        """
        shares, open_ = [], []
        for nodes, weights in zip(self.nodes, self.weights, strict=True):
            order = np.argsort(nodes)
            sorted_weights = weights[order]
            place = int(np.searchsorted(nodes[order], threshold, side="right"))
            beside = sorted_weights[max(place - 1, 0) : place + 1]
            shares.append(float(sorted_weights[place:].sum()))
            # A space that holds every eigenvalue has no quadrature error.
            open_.append(0.0 if len(nodes) == self.dimension else float(beside.max()))
        counted = self._estimate(shares)
        return Estimate(counted.value, counted.error + self.dimension * float(np.mean(open_)))

    def pdf(self, grid: Vector, width: float) -> tuple[Vector, Vector]:
        """The density on a grid, each node widened to a Gaussian of standard deviation `width`, and
        its standard error over the vectors.
        """
        each = np.array(
            [
                np.exp(-0.5 * ((grid[:, None] - nodes) / width) ** 2) @ weights
                for nodes, weights in zip(self.nodes, self.weights, strict=True)
            ]
        ) / (width * np.sqrt(2 * np.pi))
        return each.mean(axis=0), each.std(axis=0, ddof=1) / np.sqrt(len(each))

    def _estimate(self, means: list[float]) -> Estimate:
        values = self.dimension * np.array(means)
        return Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))
