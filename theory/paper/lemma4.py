"""Lemma 4, noise only adds to the loss: (A.1), (A.2)."""

from collections.abc import Iterator

import sympy
from sympy import Eq, Rational, Symbol, Trace

from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, evaluated, exact, identity
from theory.engine.symbols import A, C, H, K, Pi0, S, half, one, square, t

B = square("B")
ROOT = {H: K**2}
NOISY = half * Trace(H * (A**t * Pi0 * A.T**t + C + S))
QUIET = half * Trace(H * (A**t * Pi0 * A.T**t))


def _nonnegative_trace() -> Iterator[Step]:
    yield because("C = sum A^j Q A^jT and S are positive semidefinite, so C + S = B B^T for some B")
    yield identity(
        "tr H B B^T = ||H^1/2 B||_F^2 >= 0",
        Trace(H * B * B.T),
        Trace((K * B).T * (K * B)),
        where=ROOT,
    )


@statement(
    "lemma-4",
    "noise only adds to the loss",
    "Lbar(T) <= L(T); the difference is the mean over t = 1..T of 1/2 tr H (C_t + S).",
    {"gap_at_time": half * Trace(H * (C + S))},
    status=Status.TRUE,
    assumptions=("C_t is the covariance (7)",),
    equations=("A.1", "A.2"),
    remark="(A.1) holds; its proof goes through (A.2), which has the wrong sign and lacks 1/2.",
)
def lemma_4(f: Formulas) -> Iterator[Step]:
    yield identity("(8) with noise minus (8) without", NOISY - QUIET, f["gap_at_time"])
    yield from _nonnegative_trace()


@statement(
    "eq-a1",
    "the deterministic loss is a lower bound",
    "Lbar(T) = L(T) - gap <= L(T).",
    {"deterministic_at_time": NOISY - half * Trace(H * (C + S))},
    status=Status.TRUE,
    equations=("A.1",),
)
def eq_a1(f: Formulas) -> Iterator[Step]:
    yield identity("it is (8) without noise", f["deterministic_at_time"], QUIET)
    yield from _nonnegative_trace()


@statement(
    "eq-a2",
    "the gap between the losses",
    "L(T) = Lbar(T) + (1/2T) sum_t tr H (C_t + S).",
    {"meta_loss_at_time": QUIET + half * Trace(H * (C + S))},
    status=Status.CORRECTED,
    equations=("A.2",),
    remark="As printed, Lbar = L + (1/T) sum tr H(C_t + S): the sign is reversed and 1/2 is "
    "missing.",
    printed={"deterministic": Symbol("L") + Symbol("h") * (Symbol("c") + Symbol("s"))},
    refute=lambda printed, w: _refute_a2(printed, w),
    witness={"loss": half, "h": one, "c": sympy.S.Zero, "s": one},
)
def eq_a2(f: Formulas) -> Iterator[Step]:
    yield identity("(8) with noise is (8) without plus the gap", NOISY, f["meta_loss_at_time"])


def _refute_a2(printed: Formulas, w: Formulas) -> Iterator[Step]:
    place = {Symbol("L"): w["loss"], Symbol("h"): w["h"], Symbol("c"): w["c"], Symbol("s"): w["s"]}
    yield evaluated(
        "N = 1, A = 1, phi_0 = 0, S = 1: no noise enters, L = 1/2 E xi^2",
        w["loss"],
        half * w["h"] * w["s"],
    )
    yield exact(
        "Lbar = 0, the printed value is 3/2",
        Eq(printed["deterministic"].subs(place), Rational(3, 2), evaluate=False),
    )
