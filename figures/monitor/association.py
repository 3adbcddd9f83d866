"""How well numbers predict outcomes: survival, rank correlation and confusion counts."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray


def survival(
    losses: NDArray[Any], smoothed: NDArray[Any], ceiling: float | NDArray[Any]
) -> list[int]:
    """Return the step of each run after which its loss stays not finite or above the ceiling.

    Losses and their running means are ``[runs, steps]``; the ceiling is a number or ``[runs, 1]``.
    A run that is below the ceiling at its last step has survived: its time is censored there.
    """
    well = np.isfinite(losses) & (smoothed <= ceiling)
    steps = np.arange(1, losses.shape[-1] + 1)
    return np.max(np.where(well, steps, 0), axis=-1).tolist()


class Association(NamedTuple):
    """A rank correlation over `cases`; NaN if one of the two quantities is constant.

    `p_value` is two-sided and permutes cases within their stratum, as if they were independent.
    `low` and `high` enclose 95 % of the correlations when whole clusters are drawn with
    replacement, so the cases of a cluster may depend on each other.
    """

    rho: float
    p_value: float
    low: float
    high: float
    cases: int


def rank_correlation(x: ArrayLike, y: ArrayLike, strata: ArrayLike) -> float:
    """Return Spearman's correlation of x and y, ranked within strata; ties share their mean rank.

    Ranks are relative to the size of a stratum, so that strata with different units or levels can
    be pooled.

    Examples
    --------
    >>> rank_correlation([1, 2, 3, 10, 20, 30], [3, 2, 1, 0, -1, -2], [0, 0, 0, 1, 1, 1])
    -1.0
    """
    x, y, strata = (np.asarray(v) for v in (x, y, strata))
    return float(_correlations(x, y, strata, np.ones((1, len(x))))[0])


def _correlations(
    x: NDArray[Any], y: NDArray[Any], strata: NDArray[Any], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return a rank correlation for each row of weights, the multiplicities of the cases."""
    a, b = _ranks(x, strata, weights), _ranks(y, strata, weights)
    products = (np.sum(weights * u * v, axis=1) for u, v in ((a, b), (a, a), (b, b)))
    both, of_a, of_b = products
    size = np.sqrt(of_a * of_b)
    # A constant varies only by rounding.
    varies = size > 1e-9
    return np.clip(np.divide(both, size, out=np.full(len(size), np.nan), where=varies), -1, 1)


def _ranks(
    values: NDArray[Any], strata: NDArray[Any], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The share of each case's stratum below it, counting equal cases half, minus 1/2."""
    one, other = values[:, None], values[None, :]
    below = np.where(one == other, 0.5, other < one)
    same = (strata[:, None] == strata[None, :]).astype(np.float64)
    size = weights @ same
    return weights @ (below * same).T / np.where(size > 0, size, 1.0) - 0.5


def associate(
    x: ArrayLike, y: ArrayLike, strata: ArrayLike, clusters: ArrayLike, draws: int = 1000
) -> Association:
    """Return the rank correlation of x and y, its p-value, and its interval over clusters.

    Cases whose x is NaN are left out; y may be infinite.
    """
    values = np.asarray(x)
    known = ~np.isnan(values)
    u, v, within, whole = (np.asarray(one)[known] for one in (values, y, strata, clusters))
    rho, rng = rank_correlation(u, v, within), np.random.default_rng(0)
    if not np.isfinite(rho):
        return Association(rho, rho, rho, rho, len(u))
    a, b = (_ranks(one, within, np.ones((1, len(u))))[0] for one in (u, v))
    chance = _shuffled(a, within, draws, rng) @ b
    # The observed arrangement counts as one; equal ones may differ by rounding.
    extreme = np.sum(np.abs(chance) >= abs(a @ b) - 1e-9)
    names, index = np.unique(whole, return_inverse=True)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), draws)
    found = _correlations(u, v, within, drawn[:, index].astype(np.float64))
    # Draws in which nothing varies have no correlation.
    low, high = np.nanquantile(found, (0.025, 0.975))
    return Association(rho, float((1 + extreme) / (1 + draws)), float(low), float(high), len(u))


def _shuffled(
    values: NDArray[np.float64], strata: NDArray[Any], draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return random permutations, ``[draws, cases]``, that keep each case in its stratum."""
    found = np.tile(values, (draws, 1))
    for stratum in np.unique(strata):
        mine = strata == stratum
        found[:, mine] = rng.permuted(found[:, mine], axis=1)
    return found


@dataclass(frozen=True)
class Confusion:
    """Counts of warnings and of the events that they predict."""

    hits: int
    false_alarms: int
    misses: int
    quiet: int

    @classmethod
    def count(cls, warned: ArrayLike, happened: ArrayLike) -> "Confusion":
        """Count two boolean arrays with one entry per case."""
        w, h = np.asarray(warned, bool), np.asarray(happened, bool)
        return cls(*(int(np.sum(cell)) for cell in (w & h, w & ~h, ~w & h, ~w & ~h)))

    def __str__(self) -> str:
        """Return how many of the warnings came true."""
        given = self.hits + self.false_alarms
        return f"{self.hits} of {given}" + (f" ({self.hits / given:.0%})" if given else "")

    @property
    def events(self) -> int:
        """The number of events."""
        return self.hits + self.misses

    @property
    def p_value(self) -> float:
        """The p-value of Fisher's two-sided exact test, as if cases were independent."""
        table = [[self.hits, self.false_alarms], [self.misses, self.quiet]]
        return float(scipy.stats.fisher_exact(table).pvalue)
