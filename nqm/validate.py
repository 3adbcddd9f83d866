"""Checks of arguments: each failure is one ValueError naming argument, rule, value and remedy."""

import math
import numbers
import operator
from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nqm.untrusted import one_line, quoted

Array = NDArray[np.floating]

EPS = float(np.finfo(np.float64).eps)
"""The distance from 1 to the next number of float64."""

SYMMETRY_TOLERANCE = 1e-12
"""Largest |X - X.T| over max|X| that is taken for rounding and averaged away."""


LARGEST = 1e100
"""Largest entry accepted: products of three such numbers do not overflow."""


def as_real(name: str, value: ArrayLike) -> Array:
    """`value` as float64, a copy only where that is needed; infinities and NaN pass.

    Every array that a public function takes comes through here, by `real_array` or by
    `nqm.namespace.common`, so that nothing is converted silently: not the real part of a complex
    number, not the data under a mask, not a truth value, not text.
    """
    hidden = _hidden(value)
    if hidden:
        raise ValueError(f"{name} must hold real numbers; {hidden}")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a rectangular array of numbers; {error}.") from None
    if array.dtype.kind not in "uif":
        refuse_dtype(name, array.dtype)
    return np.asarray(array, dtype=np.float64)


def refuse_dtype(name: str, dtype: object) -> NoReturn:
    """Raise for an array whose dtype is not one of real numbers."""
    raise ValueError(
        f"{name} must hold real numbers; its dtype is {one_line(str(dtype), 80)}. Convert it to "
        "float64."
    )


def _hidden(value: object) -> str:
    """What NumPy would convert silently in an array or nested list, and the remedy."""
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(_hidden, value)), "")
    if np.ma.is_masked(value):
        return "some are masked. Fill them, as `.filled` of a masked array does."
    if isinstance(value, bool) or getattr(value, "dtype", None) == np.bool_:
        return "true and false are not numbers. Write 1.0 or 0.0."
    return ""


def real_array(name: str, value: ArrayLike) -> Array:
    """A float64 copy of `value`; also refuses NaN, infinities and empty arrays."""
    array = np.array(as_real(name, value))
    if array.size == 0:
        raise ValueError(f"{name} must not be empty; its shape is {array.shape}. Pass N >= 1.")
    largest = max(float(np.max(array)), -float(np.min(array)))  # NaN if there is one
    if not largest <= LARGEST:
        if not np.all(np.isfinite(array)):
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise ValueError(
                f"{name} must be finite; the entry at {where} is {array[where]}. Replace it."
            )
        raise ValueError(
            f"{name} must have entries of size at most {LARGEST:g}; the largest is "
            f"{largest:.6g}. Change the units."
        )
    return array


def scalar(name: str, value: object) -> float:
    """A finite float; text that reads as one will do."""
    try:
        exact = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if exact or isinstance(value, str):
            number = float(value)  # type: ignore[arg-type]
        else:
            number = float(as_real(name, value).item())  # type: ignore[arg-type]
    except (OverflowError, TypeError, ValueError):
        raise ValueError(
            f"{name} must be one real number; it is {quoted(value)}. Pass a float."
        ) from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite; it is {number}. Pass a finite float.")
    if abs(number) > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST:g} in size; it is {number:g}.")
    return number


def whole_number(name: str, value: object, smallest: int, largest: int | None = None) -> int:
    """An integer of at least `smallest`; a truth value is none."""
    try:
        number = smallest - 1 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = smallest - 1
    if number < smallest:
        raise ValueError(
            f"{name} must be an integer of at least {smallest}; it is {quoted(value)}. Pass an int."
        )
    if largest is not None and number > largest:
        raise ValueError(f"{name} must be at most {largest}; it is {quoted(value)}.")
    return number


def square(name: str, value: ArrayLike, size: int | None = None) -> Array:
    """A finite N x N float64 matrix, N = `size` where that is given."""
    array = real_array(name, value)
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(f"{name} must be a square matrix; its shape is {array.shape}.")
    if size is not None and array.shape[0] != size:
        raise ValueError(
            f"{name} must be {size} x {size} like the hessian; its shape is {array.shape}."
        )
    return array


def vector(name: str, value: ArrayLike, size: int) -> Array:
    """A finite float64 vector of length `size`; an N x 1 column or 1 x N row is flattened."""
    array = real_array(name, value)
    if array.size != size or max(array.shape, default=1) != size:
        raise ValueError(f"{name} must be a vector of length {size}; its shape is {array.shape}.")
    return array.reshape(size)


def disturbance_bound(value: ArrayLike, size: int) -> Array:
    """dbar > 0 of (15), (N,); a number stands for all N."""
    bound = np.ravel(real_array("disturbance_bound", value))
    bound = np.repeat(bound, size) if bound.size == 1 else bound
    bound = vector("disturbance_bound", bound, size)
    if not np.all(bound > 0):
        raise ValueError(f"disturbance_bound must be positive; its smallest is {bound.min():.6g}.")
    return bound


def asymmetry(array: Array) -> float:
    """max |X - X.T| relative to max |X|; 0 for the zero matrix."""
    largest = max(float(np.max(array)), -float(np.min(array)))
    # X - X.T is antisymmetric: its largest entry is its largest modulus.
    return float(np.max(array - array.T)) / largest if largest else 0.0


def symmetric(name: str, value: ArrayLike, size: int | None = None) -> Array:
    """A symmetric matrix; asymmetry below 1e-12 of the largest entry is averaged away."""
    array = square(name, value, size)
    relative = asymmetry(array)
    if relative > SYMMETRY_TOLERANCE:
        gap = np.abs(array - array.T)
        where = tuple(int(i) for i in np.unravel_index(np.argmax(gap), gap.shape))
        raise ValueError(
            f"{name} must be symmetric; max |X - X.T| is {gap[where]:.6g} at {where}. "
            "Pass (X + X.T)/2 if the asymmetry is rounding."
        )
    return array / 2 + array.T / 2 if relative else array


EXTREMES_FROM = 200


def extreme_eigenvalues(matrix: Array) -> Array:
    """Smallest and largest eigenvalue of a symmetric matrix, (2,), from its lower triangle.

    Above N = 200 from the tridiagonal form alone, which is cheaper than all eigenvalues.
    """
    size = matrix.shape[0]
    if size <= EXTREMES_FROM:
        return np.linalg.eigvalsh(matrix)[[0, -1]]
    from scipy.linalg import eigvalsh_tridiagonal, lapack

    lower = int(not matrix.flags.c_contiguous)  # LAPACK reads C order as the transpose
    matrix = matrix if lower else matrix.T
    work = int(lapack.dsytrd_lwork(size, lower=lower)[0])
    _, diagonal, beside, _, _ = lapack.dsytrd(matrix, lower=lower, lwork=work)
    ends = [
        eigvalsh_tridiagonal(diagonal, beside, select="i", select_range=(k, k))
        for k in (0, size - 1)
    ]
    return np.concatenate(ends)


def rounding(eigenvalues: Array, size: int | None = None) -> float:
    """Size below which an eigenvalue of a symmetric matrix cannot be told from zero.

    `eigenvalues` holds all, or the extreme ones of a matrix of that `size`.
    """
    return 8 * (size or eigenvalues.size) * EPS * float(np.max(abs(eigenvalues)))


def check_semidefinite(name: str, eigenvalues: Array, size: int | None = None) -> None:
    """Raise unless every eigenvalue is nonnegative up to rounding."""
    smallest = float(np.min(eigenvalues))
    if smallest < -rounding(eigenvalues, size):
        raise ValueError(
            f"{name} must be positive semidefinite; its smallest eigenvalue is {smallest:.6g}. "
            "Check the sign, or project it."
        )


def semidefinite(name: str, value: ArrayLike, size: int | None = None) -> Array:
    """A symmetric positive semidefinite matrix, up to rounding."""
    array = symmetric(name, value, size)
    diagonal = np.diag(array)
    if np.count_nonzero(array) == np.count_nonzero(diagonal):  # its own eigenvalues
        check_semidefinite(name, diagonal)
    else:
        check_semidefinite(name, extreme_eigenvalues(array), array.shape[0])
    return array
