"""The question behind every condition and verdict, validated: one rule on one Hessian."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nqm import validate
from nqm.quadratic import NoisyQuadratic
from nqm.validate import Array


class Problem(NamedTuple):
    """A validated question, restricted to the range of H.

    Attributes
    ----------
    hessian : (r, r) array
        H on its range, r its rank.
    h : array
        The eigenvalues of `hessian`, ascending; with a P and full rank only the extreme ones.
    preconditioner : (r, r) array or None
        P on the range of H, averaged with its transpose where it is symmetric to rounding.
    alpha : float
        The nominal step.
    symmetric : bool
        Whether P is symmetric to rounding.
    gap : float
        max |P - P.T|.
    rank, dimension : int
        r and N.
    model : NoisyQuadratic
        The model with the whole of H.
    given : (N, N) array or None
        P as it was given.
    """

    hessian: Array
    h: Array
    preconditioner: Array | None
    alpha: float
    symmetric: bool
    gap: float
    rank: int
    dimension: int
    model: NoisyQuadratic
    given: Array | None


def pose(
    hessian: ArrayLike | NoisyQuadratic, preconditioner: ArrayLike | None, nominal_step: float
) -> Problem:
    """Validate, and pass to the range of H: there A acts as I - (alpha I + U^T P U) D."""
    model = hessian if isinstance(hessian, NoisyQuadratic) else NoisyQuadratic(hessian)  # type: ignore[arg-type]
    alpha = validate.scalar("nominal_step", nominal_step)
    n, rank, H = model.dimension, model.rank, model.hessian
    partial = preconditioner is not None and rank == n
    h = model.extreme_hessian_eigenvalues if partial else model.hessian_eigenvalues
    P = None
    if preconditioner is not None:
        P = validate.square("preconditioner", preconditioner, n)
        largest = float(np.max(np.abs(P))) + abs(alpha)
    else:
        largest = abs(alpha)
    if largest * float(np.max(np.abs(H))) > validate.LARGEST:
        raise ValueError(
            "nominal_step and preconditioner times hessian must be at most "
            f"{validate.LARGEST:g} in size; they are {largest:.3g} and {np.max(np.abs(H)):.3g}."
        )
    given = P
    gap = 0.0 if P is None else float(np.max(P - P.T))
    symmetric = P is None or gap <= validate.SYMMETRY_TOLERANCE * float(np.max(np.abs(P)))
    if P is not None and symmetric and gap:
        P = P / 2 + P.T / 2
    if rank < n:
        vectors = np.linalg.eigh(H)[1][:, n - rank :]
        h = h[n - rank :]
        H = np.diag(h)
        P = None if P is None else vectors.T @ P @ vectors
        P = P / 2 + P.T / 2 if P is not None and symmetric else P
    return Problem(
        hessian=H,
        h=h,
        preconditioner=P,
        alpha=alpha,
        symmetric=symmetric,
        gap=gap,
        rank=rank,
        dimension=n,
        model=model,
        given=given,
    )
