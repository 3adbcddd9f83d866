"""Robust stability where it is decided exactly: diagonal P~, and two parameters."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np

from nqm.robust.family import DisturbedFamily, Rational, fractions, jury
from nqm.spectra.elimination import definiteness
from nqm.validate import EPS

EXACT_DIAGONAL = 30
"""Up to this size the matrix inequality of a diagonal P~ is decided in rational numbers."""


def decide_exactly(family: DisturbedFamily) -> tuple[bool, str] | None:
    """Whether rho(A(d)) <= 1 on the whole box and by which argument; None where none applies."""
    P = family.preconditioner
    if np.array_equal(P, np.diag(np.diag(P))) and family.full_rank:
        stable = diagonal_is_stable(family)
        return None if stable is None else (stable, "exact condition for diagonal P~")
    if family.size <= 2:
        stable = plane_is_stable(family)
        return None if stable is None else (stable, "exact conditions at the corners, N = 2")
    return None


def diagonal_is_stable(family: DisturbedFamily) -> bool | None:
    """min_i (alpha, alpha + dbar_i p_i) >= 0 and diag(max(alpha, alpha + dbar_i p_i)) <= 2 H^-1.

    M(d) is then symmetric and grows or falls with each d_i, so that 0 <= M <= 2 H^-1 need only
    hold at two corners. With m the larger one, M <= 2 H^-1 iff diag(2/m) - H >= 0 where m > 0.
    """
    alpha = Fraction(family.nominal_step)
    p = [Fraction(float(x)) for x in np.diag(family.preconditioner)]
    ends = [alpha + Fraction(float(b)) * x for b, x in zip(family.bound, p, strict=True)]
    if min(alpha, *ends) < 0:
        return False
    m = [max(alpha, end) for end in ends]
    active = [i for i, x in enumerate(m) if x > 0]
    H = family.hessian
    if len(active) > EXACT_DIAGONAL:
        root = np.sqrt(np.array([float(m[i]) for i in active]))
        top = float(np.linalg.eigvalsh(root[:, None] * H[np.ix_(active, active)] * root)[-1])
        slack = 16 * len(active) * EPS * max(top, 1.0)
        return None if abs(top - 2) <= slack else top < 2
    rows = [[-Fraction(float(H[i, j])) for j in active] for i in active]
    for place, i in enumerate(active):
        rows[place][place] += 2 / m[i]
    return definiteness(rows) != "indefinite"


def plane_is_stable(family: DisturbedFamily) -> bool | None:
    """The three conditions of Jury at every corner of the closed box, for one or two rows.

    Each is affine in every d_i, so its least value is at a corner; in rational numbers, unless H
    is singular: then a value within rounding of zero decides nothing.
    """
    if family.full_rank:
        ends = [(Fraction(0), Fraction(float(b))) for b in family.bound]
        least = min(min(_conditions(family.exactly(list(d)))) for d in product(*ends))
        return bool(least >= 0)
    if family.bound.size > 16:
        return None
    corners = family.corners(np.zeros_like(family.bound), family.bound)
    rational = [fractions(A) for A in family.matrices(corners)]
    values = np.array([[float(x) for x in _conditions(A)] for A in rational])
    slack = 64 * family.size * EPS * family.magnitude**2
    return None if abs(np.min(values)) <= slack else bool(np.min(values) > 0)


def _conditions(A: Rational) -> tuple[Fraction, ...]:
    return (1 - A[0][0], 1 + A[0][0]) if len(A) == 1 else jury(A)
