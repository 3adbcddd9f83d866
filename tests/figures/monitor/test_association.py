"""Rank correlation, survival and confusion counts on synthetic data with known answers."""

import math

import numpy as np
import pytest
import scipy.stats

from figures.monitor.association import Confusion, associate, rank_correlation, survival

RNG = np.random.default_rng(5)
ONE = np.zeros(40, int)
CLUSTERS = np.arange(40) // 5


def test_perfect_and_reversed() -> None:
    """An increasing function has correlation 1 and a decreasing one -1, with small p-values."""
    x = RNG.permutation(40.0 + np.arange(40))
    for y, rho in ((np.exp(x / 9), 1.0), (-(x**3), -1.0)):
        found = associate(x, y, ONE, CLUSTERS, draws=300)
        assert found.rho == pytest.approx(rho)
        assert found.p_value == pytest.approx(1 / 301)
        assert found.low == pytest.approx(rho)
        assert found.high == pytest.approx(rho)
        assert found.cases == 40


def test_independent_numbers_are_seldom_taken_for_related() -> None:
    """Without a relation p is uniform: about a tenth of many samples are below 0.1."""
    draws = [associate(*RNG.random((2, 20)), ONE[:20], CLUSTERS[:20], 59) for _ in range(80)]
    small = sum(found.p_value < 0.101 for found in draws)
    assert scipy.stats.binomtest(small, 80, 0.1).pvalue > 1e-3
    assert abs(np.mean([found.rho for found in draws])) < 4 / math.sqrt(80 * 19)
    assert np.mean([found.low < 0 < found.high for found in draws]) > 0.7


@pytest.mark.parametrize("ties", [1, 8])
def test_one_stratum_is_spearmans(ties: int) -> None:
    x, noise = RNG.random((2, 60))
    y = np.floor(ties * (x + noise)) if ties > 1 else x + noise
    expected = scipy.stats.spearmanr(x, y).statistic
    assert rank_correlation(x, y, np.zeros(60)) == pytest.approx(expected)


def test_strata_are_not_mixed() -> None:
    """The data fall within each of two strata and rise from one to the other."""
    x = np.r_[np.arange(20.0), 100 + np.arange(20.0)]
    y = np.r_[-np.arange(20.0), 50 - np.arange(20.0)]
    strata = np.repeat([0, 1], 20)
    assert rank_correlation(x, y, ONE) > 0.4
    assert rank_correlation(x, y, strata) == pytest.approx(-1)
    assert associate(x, y, strata, CLUSTERS, 99).p_value == pytest.approx(0.01)


def test_what_is_unknown_or_infinite() -> None:
    """A NaN in x leaves the case out, an infinite y ranks last, a constant has no correlation."""
    found = associate([1, 2, math.nan, 3], [0.1, 0.2, -9, math.inf], ONE[:4], [0, 1, 2, 3], 99)
    assert (found.cases, found.rho) == (3, pytest.approx(1))
    assert math.isnan(associate(np.ones(40), RNG.random(40), ONE, CLUSTERS).rho)


def test_a_cluster_is_drawn_whole() -> None:
    """Two clusters with opposite relations give an interval from -1 to 1, unlike single cases."""
    x = np.r_[np.arange(20.0), np.arange(20.0)]
    y = np.r_[np.arange(20.0), -np.arange(20.0)]
    found = associate(x, y, ONE, np.repeat([0, 1], 20), 200)
    assert (found.low, found.high) == (pytest.approx(-1), pytest.approx(1))


def test_survival_and_its_censoring() -> None:
    """Runs that stay below, leave, return, never are below, and end in NaN."""
    losses = np.array(
        [[1, 1, 1, 1], [1, 1, 9, 9], [1, 9, 9, 1], [9, 9, 9, 9], [1, 1, 1, np.nan]], np.float32
    )
    assert survival(losses, np.nan_to_num(losses, nan=9), 2.0) == [4, 2, 4, 0, 3]
    # An infinite loss is above the ceiling even if the clipped mean is below it.
    assert survival(np.array([[1.0, np.inf]]), np.array([[1.0, 1.5]]), 2.0) == [1]


def test_confusion() -> None:
    warned = [True, True, True, False, False, False, False]
    happened = [True, True, False, True, False, False, False]
    assert Confusion.count(warned, happened) == Confusion(2, 1, 1, 3)
    assert str(Confusion(2, 1, 1, 3)) == "2 of 3 (67%)"
    assert Confusion(2, 1, 1, 3).events == 3
    assert str(Confusion(0, 0, 1, 3)) == "0 of 0"
    # Of the 252 tables with these margins, 2 are as extreme.
    assert Confusion(5, 0, 0, 5).p_value == pytest.approx(2 / math.comb(10, 5))
    assert Confusion(4, 4, 4, 4).p_value == pytest.approx(1)
