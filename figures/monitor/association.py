"""How well numbers known beforehand foretell what happens: survival, ranks, confusion."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray


def survival(
    losses: NDArray[Any], smoothed: NDArray[Any], ceiling: float | NDArray[Any]
) -> list[int]:
    """For each run the steps after which its loss is not finite or above the ceiling for good.

    Losses and their running means are ``[runs, steps]``, the ceiling one or ``[runs, 1]``. A
    run that is well at its last step has survived all of them: its time is censored there.
    """
    well = np.isfinite(losses) & (smoothed <= ceiling)
    steps = np.arange(1, losses.shape[-1] + 1)
    return np.max(np.where(well, steps, 0), axis=-1).tolist()


class Association(NamedTuple):
    """A rank correlation over `cases`; NaN where one of the two is constant.

    `p_value` is that of permuting cases within their stratum, two-sided, as if they were
    independent. `low` and `high` enclose 95 % of the correlations when whole clusters are drawn
    with replacement, which asks for less: the cases of a cluster may depend on each other.
    """

    rho: float
    p_value: float
    low: float
    high: float
    cases: int


def rank_correlation(x: ArrayLike, y: ArrayLike, strata: ArrayLike) -> float:
    """Spearman's correlation of x and y, ranked within strata; ties share their mean rank.

    With one stratum it is Spearman's own. Ranks are taken as shares of a stratum's size, so that
    strata of different units or levels can be pooled without their difference counting.

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
    """A rank correlation for each row of weights: how often it counts each case."""
    a, b = _ranks(x, strata, weights), _ranks(y, strata, weights)
    products = (np.sum(weights * u * v, axis=1) for u, v in ((a, b), (a, a), (b, b)))
    both, of_a, of_b = products
    size = np.sqrt(of_a * of_b)
    # Less than what rounding makes of a constant is one.
    varies = size > 1e-9
    return np.clip(np.divide(both, size, out=np.full(len(size), np.nan), where=varies), -1, 1)


def _ranks(
    values: NDArray[Any], strata: NDArray[Any], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of each case the share of its stratum that lies below it, half of its equals, less 1/2."""
    one, other = values[:, None], values[None, :]
    below = np.where(one == other, 0.5, other < one)
    same = (strata[:, None] == strata[None, :]).astype(np.float64)
    size = weights @ same
    return weights @ (below * same).T / np.where(size > 0, size, 1.0) - 0.5


def associate(
    x: ArrayLike, y: ArrayLike, strata: ArrayLike, clusters: ArrayLike, draws: int = 1000
) -> Association:
    """The rank correlation of x and y over the cases where x is known, how likely it is by chance,
    and how far it depends on which clusters there are.

    `y` may be infinite, `x` NaN where it is unknown.
    """
    values = np.asarray(x)
    known = ~np.isnan(values)
    u, v, within, whole = (np.asarray(one)[known] for one in (values, y, strata, clusters))
    rho, rng = rank_correlation(u, v, within), np.random.default_rng(0)
    if not np.isfinite(rho):
        return Association(rho, rho, rho, rho, len(u))
    a, b = (_ranks(one, within, np.ones((1, len(u))))[0] for one in (u, v))
    chance = _shuffled(a, within, draws, rng) @ b
    # The arrangement seen is one of those counted; equal ones may differ by rounding.
    extreme = np.sum(np.abs(chance) >= abs(a @ b) - 1e-9)
    names, index = np.unique(whole, return_inverse=True)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), draws)
    found = _correlations(u, v, within, drawn[:, index].astype(np.float64))
    # A draw in which nothing varies says nothing.
    low, high = np.nanquantile(found, (0.025, 0.975))
    return Association(rho, float((1 + extreme) / (1 + draws)), float(low), float(high), len(u))


def _shuffled(
    values: NDArray[np.float64], strata: NDArray[Any], draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Random permutations ``[draws, cases]`` that keep each case in its stratum."""
    found = np.tile(values, (draws, 1))
    for stratum in np.unique(strata):
        mine = strata == stratum
        found[:, mine] = rng.permuted(found[:, mine], axis=1)
    return found


@dataclass(frozen=True)
class Confusion:
    """How often a warning was given and how often what it warns of happened."""

    hits: int
    false_alarms: int
    misses: int
    quiet: int

    @classmethod
    def count(cls, warned: ArrayLike, happened: ArrayLike) -> "Confusion":
        """Of two boolean arrays, one entry a case."""
        w, h = np.asarray(warned, bool), np.asarray(happened, bool)
        return cls(*(int(np.sum(cell)) for cell in (w & h, w & ~h, ~w & h, ~w & ~h)))

    def __str__(self) -> str:
        """How many of the warnings came true."""
        given = self.hits + self.false_alarms
        return f"{self.hits} of {given}" + (f" ({self.hits / given:.0%})" if given else "")

    @property
    def events(self) -> int:
        """How often it happened."""
        return self.hits + self.misses

    @property
    def p_value(self) -> float:
        """Fisher's exact test, two-sided, cases as if independent."""
        table = [[self.hits, self.false_alarms], [self.misses, self.quiet]]
        return float(scipy.stats.fisher_exact(table).pvalue)
