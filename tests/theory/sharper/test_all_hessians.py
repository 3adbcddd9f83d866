"""The open question by experiment: the exact sets against Hessians that were searched for.

The theorems are proved in `theory.sharper.all_hessians`; here random M on either side of each
boundary meet random Hessians (none may destabilize what is inside) and the constructed worst ones
(which must destabilize what is outside).
"""

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import minimize

from theory.catalogue import find

ROUNDING = 1e-9


def spectral_radius(gain: np.ndarray, hessian: np.ndarray) -> float:
    """rho(I - M H)."""
    return float(np.abs(np.linalg.eigvals(np.eye(len(gain)) - gain @ hessian)).max())


def random_hessian(generator: np.random.Generator, size: int) -> np.ndarray:
    """Symmetric, 0 < H <= I, with many eigenvalues near 0 or 1, where the worst ones are."""
    basis, _ = np.linalg.qr(generator.normal(size=(size, size)))
    values = np.where(
        generator.random(size) < 0.5, generator.random(size), generator.integers(0, 2, size)
    )
    return basis @ np.diag(np.clip(values, 1e-6, 1)) @ basis.T


def symmetric_part(matrix: np.ndarray) -> np.ndarray:
    return (matrix + matrix.T) / 2


def second_compound(matrix: np.ndarray) -> np.ndarray:
    """The 2 x 2 minors, by pairs of rows and columns."""
    rows, columns = np.triu_indices(len(matrix), 1)
    a = matrix[np.ix_(rows, rows)] * matrix[np.ix_(columns, columns)]
    return a - matrix[np.ix_(rows, columns)] * matrix[np.ix_(columns, rows)]


def excess(offset: np.ndarray) -> float:
    """How far I - M is from the boundary, N <= 3: at most 1 if and only if M is in the set."""
    ends = np.abs(np.linalg.eigvalsh(symmetric_part(offset))).max()
    rotation = np.linalg.eigvalsh(symmetric_part(second_compound(offset))).max()
    return max(ends, np.sqrt(max(rotation, 0)))


def worst_plane(offset: np.ndarray) -> np.ndarray:
    """The projection of rank two whose plane has the largest det(Q^T Z Q), N <= 3."""
    if len(offset) == 2:
        return np.eye(2)
    _, vectors = np.linalg.eigh(symmetric_part(second_compound(offset)))
    p12, p13, p23 = vectors[:, -1]
    normal = np.array([p23, -p13, p12])  # q1 x q2 of the bivector
    return np.eye(3) - np.outer(normal, normal)


@pytest.mark.parametrize("size", [2, 3])
def test_real_hessians(size: int) -> None:
    generator = np.random.default_rng(size)
    rotations = 0
    for _ in range(150):
        offset = generator.normal(size=(size, size)) + 2 * generator.normal() * np.triu(
            np.ones((size, size)), 1
        )
        offset /= excess(offset)  # on the boundary: excess is homogeneous of degree one
        inside, outside = np.eye(size) - 0.999 * offset, np.eye(size) - 1.02 * offset
        for _ in range(30):
            assert spectral_radius(inside, random_hessian(generator, size)) <= 1 + ROUNDING
        symmetric = np.linalg.eigh(symmetric_part(offset))
        candidates = [np.outer(v, v) for v in symmetric.eigenvectors.T]
        candidates.append(worst_plane(offset))
        radii = [spectral_radius(outside, c + 1e-9 * (np.eye(size) - c)) for c in candidates]
        assert max(radii) > 1
        rotations += int(np.argmax(radii) == size)
    assert rotations > 10, "the plane condition was never what decides"


def numerical_radius(matrix: np.ndarray) -> tuple[float, np.ndarray]:
    """max |y* X y| over unit y, on a grid of directions, and the vector that attains it."""
    best, vector = -np.inf, np.zeros(len(matrix))
    for angle in np.linspace(0, 2 * np.pi, 721):
        turned = np.exp(1j * angle) * matrix
        values, vectors = np.linalg.eigh((turned + turned.conj().T) / 2)
        if values[-1] > best:
            best, vector = float(values[-1]), vectors[:, -1]
    return best, vector


def test_hermitian_hessians() -> None:
    generator = np.random.default_rng(7)
    for _ in range(25):
        offset = generator.normal(size=(3, 3))
        offset /= numerical_radius(offset)[0]
        inside, outside = np.eye(3) - 0.995 * offset, np.eye(3) - 1.02 * offset
        for _ in range(20):
            mixed = generator.normal(size=(3, 3)) + 1j * generator.normal(size=(3, 3))
            basis, _ = np.linalg.qr(mixed)
            hessian = basis @ np.diag(generator.random(3)) @ basis.conj().T
            assert spectral_radius(inside, hessian) <= 1 + ROUNDING
        _, vector = numerical_radius(offset)
        assert spectral_radius(outside, np.outer(vector, vector.conj())) > 1


def test_the_sets_are_nested() -> None:
    generator = np.random.default_rng(3)
    for _ in range(100):
        offset = generator.normal(size=(3, 3))
        norm, radius = np.linalg.norm(offset, 2), numerical_radius(offset)[0]
        assert norm >= radius - ROUNDING
        assert radius >= excess(offset) - 1e-4


def test_four_dimensions_need_the_pluecker_form() -> None:
    """Duality closes the gap for N = 4: planes found by search reach min over tau."""
    generator = np.random.default_rng(5)
    form = np.array(find("all-hessians-bound").formulas["pluecker"].tolist(), dtype=float)
    strict = 0
    for _ in range(6):
        compound = symmetric_part(second_compound(generator.normal(size=(4, 4))))
        weights = np.linspace(-8, 8, 3201)
        tops = np.linalg.eigvalsh(compound + weights[:, None, None] * form)[:, -1]
        upper = tops.min()
        lower = -np.inf
        for _ in range(40):
            lower = max(lower, climbed(compound, generator))
        assert lower <= upper + ROUNDING
        assert upper - lower < 0.02 * max(1, abs(upper))
        strict += int(np.linalg.eigvalsh(compound)[-1] > upper + 0.01)
    assert strict, "the unweighted eigenvalue was exact every time"


def climbed(compound: np.ndarray, generator: np.random.Generator) -> float:
    """A local maximum of p^T C p over planes: each vector in turn, the other held."""
    pairs = len(compound)
    size = round((1 + np.sqrt(1 + 8 * pairs)) / 2)
    rows, columns = np.triu_indices(size, 1)
    q, _ = np.linalg.qr(generator.normal(size=(size, 2)))
    value = -np.inf
    for _ in range(60):
        for held in (0, 1):
            fixed = q[:, held]
            wedge = np.zeros((pairs, size))  # the bivector of fixed and x is wedge @ x
            for k, (i, j) in enumerate(zip(rows, columns, strict=True)):
                wedge[k, j], wedge[k, i] = fixed[i], -fixed[j]
            basis = np.linalg.svd(fixed[None])[2][1:].T
            values, vectors = np.linalg.eigh(basis.T @ wedge.T @ compound @ wedge @ basis)
            q[:, 1 - held], value = basis @ vectors[:, -1], float(values[-1])
    return value


# A complex structure on R^6 plus a small symmetric part, in thousandths; found by search.
SIX = (
    np.array(
        [
            [303, 542, -208, -393, -102, 25],
            [-1458, -47, -58, 71, -76, -237],
            [-208, -58, 26, 1381, 247, 438],
            [-393, 71, -619, -381, -22, -109],
            [-102, -76, 247, -22, -424, 897],
            [25, -237, 438, -109, -1103, 523],
        ]
    )
    / 1000
)


def pluecker_forms(size: int) -> np.ndarray:
    """The quadratic forms that vanish on planes, one for each four coordinates."""
    index = {pair: k for k, pair in enumerate(combinations(range(size), 2))}
    forms = []
    for a, b, c, d in combinations(range(size), 4):
        form = np.zeros((len(index), len(index)))
        for left, right, sign in (((a, b), (c, d), 1), ((a, c), (b, d), -1), ((a, d), (b, c), 1)):
            form[index[left], index[right]] = form[index[right], index[left]] = sign
        forms.append(form)
    return np.array(forms)


def dual_bounds(compound: np.ndarray, forms: np.ndarray) -> tuple[float, np.ndarray]:
    """A lower bound of min over tau of lambda_max(C + tau Omega), and the minimizing tau.

    mu log tr exp(./mu) exceeds lambda_max by at most mu log n and is convex, so its minimum less
    mu log n is a lower bound.
    """
    weights, smoothing, value = np.zeros(len(forms)), 1.0, np.inf

    def smooth(tau: np.ndarray) -> tuple[float, np.ndarray]:
        values, vectors = np.linalg.eigh(compound + np.tensordot(tau, forms, 1))
        shares = np.exp((values - values[-1]) / smoothing)
        gradient = np.einsum("i,ai,kab,bi->k", shares / shares.sum(), vectors, forms, vectors)
        return values[-1] / smoothing + np.log(shares.sum()), gradient / smoothing

    while smoothing > 1e-5:
        for _ in range(3):
            found = minimize(smooth, weights, jac=True, method="BFGS", options={"gtol": 1e-8})
            weights = found.x
        value = smoothing * float(found.fun)
        slope = smoothing * np.linalg.norm(found.jac)
        smoothing /= 3
    assert slope < 1e-5, "the minimum was not reached"
    return value - 3 * smoothing * np.log(len(compound)), weights


def test_six_dimensions_have_a_gap() -> None:
    """Thorpe's trick is sufficient and not necessary at N = 6: no plane reaches the dual value."""
    generator = np.random.default_rng(1)
    compound, forms = symmetric_part(second_compound(SIX)), pluecker_forms(6)
    lower, weights = dual_bounds(compound, forms)
    best = max(climbed(compound, generator) for _ in range(200))
    assert best < lower - 0.003
    # Complementary slackness: a plane that reached it would lie in the top eigenspace.
    values, vectors = np.linalg.eigh(compound + np.tensordot(weights, forms, 1))
    top = vectors[:, values > values[-1] - 0.01]
    restricted = np.einsum("ai,kab,bj->kij", top, forms, top)

    def away_from_planes(v: np.ndarray) -> float:
        v = v / np.linalg.norm(v)
        return float((np.einsum("i,kij,j->k", v, restricted, v) ** 2).sum())

    starts = generator.normal(size=(40, top.shape[1]))
    assert top.shape[1] == 4
    assert min(minimize(away_from_planes, start).fun for start in starts) > 0.04
