"""The open question by experiment: the exact sets against Hessians that were searched for.

The theorems are proved in `theory.allhessians`; here random M on either side of each boundary meet
random Hessians (none may destabilize what is inside) and the constructed worst ones (which must
destabilize what is outside).
"""

import numpy as np
import pytest

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
    rows, columns = np.triu_indices(4, 1)
    q, _ = np.linalg.qr(generator.normal(size=(4, 2)))
    value = -np.inf
    for _ in range(60):
        for held in (0, 1):
            fixed = q[:, held]
            wedge = np.zeros((6, 4))  # the bivector of fixed and x is wedge @ x
            for k, (i, j) in enumerate(zip(rows, columns, strict=True)):
                wedge[k, j], wedge[k, i] = fixed[i], -fixed[j]
            basis = np.linalg.svd(fixed[None])[2][1:].T
            values, vectors = np.linalg.eigh(basis.T @ wedge.T @ compound @ wedge @ basis)
            q[:, 1 - held], value = basis @ vectors[:, -1], float(values[-1])
    return value
