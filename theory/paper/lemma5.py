"""Lemma 5, stability bounds the loss at every horizon: (A.3)."""

from collections.abc import Iterator

import sympy
from sympy import Rational, Trace

from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, evaluated, exact, identity, nonnegative
from theory.engine.symbols import SYMMETRIC, A, C, H, K, Pi0, S, T, square, t

half, one = Rational(1, 2), sympy.S.One
B, G, X, W, Z = (square(name) for name in "BGXWZ")
Pi = square("Pi")  # second moment of phi_t
Q = square("Q")  # (I - A) S (I - A)^T
ROOT = {H: K**2}
WITH_X = SYMMETRIC | {X, Pi, Q}
NOISY = half * Trace(H * (A**t * Pi0 * A.T**t + C + S))
QUIET = half * Trace(H * (A**t * Pi0 * A.T**t))


@statement(
    "lemma-5",
    "stability bounds the loss at every horizon",
    "If rho(A) < 1 then L(T) = 1/2 [ (tr X Pi_1 - tr X Pi_{T+1})/T + tr X Q + tr H S ] for "
    "every T, with X = H + A^T X A; so sup_T L(T) is finite.",
    {
        "meta_loss": half * ((Trace(X * Pi) - Trace(X * C)) / T + Trace(X * Q) + Trace(H * S)),
        "limit": half * (Trace(X * Q) + Trace(H * S)),
    },
    status=Status.TRUE,
    assumptions=(
        "rho(A) < 1, so X exists and X >= H > 0 (see lyapunov)",
        "Pi = Pi_1, C = Pi_{T+1}, Q = (I-A) S (I-A)^T",
    ),
    equations=("A.3",),
    remark="For finite T nothing is to be shown; what is meant is sup_T, and it holds without "
    "diagonalizability. The proof's L(T) <= L(T+1) is false; T L(T) is what grows.",
    refute=lambda printed, w: _refute_5(w),
    witness={"H": one, "A": half, "phi_0": one},
)
def lemma_5(f: Formulas) -> Iterator[Step]:
    lyapunov = {H: X - A.T * X * A}
    following = A * Pi * A.T + Q
    yield identity(
        "one step: tr H Pi_t = tr X Pi_t - tr X Pi_{t+1} + tr X Q",
        Trace(H * Pi),
        Trace(X * Pi) - Trace(X * following) + Trace(X * Q),
        where=lyapunov,
        symmetric=WITH_X,
    )
    first = Trace(X * Pi)
    for steps in (1, 2, 3):
        total, state = sympy.S.Zero, Pi
        for _ in range(steps):
            total += half * Trace(H * (state + S))
            state = A * state * A.T + Q
        closed = f["meta_loss"].subs(T, steps).xreplace({C: state})
        yield identity(
            f"summed and telescoped, T = {steps}",
            total / steps,
            closed,
            where=lyapunov,
            symmetric=WITH_X,
        )
    yield because("the telescoped sum has the same form for every T")
    remainder = half * (first - Trace(X * C)) / T
    yield identity(
        "so L(T) is its limit plus what decays like 1/T",
        f["meta_loss"],
        f["limit"] + remainder,
        symmetric=WITH_X,
    )
    yield identity(
        "tr X Pi_{T+1} = ||X^1/2 B||_F^2 >= 0, so L(T) <= limit + tr X Pi_1/(2T)",
        Trace(G.T * G * B * B.T),
        Trace((G * B).T * (G * B)),
        symmetric=(),
    )


def _refute_5(w: Formulas) -> Iterator[Step]:
    losses = [half * w["H"] * (w["A"] ** s * w["phi_0"]) ** 2 for s in (1, 2)]
    yield evaluated("N = 1, A = 1/2, phi_0 = 1, no noise: L(1) = 1/8", losses[0], Rational(1, 8))
    yield evaluated("L(2) = 5/64", sum(losses) / 2, Rational(5, 64))
    yield exact("so L(T) <= L(T+1) is false", sympy.Gt(losses[0], sum(losses) / 2, evaluate=False))


@statement(
    "eq-a3",
    "the loss stays finite",
    "sup_T L(T) <= 1/2 [tr X Pi_1 + tr X Q + tr H S] < infinity.",
    {"bound": half * (Trace(X * Pi) + Trace(X * Q) + Trace(H * S))},
    status=Status.TRUE,
    assumptions=("rho(A) < 1", "X, Pi, Q as in lemma-5"),
    equations=("A.3",),
    remark="The bound is attained up to tr X Pi_2/2 at T = 1.",
)
def eq_a3(f: Formulas) -> Iterator[Step]:
    second = A * Pi * A.T + Q
    yield identity(
        "bound - L(1) = tr X Pi_2 / 2 >= 0",
        f["bound"] - half * Trace(H * (Pi + S)),
        half * Trace(X * second),
        where={H: X - A.T * X * A},
        symmetric=WITH_X,
    )
    start, end = sympy.symbols("x_1 x_T", nonnegative=True)
    yield nonnegative(
        "and x_1 - (x_1 - x_T)/T >= 0 for the traces of X at every T >= 1",
        start - (start - end) / T,
        [start * (T - 1) / T, end / T],
        {T - 1, (T - 1) / T},
    )


x, y, s, g, a = sympy.symbols("x y s g a", nonnegative=True)


STATEMENTS = (
    lemma_5,
    eq_a3,
)
