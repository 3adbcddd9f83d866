"""The model: validated once, immutable, with both conventions of the noise."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nqm import NoisyQuadratic, check, update_matrix
from tests.nqm.strategies import hessian, rotation

H = np.array([[2.0, 1.0], [1.0, 2.0]])


def test_it_is_a_read_only_copy() -> None:
    given_hessian = H.copy()
    model = NoisyQuadratic(given_hessian, np.eye(2), [1, 2], 3 * np.eye(2))
    given_hessian[0, 0] = 99
    assert model.hessian[0, 0] == 2
    for array in (
        model.hessian,
        model.noise_covariance,
        model.initial_mean,
        model.initial_covariance,
        model.hessian_eigenvalues,
    ):
        assert array.dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.hessian = np.eye(2)  # type: ignore[misc]


def test_defaults_are_silence() -> None:
    model = NoisyQuadratic(H)
    assert not model.noise_covariance.any()
    assert not model.initial_second_moment.any()


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_two_conventions_of_noise_are_inverse(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    G = hessian(rng, n, 3.0)
    X = rng.standard_normal((n, n))
    S = G @ X @ X.T @ G
    model = NoisyQuadratic.with_gradient_noise(G, (S + S.T) / 2)
    assert np.allclose(model.gradient_noise_covariance, S, atol=1e-9 * np.linalg.norm(S))


def test_gradient_noise_outside_the_range_of_the_hessian_is_refused() -> None:
    singular = np.diag([1.0, 0.0])
    inside = NoisyQuadratic.with_gradient_noise(singular, np.diag([4.0, 0.0]))
    assert np.allclose(inside.noise_covariance, np.diag([4.0, 0.0]))
    with pytest.raises(ValueError, match="range of the hessian"):
        NoisyQuadratic.with_gradient_noise(singular, np.eye(2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1, 2], [3, 4]],), r"hessian must be symmetric.*at \(0, 1\)"),
        (([[1.0, 0], [0, -1]],), "hessian must be positive semidefinite"),
        ((np.eye(2), np.eye(3)), "noise_covariance must be 2 x 2"),
        ((np.eye(2), -np.eye(2)), "noise_covariance must be positive semidefinite"),
        ((np.eye(2), None, [1, 2, 3]), "initial_mean must be a vector of length 2"),
        ((np.eye(2), None, None, [[1, 2], [2, 1]]), "initial_covariance must be positive"),
        (("paper",), "hessian must hold real numbers"),
        (([[1e101]],), "at most 1e\\+100"),
    ],
)
def test_errors_name_the_argument_and_the_rule(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        NoisyQuadratic(*arguments)
    assert "\n" not in str(caught.value)


def test_asymmetry_of_rounding_size_is_averaged() -> None:
    tilted = H + np.array([[0, 1e-13], [0, 0]])
    model = NoisyQuadratic(tilted)
    assert np.array_equal(model.hessian, model.hessian.T)


@given(st.integers(2, 6), st.integers(0, 2**32 - 1), st.booleans())
def test_a_singular_hessian_is_judged_on_its_range(n: int, seed: int, symmetric: bool) -> None:
    """In coordinates Q = [range, null] the update is block triangular with the range's block."""
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, n))
    Q = rotation(rng, n)
    h = np.sort(rng.uniform(0.1, 1, rank))
    G = (Q[:, :rank] * h) @ Q[:, :rank].T
    P = rng.standard_normal((n, n)) * 0.7
    P = (P + P.T) / 2 if symmetric else P
    report = check((G + G.T) / 2, P, 0.5)
    block = update_matrix(np.diag(h), Q[:, :rank].T @ P @ Q[:, :rank], 0.5)
    expected = np.max(np.abs(np.linalg.eigvals(block)))
    assert report.rank == rank
    assert report.spectrum.spectral_radius == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert "judged on its range" in report.text()


def test_the_large_route_agrees_with_the_small_one() -> None:
    """Above N = 200 only the extreme eigenvalues of H and P are computed."""
    rng = np.random.default_rng(0)
    n = 230
    G = hessian(rng, n, 4.0)
    G = G / np.linalg.eigvalsh(G)[-1]
    P = rng.standard_normal((n, n)) / n
    P = (P + P.T) / 2
    model = NoisyQuadratic(G)
    assert model.rank == n
    assert np.allclose(model.extreme_hessian_eigenvalues, model.hessian_eigenvalues[[0, -1]])
    report = check(model, P, 0.5)
    p = np.linalg.eigvalsh(P)
    exact = np.linalg.eigvalsh(2 * np.linalg.inv(G) - P)[0]
    assert report.nominal_step_interval == pytest.approx((-p[0], exact), rel=1e-6)
    values = np.linalg.eigvals(update_matrix(G, P, 0.5))
    assert report.spectrum.spectral_radius == pytest.approx(np.max(np.abs(values)), rel=1e-9)
    theorem = report.conditions[0]
    assert (theorem.smallest, theorem.largest) == pytest.approx((p[0], p[-1]))
