"""The updates of a set of preconditioners as one set of matrices, with their rounding."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from nqm import validate
from nqm.namespace import exact
from nqm.problem import Problem, pose
from nqm.quadratic import NoisyQuadratic
from nqm.robust.family import EXACT_SIZE, Rational, fractions
from nqm.rules import linear as updates
from nqm.rules.table import NamedRule, Parameters
from nqm.switching.family import MatrixSet
from nqm.switching.radius import MOST_MATRICES, matrix_stack
from nqm.validate import EPS, Array

NOT_AFFINE = ("nesterov_lookahead",)
"""Rules whose joint matrix is not affine in P: for them a hull is not its vertices."""


class Updates(NamedTuple):
    """The set, and what it was made of.

    Attributes
    ----------
    given : MatrixSet
        The joint matrices of the rule, on the range of H.
    preconditioners : (m, N, N) array
        The P.
    disturbances : (m, N) array or None
        The d of P = diag(d) P~, where a bound was given.
    rank : int
        Of H.
    """

    given: MatrixSet
    preconditioners: Array
    disturbances: Array | None
    rank: int


def preconditioner_box(lower: ArrayLike, upper: ArrayLike) -> Array:
    """The vertices of the box lower <= P <= upper, entry by entry.

    An update is affine in P, and the joint spectral radius of a set is that of its convex hull: the
    vertices decide for the box. Entries with equal bounds do not multiply them.

    Parameters
    ----------
    lower, upper : (N, N) arrays
        The bounds.

    Returns
    -------
    (m, N, N) array
        m = 2^k vertices, k <= 12 the number of entries that vary.

    Raises
    ------
    ValueError
        For malformed arguments, lower above upper, or more than 12 varying entries.

    Examples
    --------
    >>> from nqm import preconditioner_box
    >>> preconditioner_box([[0.0, 0.0], [0.0, 1.0]], [[0.0, 0.5], [0.0, 1.0]])[:, 0, 1].tolist()
    [0.0, 0.5]
    """
    low = validate.square("lower", lower)
    high = validate.square("upper", upper)
    if low.shape != high.shape:
        raise ValueError(
            f"lower and upper must have the same shape; they have {low.shape} and {high.shape}."
        )
    if not np.all(low <= high):
        where = tuple(int(i) for i in np.argwhere(low > high)[0])
        raise ValueError(
            f"lower must not exceed upper; at {where} they are {low[where]:g} and {high[where]:g}."
        )
    rows, columns = np.nonzero(low < high)
    most = int(np.log2(MOST_MATRICES))
    if rows.size > most:
        raise ValueError(
            f"the box may vary in at most {most} entries of P, which is {MOST_MATRICES} vertices; "
            f"here are {rows.size}. Fix some entries."
        )
    vertices = np.repeat(low[None], 2**rows.size, axis=0)
    for vertex, choice in zip(vertices, product((False, True), repeat=rows.size), strict=True):
        vertex[rows, columns] = np.where(choice, high[rows, columns], low[rows, columns])
    return vertices


def updates_of(
    model: NoisyQuadratic,
    preconditioners: ArrayLike,
    nominal_step: float,
    named: NamedRule,
    parameters: Parameters,
    disturbance_bound: ArrayLike | None,
) -> Updates:
    """The set of the joint matrices of a rule, one for each P, or for each vertex of (15)."""
    P = matrix_stack("preconditioners", preconditioners)
    if P.shape[1] != model.dimension:
        raise ValueError(
            f"preconditioners must be {model.dimension} x {model.dimension} like the hessian; "
            f"their shape is {P.shape[1:]}."
        )
    d = None
    if disturbance_bound is not None:
        P, d = _vertices(P, disturbance_bound, named)
    if len(P) > MOST_MATRICES:
        raise ValueError(
            f"preconditioners must be at most {MOST_MATRICES}; here are {len(P)}. Pass the "
            "vertices of their convex hull."
        )
    problems = [pose(model, X, nominal_step) for X in P]
    given = _joint_matrices(problems, named, parameters)
    return Updates(given=given, preconditioners=P, disturbances=d, rank=model.rank)


def _vertices(P: Array, bound: ArrayLike, named: NamedRule) -> tuple[Array, Array]:
    """diag(d) P~ and d for the corners of [0, dbar] and every P~."""
    size = P.shape[1]
    dbar = validate.disturbance_bound(bound, size)
    if named.name in NOT_AFFINE:
        raise ValueError(
            f"disturbance_bound needs an update that is affine in P; that of {named.name} is not."
        )
    if len(P) * 2.0**size > MOST_MATRICES:
        raise ValueError(
            f"disturbance_bound makes {len(P)} times 2^{size} vertices; at most {MOST_MATRICES} "
            "can be judged. Take fewer parameters."
        )
    corners = np.array(list(product((0.0, 1.0), repeat=size))) * dbar
    found = corners[None, :, :, None] * P[:, None]
    return found.reshape(-1, size, size), np.tile(corners, (len(P), 1))


def _joint_matrices(problems: list[Problem], named: NamedRule, parameters: Parameters) -> MatrixSet:
    """The joint matrices on the range of H, exact where they are small and need no root."""
    first, size = problems[0], len(problems[0].hessian)
    if named.name == "preconditioned":  # similar to the plain rule of H^1/2, by the same H^1/2
        assert named.plain_form is not None
        problems = [named.plain_form(problem).problem for problem in problems]
        build, plain, root = updates.plain_rule, True, True
    else:
        build, plain, root = named.build, named.name == "plain", False
    start = scipy.linalg.cholesky(problems[0].hessian) if plain else None
    if not root and first.rank == first.dimension and size <= EXACT_SIZE:
        rational = tuple(_exactly(problem, named, parameters) for problem in problems)
        if len(rational[0]) <= EXACT_SIZE:
            rounded = np.array([[[float(x) for x in row] for row in A] for A in rational])
            errors = rounded.shape[-1] * EPS * np.max(np.abs(rounded), axis=(1, 2))
            form = fractions(first.model.hessian) if plain else None
            return MatrixSet(rounded, errors, rational, start, form)
    built = [build(p.hessian, p.preconditioner, p.alpha, **parameters)[0] for p in problems]
    matrices = np.array(built, dtype=np.float64)
    steps = np.array([abs(p.alpha) + float(np.linalg.norm(p.preconditioner)) for p in problems])  # type: ignore[arg-type]
    top = float(first.h[-1])
    curvature = top / float(np.sqrt(first.h[0])) if root else top
    rounding = 8 * matrices.shape[-1] * EPS * (np.sqrt(matrices.shape[-1]) + steps * curvature)
    return MatrixSet(matrices, rounding, None, start)


def _exactly(problem: Problem, named: NamedRule, parameters: Parameters) -> Rational:
    """The joint matrix that exactly these numbers make."""
    words = {k: v if k == "delay" else exact(v) for k, v in parameters.items()}
    built = named.build(
        exact(problem.model.hessian), exact(problem.given), exact(problem.alpha), **words
    )
    return [list(row) for row in built[0].tolist()]
