"""The joint spectral radius: known values, brute force over all words, and no wrong answer."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.joint_spectral_radius import KINDS, contradiction, random_set, sets, shortest
from nqm import joint_spectral_radius
from nqm.robust.family import fractions
from nqm.switching.branching import branch
from nqm.switching.edge import defective_at_one, never_rises
from nqm.switching.family import MatrixSet, conjugated, norm_bounds, norms, product_of
from nqm.switching.polytope import polytope_bound
from nqm.switching.quadratic import quadratic_norm
from nqm.switching.words import Word, best_word, primitive, proved_radius, proves_growth

GOLDEN = (1 + 5**0.5) / 2
SHEARS = np.array([[[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]])


def rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def multiplied(A: np.ndarray, word: tuple[int, ...]) -> np.ndarray:
    """A_{i_k} ... A_{i_1}."""
    result = np.eye(A.shape[1])
    for i in word:
        result = A[i] @ result
    return result


def radius(matrix: np.ndarray) -> float:
    return float(np.max(np.abs(np.linalg.eigvals(matrix))))


def brute_force(A: np.ndarray, longest: int) -> tuple[float, float]:
    """max rho^(1/k) over all words up to a length, and the least over k of max |.|^(1/k)."""
    lower, upper = 0.0, np.inf
    for length in range(1, longest + 1):
        words = [multiplied(A, w) for w in product(range(len(A)), repeat=length)]
        lower = max(lower, max(map(radius, words)) ** (1 / length))
        upper = min(upper, max(np.linalg.norm(w, 2) for w in words) ** (1 / length))
    return lower, upper


def encloses(A: np.ndarray, value: float, gap: float = 1e-3) -> None:
    found = joint_spectral_radius(A)
    assert found.lower <= value * (1 + 1e-14), found
    assert value <= found.upper * (1 + 1e-14), found
    assert found.gap <= gap * found.upper, found


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.618, 0.6181, 1e-30, 1e60])
def test_the_golden_ratio_of_two_shears(scale: float) -> None:
    found = joint_spectral_radius(scale * SHEARS)
    assert found.lower <= scale * GOLDEN * (1 + 1e-15)
    assert found.upper >= scale * GOLDEN * (1 - 1e-15)
    assert found.gap < 1e-9 * found.upper
    assert found.word == (0, 1)
    assert found.status == ("refuted" if scale * GOLDEN > 1 else "certified")


@pytest.mark.parametrize("size", [0.3, 0.999, 1.001, 2.0])
@pytest.mark.parametrize("angles", [(1.0,), (0.3, 2.0), (0.5, -0.5, 3.1)])
def test_scaled_rotations_have_their_largest_scale(size: float, angles: tuple) -> None:
    """Rotations keep the norm: only the scales count."""
    A = np.array([size * 0.9**i * rotation(angle) for i, angle in enumerate(angles)])
    encloses(A, size, 1e-12)
    assert joint_spectral_radius(A).status == ("certified" if size < 1 else "refuted")
    T = np.array([[1.0, 3.0], [0.0, 0.25]])  # in other coordinates their norms are large
    encloses(T @ A @ np.linalg.inv(T), size, 1e-5)


# Below the first value of alpha the best word of (A_0, alpha A_1) has more A_0 than A_1; each word
# is a Sturmian one (Hare, Morris, Sidorov and Theys 2011), here those up to slope 1/4.
HARE = {1.0: (0, 1), 0.9: (0, 1), 0.65: (0, 0, 1), 0.5: (0, 0, 0, 1)}


@pytest.mark.parametrize("alpha", HARE)
def test_hare_and_others_where_a_finite_word_is_the_best(alpha: float) -> None:
    A = np.array([SHEARS[0], alpha * SHEARS[1]])
    word = HARE[alpha]
    best = radius(multiplied(A, word)) ** (1 / len(word))
    encloses(A, best, 1e-8)
    lower, upper = brute_force(A, 10)
    assert lower <= best * (1 + 1e-12) <= upper * (1 + 1e-9)
    assert joint_spectral_radius(A).word == word


def test_hare_and_others_where_no_finite_word_is_the_best() -> None:
    """The alpha of their counterexample to the finiteness conjecture, to as many digits."""
    A = np.array([SHEARS[0], 0.749326546330367557943961948091344672091 * SHEARS[1]])
    found = joint_spectral_radius(A)
    lower, upper = brute_force(A, 11)
    assert found.lower <= upper
    assert lower <= found.upper
    assert found.gap < 1e-3 * found.upper
    closer = joint_spectral_radius(A, tolerance=1e-5, budget=60_000)
    assert found.lower * (1 - 1e-12) <= closer.lower <= closer.upper <= found.upper * (1 + 1e-12)
    assert closer.gap <= 1e-4 * closer.upper


def test_a_published_pair_with_a_long_best_word() -> None:
    """Blondel, Nesterov and Theys (2005) give 0.6596789 for this pair."""
    A = np.array([[[3.0, 0.0], [1.0, 3.0]], [[3.0, -3.0], [0.0, -1.0]]]) / 5
    found = joint_spectral_radius(A)
    assert found.lower < 0.65967895
    assert found.upper > 0.65967885
    assert found.gap < 1e-3


# Small matrices of my own choice, each bracketed by all words up to a length.
OWN = {
    "companions": [[[0, 1], [-0.5, 0.7]], [[0, 1], [0.3, -0.6]]],
    "nilpotents": [[[0, 2], [0, 0]], [[0, 0], [0.4, 0]]],
    "with a reflection": [[[1, 0.5], [0, 0.25]], [[-0.6, 0], [1, 0.6]]],
    "of rank one": [[[1, 2], [0.5, 1]], [[0.2, -0.4], [-0.1, 0.2]]],
    "integers": [[[1, -1], [2, 1]], [[0, 1], [1, 1]]],
    "three": [[[0.5, 1], [0, 0.5]], [[0.5, 0], [1, 0.5]], [[0.9, 0], [0, -0.9]]],
    "a permutation": [[[0, 1, 0], [0, 0, 1], [1, 0, 0]], [[0.5, 0, 0], [2, 0, 0], [0, 0, 1]]],
    "rows that sum to one": [[[0.5, 0.5], [0.1, 0.9]], [[1, 0], [0.7, 0.3]]],
    "cyclic shifts": [[[0, 0.9, 0], [0, 0, 0.9], [1.1, 0, 0]], [[0, 0, 1], [0.5, 0, 0], [0, 2, 0]]],
    "skew parts": [[[0.8, 0.5], [-0.5, 0.8]], [[0.8, -0.1], [2, 0.8]]],
}


@pytest.mark.parametrize("name", OWN)
def test_against_all_words_up_to_a_length(name: str) -> None:
    A = np.array(OWN[name], dtype=float)
    found = joint_spectral_radius(A)
    lower, upper = brute_force(A, 8 if len(A) == 2 else 6)
    assert lower <= found.upper * (1 + 1e-12)
    assert found.lower <= upper * (1 + 1e-12)
    assert found.lower >= lower * (1 - 2e-3)  # a word as good as the best of these was found
    assert found.gap <= 1e-3 * found.upper
    assert np.isclose(radius(multiplied(A, found.word)) ** (1 / len(found.word)), found.word_radius)


@pytest.mark.parametrize("seed", range(6))
def test_where_theory_gives_the_value(seed: int) -> None:
    """Symmetric, triangular and commuting sets have the largest single spectral radius."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((3, 4, 4)) / 3
    for A in (
        X + np.swapaxes(X, 1, 2),
        np.triu(X),
        np.array([X[0], X[0] @ X[0] / 2, np.eye(4) / 3]),
    ):
        encloses(A, max(map(radius, A)), 1e-2)


@pytest.mark.parametrize("seed", range(4))
def test_homogeneous_and_invariant(seed: int) -> None:
    """Of degree one, and the same for transposes, similar sets and convex combinations."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((2, 3, 3)) / 2
    found = joint_spectral_radius(A)
    T = np.linalg.qr(rng.standard_normal((3, 3)))[0] * [1.0, 3.0, 0.5]
    mixed = 0.3 * A[0] + 0.7 * A[1]
    for other, factor in (
        (4 * A, 4.0),
        (np.swapaxes(A, 1, 2), 1.0),
        (T @ A @ np.linalg.inv(T), 1.0),
        (np.array([*A, mixed, 0.5 * A[0] - 0.5 * A[1]]), 1.0),
        (-A, 1.0),
        (A[[1, 0, 1]], 1.0),
        (np.array([np.kron(X, Y) for X in A for Y in A]), found.upper),
    ):
        again = joint_spectral_radius(other, budget=4000)
        assert again.lower <= factor * found.upper * (1 + 1e-12)
        assert again.upper >= factor * found.lower * (1 - 1e-12) or factor == found.upper
    squared = joint_spectral_radius(np.array([X @ Y for X in A for Y in A]))
    assert squared.lower <= found.upper**2 * (1 + 1e-12)
    assert squared.upper >= found.lower**2 * (1 - 1e-12)


def test_what_is_exactly_at_one() -> None:
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    stochastic = np.array([[[0.5, 0.5], [0.25, 0.75]], [[1.0, 0.0], [0.5, 0.5]]])
    for bounded in ([turn, turn @ turn], stochastic, np.swapaxes(stochastic, 1, 2), [np.eye(3)]):
        found = joint_spectral_radius(np.array(bounded))
        assert found.status == "certified"
        assert found.upper == 1.0
    for growing in (SHEARS[:1], -SHEARS[:1], [SHEARS[0], turn @ turn], [[[1, 0.25], [0, 1]]]):
        found = joint_spectral_radius(np.array(growing))
        assert found.status == "refuted"
        assert found.lower >= 1.0
        power = np.linalg.matrix_power(multiplied(np.array(growing), found.word), 1000)
        assert np.linalg.norm(power) > 100


def test_finitely_many_products_are_bounded() -> None:
    """Two generators of order six and two in other than orthogonal coordinates; a shear added."""
    six = np.array([[0.0, -1.0], [1.0, 1.0]])
    swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    found = joint_spectral_radius([six, swap])
    assert (found.status, found.upper) == ("certified", 1.0)
    assert found.lower == pytest.approx(1, abs=1e-12)
    growing = joint_spectral_radius([swap, [[-1.0, 0.0], [2.0, 1.0]]])
    assert growing.status == "refuted"  # both are reflections; their product grows
    assert len(growing.word) == 2


def test_beside_one_by_one_rounding() -> None:
    """In rational numbers 1 + 2^-52 is above one, and its predecessor below."""
    above, below = np.nextafter(1.0, 2.0), np.nextafter(1.0, 0.0)
    assert joint_spectral_radius([[above]]).status == "refuted"
    assert joint_spectral_radius([[above]]).lower > 1
    assert joint_spectral_radius([[below]]).status == "certified"
    assert joint_spectral_radius([[[0.0, above], [1.0, 0.0]]]).status == "refuted"
    assert joint_spectral_radius([[[0.0, 2 * below], [0.5, 0.0]]]).status != "refuted"
    assert joint_spectral_radius([[[0.0, 2 * above], [0.5, 0.0]]]).status == "refuted"


def test_zero_and_nilpotent_sets() -> None:
    assert joint_spectral_radius(np.zeros((2, 3, 3))).upper < 1e-200
    strictly_upper = np.triu(np.arange(18.0).reshape(2, 3, 3), 1)
    assert joint_spectral_radius(strictly_upper).upper < 1e-200
    jordan = np.array([[[0.0, 5.0], [0.0, 0.0]], [[0.0, -7.0], [0.0, 0.0]]])
    assert joint_spectral_radius(jordan).status == "certified"


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_no_answer_is_wrong(seed: int) -> None:
    """Random sets at the edge, against long random products and all short words."""
    rng = np.random.default_rng(seed)
    A = random_set(rng, KINDS[seed % len(KINDS)])[:, :4, :4]
    best = shortest(A, 4)
    A = A * (rng.uniform(0.95, 1.05) / best if best > 1e-3 else 1.0)
    found = joint_spectral_radius(A, budget=int(rng.choice([1, 50, 2000])))
    assert contradiction(rng, A, found) == ""
    assert 0 <= found.lower <= found.upper
    assert found.lower <= brute_force(A, 3)[1] * (1 + 1e-12)


def test_no_answer_is_wrong_on_the_sets_of_the_benchmark() -> None:
    rng = np.random.default_rng(1)
    decided = 0
    for _, A in sets(rng, 60):
        found = joint_spectral_radius(A, budget=1000)
        assert contradiction(rng, A, found) == ""
        decided += found.status != "unknown"
    assert decided >= 54


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_each_upper_bound_is_one(seed: int) -> None:
    """Of a similar set, of a polytope and of a tree, each by itself, also where it stops early."""
    rng = np.random.default_rng(seed)
    A = random_set(rng, KINDS[seed % len(KINDS)])[:3, :3, :3]
    A = A / max(shortest(A, 2), 1e-3)
    given_set = MatrixSet(A, np.zeros(len(A)))
    seen = shortest(A, 6) * (1 - 1e-12)
    T, inner, gamma = quadratic_norm(given_set)
    assert gamma >= seen
    X = T.T @ T
    scale = float(np.linalg.norm(X)) * (1 + float(np.max(np.abs(A)))) ** 2
    assert np.linalg.eigvalsh(gamma**2 * X - np.swapaxes(A, 1, 2) @ X @ A).min() > -1e-9 * scale
    word = best_word(inner, 300)
    assert word.radius >= shortest(A, 2) * (1 - 1e-8)
    for slack in (0.0, 0.05):
        assert polytope_bound(inner, word, slack, 200) >= seen
    poor = Word((0,), max(radius(A[0]), 0.1))  # a polytope from any word is a bound
    assert polytope_bound(inner, poor, 0.5, 100) >= seen
    for budget in (1, 20, 500):
        assert branch(inner, 0.0, budget, word).upper >= seen


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_errors_are_covered(seed: int) -> None:
    """What holds of a set with errors holds of every set within them."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((2, 3, 3)) / 2
    E = rng.standard_normal(A.shape)
    E *= 0.01 * rng.random() / np.linalg.norm(E, 2, axis=(1, 2))[:, None, None]
    uncertain = MatrixSet(A, np.linalg.norm(E, 2, axis=(1, 2)))
    assert np.all(norms(uncertain) >= np.linalg.norm(A + E, 2, axis=(1, 2)))
    T = rng.standard_normal((3, 3))
    inner = conjugated(uncertain, T)
    assert inner is not None
    off = np.linalg.norm(inner.matrices - T @ (A + E) @ np.linalg.inv(T), 2, axis=(1, 2))
    assert np.all(off <= inner.errors * (1 + 1e-9) + 1e-12)
    word = tuple(int(i) for i in rng.integers(0, 2, 5))
    floats, error = product_of(uncertain, word)
    assert np.linalg.norm(floats - multiplied(A + E, word), 2) <= error
    assert proved_radius(uncertain, word) <= radius(multiplied(A + E, word)) ** 0.2 * (1 + 1e-12)
    seen = shortest(A + E, 4) * (1 - 1e-12)
    assert branch(uncertain, 0.0, 200, Word((0,), 0.0)).upper >= seen
    assert polytope_bound(uncertain, best_word(uncertain, 100), 0.2, 300) >= seen


def test_the_parts() -> None:
    assert conjugated(MatrixSet(SHEARS, np.zeros(2)), np.diag([1.0, 0.0])) is None
    assert conjugated(MatrixSet(SHEARS, np.zeros(2)), np.diag([1.0, 1e-200])) is None
    assert np.all(norm_bounds(SHEARS) >= GOLDEN)  # their 2-norm
    assert primitive((1, 0, 1, 1, 0, 1)) == (0, 1, 1)
    exact = tuple(fractions(X) for X in SHEARS)
    assert never_rises(MatrixSet(SHEARS, np.zeros(2), exact)) == ""
    assert not proves_growth(MatrixSet(SHEARS / 2, np.zeros(2)), (0, 1))
    assert defective_at_one([[Fraction(-1), Fraction(1)], [Fraction(0), Fraction(-1)]])
    assert not defective_at_one([[Fraction(2), Fraction(1)], [Fraction(0), Fraction(2)]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0, 2.0]],), "stack of square matrices"),
        ((np.zeros((0, 2, 2)),), "empty"),
        (([[np.nan]],), "finite"),
        (([[1j]],), "real numbers"),
        (([[1.0]], 0.0), "tolerance must be positive"),
        (([[1.0]], 1e-3, 0), "budget must be an integer of at least 1"),
        ((np.zeros((4097, 1, 1)),), "at most 4096"),
        ((np.zeros((1, 201, 201)),), "at most 200 rows"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple, message: str) -> None:
    names = dict(zip(("matrices", "tolerance", "budget"), arguments, strict=False))
    with pytest.raises(ValueError, match=message) as error:
        joint_spectral_radius(**names)
    assert "\n" not in str(error.value)
