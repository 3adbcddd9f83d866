"""Proofs about the very floating-point matrices given, in ball and rational arithmetic.

Needs python-flint (the extra `rigorous`). Every comparison that decides is one of enclosures or of
exact rationals; floating point only proposes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nqm import validate
from nqm.namespace import AnyArray, Exact, exact
from nqm.problem import Problem, pose
from nqm.quadratic import NoisyQuadratic
from nqm.spectra.elimination import definiteness
from nqm.spectra.lyapunov import stein_solution
from nqm.validate import Array

SIZE_LIMIT = 400
EXACT_LIMIT = 40
EIGEN_LIMIT = 24
PRECISION = 320


@dataclass(frozen=True)
class Proof:
    """What was proved: 'proved_stable' (rho < 1), 'proved_unstable' (rho > 1) or 'undecided'.

    Attributes
    ----------
    status : str
        One of the three.
    by : str
        The argument, or why there is none.
    about : str
        Which matrix the statement is about.
    spectral_radius : (float, float) or None
        Proved lower and upper bound of rho, where eigenvalues were enclosed.

    Examples
    --------
    >>> from nqm import prove_stability
    >>> prove_stability([[2.0, 1.0], [1.0, 2.0]], None, 0.5).status
    'proved_stable'
    """

    status: str
    by: str
    about: str
    spectral_radius: tuple[float, float] | None = None


def _flint() -> Any:
    try:
        import flint
    except ImportError:
        raise ValueError(
            "rigorous needs python-flint, which is not installed; pip install 'nqm-lopt[rigorous]'."
        ) from None
    return flint


@contextmanager
def _precision(flint: Any) -> Iterator[None]:
    before = flint.ctx.prec
    flint.ctx.prec = PRECISION
    try:
        yield
    finally:
        flint.ctx.prec = before


def _identity(flint: Any, size: int) -> Any:
    return flint.arb_mat(np.eye(size).tolist())


def _middle(matrix: Any) -> Array:
    return np.array([[float(x.mid()) for x in row] for row in matrix.tolist()])


def _is_positive_definite(flint: Any, matrix: Any) -> bool:
    """Proof that a symmetric ball matrix K is positive definite; False means not proved.

    With R the floating-point inverse of the Cholesky factor, |I - R K R^T|_inf < 1 makes R regular
    and R K R^T, hence K, positive definite.
    """
    middle = _middle(matrix)
    if not np.all(np.isfinite(middle)):
        return False
    scale = np.sqrt(np.abs(np.diag(middle)))
    if not np.all(scale > 0):
        return False
    try:
        factor = np.linalg.cholesky((middle / 2 + middle.T / 2) / np.outer(scale, scale))
        R = np.linalg.inv(factor) / scale
    except np.linalg.LinAlgError:
        return False
    if not np.all(np.isfinite(R)):
        return False
    ball = flint.arb_mat(R.tolist())
    rest = (ball * matrix * ball.transpose() - _identity(flint, len(middle))).tolist()
    return all(bool(sum((abs(x) for x in row), flint.arb(0)) < 1) for row in rest)


def _has_negative_direction(flint: Any, matrix: Any, direction: Array) -> bool:
    """Proof that v^T K v < 0 for this v."""
    v = flint.arb_mat([[float(x)] for x in direction])
    return bool((v.transpose() * matrix * v)[0, 0] < 0)


def _exact_symmetric(flint: Any, H: Array, P: Array, alpha: float) -> tuple[str, str]:
    """Status and argument from the exact definiteness of H, M and 2H - H M H."""

    def exact(array: Array) -> Any:
        entries = [flint.fmpq(*float(x).as_integer_ratio()) for x in array.ravel()]
        return flint.fmpq_mat(array.shape[0], array.shape[1], entries)

    size = H.shape[0]
    hessian = exact(H)
    step = exact(P) + exact(np.eye(size)) * flint.fmpq(*alpha.as_integer_ratio())
    gap = hessian * 2 - hessian * step * hessian
    signs = [definiteness(m.tolist()) for m in (hessian, step, gap)]
    if signs[0] != "positive":
        return "undecided", "the hessian is not positive definite, exactly"
    if "indefinite" in signs:
        return "proved_unstable", "exact rational elimination: 0 <= M <= 2 H^-1 fails"
    if "semidefinite" in signs:
        return "undecided", "the spectral radius is exactly 1, by exact rational elimination"
    return "proved_stable", "exact rational elimination: 0 < M < 2 H^-1"


def _symmetric_proof(flint: Any, H: Array, P: Array, alpha: float) -> tuple[str, str]:
    """rho < 1 iff H > 0, M > 0 and 2H - H M H > 0; a negative direction of M or of it: rho > 1."""
    size = H.shape[0]
    hessian = flint.arb_mat(H.tolist())
    step = flint.arb_mat(P.tolist()) + _identity(flint, size) * flint.arb(alpha)
    gap = hessian * 2 - hessian * step * hessian
    if _is_positive_definite(flint, hessian):
        if _is_positive_definite(flint, step) and _is_positive_definite(flint, gap):
            return "proved_stable", "0 < M < 2 H^-1, factorizations enclosed in ball arithmetic"
        for matrix in (step, gap):
            direction = np.linalg.eigh(_middle(matrix))[1][:, 0]
            if _has_negative_direction(flint, matrix, direction):
                return "proved_unstable", "a direction where 0 <= M <= 2 H^-1 fails, evaluated"
    if size <= EXACT_LIMIT:
        return _exact_symmetric(flint, H, P, alpha)
    return "undecided", "neither a factorization nor a violating direction could be verified"


def _stein_proof(flint: Any, ball: Any, F: Array) -> tuple[str, str]:
    """X - F^T X F > 0 with X > 0, or (1 + delta)^2 X - F^T X F > 0 with v^T X v < 0."""
    values, vectors = np.linalg.eig(F)
    lead = int(np.argmax(np.abs(values)))
    radius = float(np.abs(values[lead]))
    if radius < 1:
        X = stein_solution(F, np.eye(F.shape[0]))
        if X is not None:
            form = flint.arb_mat(X.tolist())
            drop = form - ball.transpose() * form * ball
            if _is_positive_definite(flint, drop) and _is_positive_definite(flint, form):
                return "proved_stable", "Lyapunov: X > 0 and X - F^T X F > 0, in ball arithmetic"
        return "undecided", "no Lyapunov certificate could be verified"
    for power in (0.5, 0.8, 0.3, 0.95, 0.1):
        scale = radius**power
        X = stein_solution(F / scale, np.eye(F.shape[0])) if scale > 1 else None
        if X is None:
            continue
        form = flint.arb_mat(X.tolist())
        drop = form * (flint.arb(scale) * flint.arb(scale)) - ball.transpose() * form * ball
        if _is_positive_definite(flint, drop) and _has_negative_direction(
            flint, form, vectors[:, lead].real
        ):
            return "proved_unstable", "Stein: s^2 X - F^T X F > 0, v^T X v < 0, s > 1, balls"
    return "undecided", "no Stein certificate could be verified"


def _eigenvalue_proof(flint: Any, ball: Any) -> tuple[str, str, tuple[float, float] | None]:
    """Enclosures of all eigenvalues, where the ball arithmetic can isolate them."""
    try:
        found = flint.acb_mat(ball).eig(multiple=True)
    except (ValueError, ZeroDivisionError):
        return "undecided", "the eigenvalues could not be enclosed", None
    lows = [np.nextafter(float(z.abs_lower()), -np.inf) for z in found]
    highs = [np.nextafter(float(z.abs_upper()), np.inf) for z in found]
    bounds = max(float(max(lows)), 0.0), float(max(highs))
    one = flint.arb(1)
    if all(bool(z.abs_upper() < one) for z in found):
        return "proved_stable", "enclosures of all eigenvalues in ball arithmetic", bounds
    if any(bool(z.abs_lower() > one) for z in found):
        return "proved_unstable", "enclosures of all eigenvalues in ball arithmetic", bounds
    return "undecided", "an eigenvalue's enclosure meets the unit circle", bounds


def _general_proof(flint: Any, ball: Any, about: str) -> Proof:
    """Eigenvalue enclosures where the matrix is small, otherwise or else a Stein certificate."""
    F = _middle(ball)
    bounds = None
    if F.shape[0] <= EIGEN_LIMIT:
        status, by, bounds = _eigenvalue_proof(flint, ball)
        if status != "undecided":
            return Proof(status=status, by=by, about=about, spectral_radius=bounds)
    status, by = _stein_proof(flint, ball, F)
    return Proof(status=status, by=by, about=about, spectral_radius=bounds)


def _too_large(size: int, about: str) -> Proof | None:
    if size <= SIZE_LIMIT:
        return None
    by = f"proofs are tried up to {SIZE_LIMIT} rows; here are {size}"
    return Proof(status="undecided", by=by, about=about)


def prove_stability(
    hessian: ArrayLike | NoisyQuadratic,
    preconditioner: ArrayLike | None = None,
    nominal_step: float = 0.0,
) -> Proof:
    """Prove rho(I - (alpha I + P) H) < 1 or > 1 for exactly these floating-point numbers.

    For symmetric P: rho < 1 iff H > 0, M > 0 and 2H - H M H > 0, each proved by an enclosed
    factorization, or up to N = 40 by exact rational elimination, which settles the edge too. For
    other P: enclosures of the eigenvalues up to N = 24, else a Stein certificate.

    Parameters
    ----------
    hessian : (N, N) array or NoisyQuadratic
        H; an asymmetry of rounding size is averaged away first.
    preconditioner : (N, N) array, optional
        P, any real matrix.
    nominal_step : float
        alpha.

    Returns
    -------
    Proof
        Above 400 rows 'undecided'.

    Raises
    ------
    ValueError
        For malformed arguments, or without python-flint.

    Examples
    --------
    >>> from nqm import prove_stability
    >>> H = [[2.0, 1.0], [1.0, 2.0]]
    >>> prove_stability(H, [[0.0, 2.0], [0.0, 0.5]], 0.0).status
    'proved_unstable'
    >>> prove_stability([[1.0]], None, 2.0).by  # eigenvalue -1
    'the spectral radius is exactly 1, by exact rational elimination'
    """
    _flint()  # what is missing is said before anything is computed
    return posed_proof(pose(hessian, preconditioner, nominal_step))


def posed_proof(problem: Problem) -> Proof:
    """`prove_stability` of a validated problem: about H and P as given, whatever the rank."""
    flint = _flint()
    H, alpha, n = problem.model.hessian, problem.alpha, problem.dimension
    about = "I - (alpha I + P) H, exactly as given"
    if (refusal := _too_large(n, about)) is not None:
        return refusal
    P = np.zeros((n, n)) if problem.given is None else problem.given
    with _precision(flint):
        if np.array_equal(P, P.T):
            status, by = _symmetric_proof(flint, H, P, alpha)
            if status != "undecided" or "exactly" in by:
                return Proof(status=status, by=by, about=about)
        identity = _identity(flint, n)
        step = flint.arb_mat(P.tolist()) + identity * flint.arb(alpha)
        return _general_proof(flint, identity - step * flint.arb_mat(H.tolist()), about)


def prove_rule(
    name: str,
    build: Callable[..., tuple[AnyArray, ...]],
    parameters: Mapping[str, float | tuple[float, ...]],
    hessian: Array,
    preconditioner: Array | None,
    nominal_step: float,
    rounded: Array | None = None,
) -> Proof:
    """Prove rho(F) < 1 or > 1 for the joint matrix F that exactly these numbers make.

    The builder of the rule runs on balls, so that F encloses what H, P, alpha and the parameters
    mean. A rule that needs a root of H has no such builder, and then the proof is about the rounded
    matrix.

    Parameters
    ----------
    name : str
        What the rule is called.
    build : callable
        (hessian, preconditioner, nominal_step, **parameters) -> UpdateRule.
    parameters : mapping
        Its parameters.
    hessian, preconditioner, nominal_step
        H, P or None, and alpha.
    rounded : (K, K) array, optional
        The matrix of such a rule, for example on the range of a singular H, where alone (12) is
        defined. It is built from the arguments unless given.

    Returns
    -------
    Proof
        Above 400 rows 'undecided'.

    Raises
    ------
    ValueError
        Without python-flint.

    Examples
    --------
    As a float64, 0.6 is below 3/5, the edge; the rounded joint matrix lies beyond it:

    >>> import numpy as np
    >>> from nqm import heavy_ball_rule
    >>> from nqm.spectra.proofs import prove_rule
    >>> H, parameters = np.array([[5.0]]), {"momentum": 0.5}
    >>> prove_rule("heavy_ball", heavy_ball_rule, parameters, H, None, 0.6).status
    'proved_stable'
    """
    flint = _flint()
    where = ", on the range of the hessian"
    if rounded is None:
        rounded, where = build(hessian, preconditioner, nominal_step, **parameters)[0], ""
    about = f"{name} with exactly these numbers"
    if (refusal := _too_large(len(rounded), about)) is not None:
        return refusal
    with _precision(flint):

        def balls(value: Any) -> Exact:
            return exact(value, flint.arb)

        try:
            F = build(
                balls(hessian),
                None if preconditioner is None else balls(preconditioner),
                balls(nominal_step),
                **{k: v if k == "delay" else balls(v) for k, v in parameters.items()},
            )[0]
        except TypeError:  # eigenvectors are for float64
            found = prove_matrix(rounded)
            return replace(found, about=f"{found.about}{where}")
        return _general_proof(flint, flint.arb_mat(F.tolist()), about)


def prove_matrix(joint_matrix: AnyArray) -> Proof:
    """Prove rho(F) < 1 or > 1 for exactly this floating-point matrix F.

    Parameters
    ----------
    joint_matrix : (K, K) array
        F, such as the joint matrix of an `UpdateRule`.

    Returns
    -------
    Proof
        Above 400 rows 'undecided'.

    Raises
    ------
    ValueError
        For malformed arguments, or without python-flint.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import heavy_ball_rule, prove_matrix
    >>> rule = heavy_ball_rule(np.diag([1.0, 3.0]), None, 1.2, 0.9)  # 3.6 < 2 (1 + 0.9)
    >>> prove_matrix(rule.joint_matrix).status
    'proved_stable'
    """
    flint = _flint()
    F = validate.square("joint_matrix", joint_matrix)
    about = "the joint matrix, as rounded to float64"
    if (refusal := _too_large(F.shape[0], about)) is not None:
        return refusal
    with _precision(flint):
        ball = flint.arb_mat(F.tolist())
        return _general_proof(flint, ball, about)
