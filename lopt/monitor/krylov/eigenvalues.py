"""Eigenvalues of a Krylov factorization with their residuals and errors, on the host in float64."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.linalg

from lopt.monitor.krylov.arnoldi import ROUNDING_UNITS, KrylovFactorization
from lopt.monitor.krylov.enclosure import Enclosure, enclosure
from nqm.json_values import json_value

__all__ = ["EigenEstimate", "dense_eigenvalues", "finite_projection", "largest", "ritz_values"]


@dataclass(frozen=True)
class EigenEstimate:
    """Ritz values theta with |A x - theta x| = residual for a unit vector x, largest modulus first.

    Attributes
    ----------
    values : ndarray, shape (m,)
        Ritz values; real for a symmetric operator, else complex.
    residuals : ndarray, shape (m,)
        |h e_m^T y| plus the rounding error of the products. A *backward* error: theta is an exact
        eigenvalue of A + E for some |E|_2 <= residual, in the coordinates of the factorization.
    errors : ndarray, shape (m,)
        The forward error |theta - lambda|. For a symmetric operator equal to the residual, and a
        bound. Otherwise an estimate, see `ritz_values`: a non-normal operator has no bound that
        could be computed from products alone.
    converged : ndarray of bool, shape (m,)
        errors <= tolerance * max |values|.
    vectors : ndarray, shape (m, m)
        Column i holds the eigenvector of `values[i]` in the Krylov basis (x = Q^T y, |y| = 1).
    matvecs : int
        Products with the operator that were taken.
    invariant : bool
        The Krylov space became invariant: the values are exact up to rounding, and they are all
        those that the start vector has a part in (one copy of each).
    tolerance : float
        Of `converged`.
    enclosure : Enclosure or None
        Where an eigenvalue may lie that was missed; None where `values` are all there are.
    """

    values: np.ndarray
    residuals: np.ndarray
    errors: np.ndarray
    converged: np.ndarray
    vectors: np.ndarray
    matvecs: int
    invariant: bool
    tolerance: float = 1e-2
    enclosure: Enclosure | None = None

    @property
    def radius(self) -> float:
        """max |theta| over the converged values, NaN if there is none."""
        return largest(np.abs(self.values[self.converged]))

    @property
    def radius_bound(self) -> float:
        """What no |eigenvalue| exceeds, with the confidence of `Enclosure`; NaN if unknown."""
        missed = self.enclosure.modulus if self.enclosure else -np.inf
        return self._bound(np.abs(self.values), missed)

    @property
    def largest_bound(self) -> float:
        """What no real part exceeds, with the confidence of `Enclosure`; NaN if unknown."""
        missed = self.enclosure.largest if self.enclosure else -np.inf
        return self._bound(np.real(self.values), missed)

    @property
    def smallest_bound(self) -> float:
        """What no real part is below, with the confidence of `Enclosure`; NaN if unknown."""
        missed = -self.enclosure.smallest if self.enclosure else -np.inf
        return -self._bound(-np.real(self.values), missed)

    def _bound(self, sizes: np.ndarray, missed: float) -> float:
        """The larger of `missed` and what the outermost value's own error allows; where every
        eigenvalue is listed, what any of their errors does.
        """
        if not len(sizes) or not np.isfinite(sizes).all():
            return float("nan")
        reach = sizes + self.errors
        own = reach.max() if self.enclosure is None else reach[sizes.argmax()]
        return float(np.maximum(own, missed))

    def shifted(self, decay: float = 0.0, drift: float = 0.0) -> "EigenEstimate":
        """The estimate of (1 - decay) I - A + E from that of A, for an E with |E| <= drift.

        Float32 rounding of 1 and, times the condition, the drift are added to the errors.
        """
        rounding = ROUNDING_UNITS * float(np.finfo(np.float32).eps)
        spread = np.zeros(len(self.values))
        if drift:
            with np.errstate(divide="ignore", invalid="ignore"):
                condition = np.where(self.residuals > 0, self.errors / self.residuals, 1.0)
            spread = drift * np.maximum(condition, 1.0)
        return _ordered(
            (1.0 - decay) - self.values,
            self.vectors,
            self.residuals + rounding + drift,
            self.errors + rounding + spread,
            matvecs=self.matvecs,
            invariant=self.invariant,
            tolerance=self.tolerance,
            enclosure=self.enclosure and self.enclosure.reflected(1.0 - decay, rounding + drift),
        )

    def unsure(self) -> "EigenEstimate":
        """The same values with unbounded errors, none of them converged."""
        none = np.zeros(len(self.values), bool)
        return replace(self, errors=np.full(len(self.values), np.inf), converged=none)

    def to_json(self) -> dict[str, Any]:
        """Every number as plain Python; a complex value as [real, imaginary]; NaN as None."""
        return {
            "values": json_value(self.values),
            "residuals": json_value(self.residuals),
            "errors": json_value(self.errors),
            "converged": [bool(c) for c in self.converged],
            "matvecs": self.matvecs,
            "invariant": self.invariant,
        }


def ritz_values(
    factorization: KrylovFactorization,
    *,
    left: KrylovFactorization | None = None,
    overlap: Any = None,
    symmetric: bool = False,
    tolerance: float = 1e-2,
) -> EigenEstimate:
    """H y = theta y of the projection, with residual |h e_m^T y| and error (host, float64).

    To first order the error of an eigenvalue is its residual times its condition 1/|z^H x|, with
    unit left and right eigenvectors z, x. The condition within the Krylov space alone may be too
    small by orders of magnitude when A is far from normal. So from `left` come the Ritz vector
    nearest in value as z, and the difference of the two Ritz values, which is of the size of the
    error where the first order fails. The error reported is the largest of the three.

    Parameters
    ----------
    factorization : KrylovFactorization
        Of A; one, not a vmapped batch. Non-finite entries give NaN values, none converged: they
        are a result, not an error.
    left : KrylovFactorization, optional
        Of the transpose of A. Without it `errors` is the estimate within the Krylov space.
    overlap : array, shape (m, m), optional
        left.basis @ factorization.basis.T where it was computed before; the bases are not read.
    symmetric : bool
        A is symmetric: the tridiagonal part of H is used, the values are real, and the errors are
        bounds.
    tolerance : float
        Largest error, relative to max |theta|, of a value called converged.

    Returns
    -------
    EigenEstimate

    References
    ----------
    .. [1] Saad, Numerical Methods for Large Eigenvalue Problems (2011), sections 3.2 and 6.2.

    Examples
    --------
    >>> from lopt.monitor import arnoldi
    >>> A = jnp.array([[0.0, 1.0], [-1.0, 0.0]])
    >>> e = ritz_values(arnoldi(lambda v: A @ v, jnp.array([3.0, 4.0]), 2))
    >>> bool(np.allclose(sorted(e.values.imag), [-1, 1])), e.converged.tolist()
    (True, [True, True])
    """
    size, matvecs = int(factorization.size), factorization.projection.shape[0]
    unit = float(jnp.finfo(factorization.projection.dtype).eps)
    projection, coupling = finite_projection(factorization), float(factorization.coupling)
    if projection is None:
        return _lost(size, matvecs)
    values, vectors, condition = (_symmetric_pairs if symmetric else _general_pairs)(projection)
    rounding = float(ROUNDING_UNITS * unit * np.linalg.norm(projection, 2))
    residuals = coupling * np.abs(vectors[-1]) + rounding
    errors = residuals * condition
    missed = enclosure(factorization, projection, values, rounding, real=symmetric)
    if symmetric and not bool(factorization.orthogonal):
        kept = _genuine(values, vectors[0] ** 2, residuals, rounding)
        values, vectors = values[kept], vectors[:, kept]
        residuals, errors = residuals[kept], errors[kept]
    if left is not None:
        errors = np.maximum(
            errors, _two_sided_errors(factorization, left, overlap, values, vectors, residuals)
        )
        matvecs += left.projection.shape[0]
    return _ordered(
        values,
        vectors,
        residuals,
        errors,
        matvecs=matvecs,
        invariant=coupling == 0.0,
        tolerance=tolerance,
        enclosure=missed,
    )


def dense_eigenvalues(
    matrix: np.ndarray, unit: float, *, symmetric: bool = False, tolerance: float = 1e-2
) -> EigenEstimate:
    """All eigenvalues of a matrix whose entries are right to `unit` times its norm (float64).

    The error of an eigenvalue is that uncertainty times its condition 1/|z^H x|; where the matrix
    is defective that is infinite, and nothing converged. Columns of `vectors` are eigenvectors of
    the matrix itself.

    Parameters
    ----------
    matrix : ndarray, shape (n, n)
    unit : float
        Relative accuracy of the entries, e.g. the rounding unit they were computed in.
    symmetric : bool
        Take the symmetric part; the errors are bounds.
    tolerance : float
        As in `ritz_values`.

    Examples
    --------
    >>> found = dense_eigenvalues(np.array([[0.0, 1.0], [-4.0, 0.0]]), 1e-16)
    >>> bool(np.allclose(np.abs(found.values), 2.0)), found.invariant
    (True, True)
    """
    matrix = np.asarray(matrix, np.float64)
    size = matrix.shape[0]
    if not np.isfinite(matrix).all():
        return _lost(size, size)
    if symmetric:
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        condition = np.ones(size)
    else:
        values, vectors, condition = _general_pairs(matrix)
    residuals = np.full(size, ROUNDING_UNITS * unit * np.linalg.norm(matrix, 2))
    return _ordered(
        values,
        vectors,
        residuals,
        residuals * condition,
        matvecs=size,
        invariant=True,
        tolerance=tolerance,
    )


def _ordered(
    values: np.ndarray,
    vectors: np.ndarray,
    residuals: np.ndarray,
    errors: np.ndarray,
    *,
    matvecs: int,
    invariant: bool,
    tolerance: float,
    enclosure: Enclosure | None = None,
) -> EigenEstimate:
    """The estimate with its values by decreasing modulus, and what of them has converged."""
    order = np.argsort(-np.abs(values), kind="stable")
    least = tolerance * np.abs(values).max(initial=0.0)
    return EigenEstimate(
        values=values[order],
        residuals=residuals[order],
        errors=errors[order],
        converged=(errors <= least)[order],
        vectors=vectors[:, order],
        matvecs=matvecs,
        invariant=invariant,
        tolerance=tolerance,
        enclosure=enclosure,
    )


def finite_projection(factorization: KrylovFactorization) -> np.ndarray | None:
    """H over the space that was built, in float64; None if it or the coupling is not finite."""
    size = int(factorization.size)
    projection = np.asarray(factorization.projection, np.float64)[:size, :size]
    finite = np.isfinite(projection).all() and np.isfinite(float(factorization.coupling))
    return projection if finite else None


def largest(values: np.ndarray) -> float:
    """The largest of the values; NaN if there are none."""
    return float(values.max()) if values.size else float("nan")


def _genuine(
    values: np.ndarray, weights: np.ndarray, residuals: np.ndarray, rounding: float
) -> np.ndarray:
    """The indices of one copy of each eigenvalue of a tridiagonal T, and none that is spurious.

    Where orthogonality is lost a converged value comes again, at first far from its place. Such a
    newcomer is hardly coupled to the start: its weight, the square of the first component of its
    eigenvector, is at most that of a value at the distance d times (rounding / d)^2. So it is an
    eigenvalue of T without its first row and column too, which is how Cullum and Willoughby tell
    it. Of values that agree to ten times `rounding` the one of least residual stays.

    References
    ----------
    .. [1] Cullum, Willoughby, J. Comput. Phys. 44 (1981) 329-358.
    """
    order = np.argsort(values)
    groups = np.split(order, np.flatnonzero(np.diff(values[order]) > 10 * rounding) + 1)
    kept = np.array([group[residuals[group].argmin()] for group in groups])
    weight = np.array([weights[group].sum() for group in groups])
    distance = np.abs(values[kept][:, None] - values[kept])
    np.fill_diagonal(distance, np.inf)
    newcomer = weight[:, None] <= weight * (rounding / distance) ** 2
    return kept[~newcomer.any(axis=1)]


def _two_sided_errors(
    right: KrylovFactorization,
    left: KrylovFactorization,
    overlap: Any,
    values: np.ndarray,
    vectors: np.ndarray,
    residuals: np.ndarray,
) -> np.ndarray:
    """max(residual / |z^H x|, |theta - theta_left|), z the left Ritz vector nearest in value."""
    size = int(left.size)
    projection = np.asarray(left.projection, np.float64)[:size, :size]
    if not np.isfinite(projection).all():
        return np.full(len(values), np.inf)
    others, left_vectors, _ = _general_pairs(projection)
    distance = np.abs(others[:, None] - values[None, :])
    nearest = distance.argmin(axis=0)
    # A^T w = theta w, so that z = conj(w) and z^H x = w^T x.
    if overlap is None:
        overlap = np.asarray(left.basis, np.float64) @ np.asarray(right.basis, np.float64).T
    overlap = np.asarray(overlap, np.float64)[:size]
    cosine = np.abs(
        np.sum(left_vectors[:, nearest] * (overlap[:, : len(values)] @ vectors), axis=0)
    )
    with np.errstate(divide="ignore"):
        return np.maximum(residuals / cosine, distance.min(axis=0))


def _lost(size: int, matvecs: int) -> EigenEstimate:
    """The estimate from a factorization that overflowed: NaN throughout, nothing converged."""
    nan, none = np.full(size, np.nan), np.zeros(size, bool)
    return EigenEstimate(nan, nan, nan, none, np.full((size, size), np.nan), matvecs, False)


class _Pairs(NamedTuple):
    values: np.ndarray
    vectors: np.ndarray  # unit right eigenvectors y, in columns
    condition: np.ndarray  # 1 / |x^H y| with unit left eigenvectors x


def _symmetric_pairs(projection: np.ndarray) -> _Pairs:
    off_diagonal = np.diag(projection, -1)
    values, vectors = scipy.linalg.eigh_tridiagonal(np.diag(projection), off_diagonal)
    return _Pairs(values, vectors, np.ones(len(values)))


def _general_pairs(projection: np.ndarray) -> _Pairs:
    values, left, right = scipy.linalg.eig(projection, left=True, right=True)
    overlap = np.abs(np.sum(left.conj() * right, axis=0))
    with np.errstate(divide="ignore"):
        return _Pairs(values, right, 1.0 / overlap)
