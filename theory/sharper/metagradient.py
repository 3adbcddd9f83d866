"""Sharper statements on the meta-gradient: its expectation by adjoints, its exact variance."""

from collections.abc import Iterator

import sympy
from sympy import Matrix, MatrixExpr, MatrixSymbol, Symbol, Trace

from theory.engine.algebra import explicit
from theory.engine.gaussian import gaussian_variance
from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, identity
from theory.engine.symbols import S0, SYMMETRIC, A, H, I, N, S, column, half, square

Pi, Y, E, dPi = (square(name) for name in ("Pi", "Y", "E", "dPi"))
change = Symbol("delta")


@statement(
    "expected-gradient",
    "the expected meta-gradient by adjoints",
    "dL/dP = (1/T) sum_{t<T} Y_{t+1} [(I-A) S - A Pi_t] H with Pi_{t+1} = A Pi_t A^T + Q, Y_T "
    "= H, Y_t = H + A^T Y_{t+1} A; its trace is dL by alpha.",
    {"summand": Y * ((I - A) * S - A * Pi) * H, "adjoint": H + A.T * Y * A},
    status=Status.SHARPER,
    assumptions=("Y = Y_{t+1}, Pi = Pi_t",),
)
def expected_gradient(f: Formulas) -> Iterator[Step]:
    known = SYMMETRIC | {Pi, Y, dPi}
    slope = -E * H  # dA for dP = E

    def following(update: MatrixExpr) -> MatrixExpr:
        return update * Pi * update.T + (I - update) * S * (I - update).T

    linear = slope * Pi * A.T - slope * S * (I - A).T
    quadratic = slope * (Pi + S) * slope.T
    yield identity(
        "P + delta E changes Pi_{t+1} to first order by X + X^T, X = dA (Pi A^T - S (I-A)^T)",
        following(A + change * slope) - following(A),
        change * (linear + linear.T) + change**2 * quadratic,
        symmetric=known,
    )
    yield identity(
        "the adjoint collects: tr Y_t dPi_t = tr H dPi_t + tr Y_{t+1} A dPi_t A^T",
        Trace(f["adjoint"] * dPi),
        Trace(H * dPi) + Trace(Y * A * dPi * A.T),
        symmetric=known,
    )
    yield because(
        "summed over t with dPi_0 = 0: sum 1/2 tr H dPi_t = sum 1/2 tr Y_{t+1} (X_t + X_t^T)"
    )
    yield identity(
        "one summand is the inner product of E with the formula",
        half * Trace(Y * (linear + linear.T)),
        Trace(E.T * f["summand"]),
        symmetric=known,
    )
    yield identity(
        "E = I gives the derivative in alpha",
        half * Trace(Y * (linear + linear.T)).xreplace({E: I}),
        Trace(f["summand"]),
        symmetric=known,
    )


F, Kt, Px = (MatrixSymbol(name, 2 * N, 2 * N) for name in ("F", "K_t", "Px"))
B, C = (MatrixSymbol(name, 2 * N, N) for name in ("B", "C_x"))
L = MatrixSymbol("L_t", N, 2 * N)
W, k = square("W_t"), square("k_0")
x, xi, mean = MatrixSymbol("x", 2 * N, 1), column("xi"), column("m")


@statement(
    "gradient-variance",
    "the exact variance of the sampled meta-gradient",
    "T^2 Var g_E = sum_{t=0..T} [tr L_t^T S L_t Px_t + 2 tr W_t S W_t S] + 2 tr k S0 k S0 + 4 "
    "m^T k S0 k m, W_t = B^T K_{t+1} B, L_t = 2 B^T K_{t+1} F - C^T 1[t>=1], K_t = R 1[t>=1] + "
    "F^T K_{t+1} F, K_{T+1} = 0, Px_{t+1} = F Px_t F^T + B S B^T, k the phi-phi block of K_0.",
    {
        "gain": 2 * B.T * Kt * F - C.T,
        "curvature": B.T * Kt * B,
        "step_variance": Trace(L.T * S * L * Px) + 2 * Trace(W * S * W * S),
        "initial_variance": 2 * Trace(k * S0 * k * S0) + 4 * Trace(mean * mean.T * k * S0 * k),
    },
    status=Status.SHARPER,
    assumptions=(
        "x = (phi; s), s_t = d phi_t along E: s' = A s - E H (phi - xi)",
        "F = [[A, 0], [-E H, A]], B = [M H; E H], R = 1/2 [[0, H], [H, 0]], C = [0; H]",
        "phi_0 ~ N(m, S0) and xi_t ~ N(0, S) independent",
    ),
    remark="O(T N^3) for a direction; what Figure 2a estimates by sampling.",
)
def gradient_variance(f: Formulas) -> Iterator[Step]:
    known = SYMMETRIC | {Kt, Px, W, k}
    after = F * x + B * xi
    yield identity(
        "the value after a step minus its mean: xi^T L x + xi^T W xi - tr W S",
        Trace(after * after.T * Kt) - Trace(x * xi.T * C.T),
        Trace(F * x * x.T * F.T * Kt)
        + Trace(x * xi.T * f["gain"])
        + Trace(xi * xi.T * f["curvature"]),
        symmetric=known,
    )
    yield because(
        "these are martingale differences, uncorrelated; given x, each has the variance of "
        "xi^T b + xi^T W xi with b = L x"
    )
    yield from _quadratic_form(f)
    for horizon in (1, 2):
        yield from _scalar_horizon(f, horizon)


def _quadratic_form(f: Formulas) -> Iterator[Step]:
    """Var(xi^T b + xi^T W xi) for N = 2 by Wick's rule, against both formulas."""
    noise = sympy.symbols("x0 x1")
    vector = Matrix(noise)
    weights = Matrix([[Symbol("w0"), Symbol("w1")], [Symbol("w1"), Symbol("w2")]])
    covariance = Matrix([[Symbol("s0"), Symbol("s1")], [Symbol("s1"), Symbol("s2")]])
    line = Matrix(sympy.symbols("b0 b1"))
    form = (vector.T * line + vector.T * weights * vector)[0]
    direct = gaussian_variance(form, noise, covariance)
    step = explicit(
        f["step_variance"],
        {
            L: line.row_join(sympy.zeros(2, 3)),
            S: covariance,
            W: weights,
            Px: sympy.diag(1, 0, 0, 0),
        },
        2,
    )
    yield identity("N = 2, Wick's rule: b^T S b + 2 tr W S W S", direct, step)
    start = Matrix(sympy.symbols("m0 m1"))
    shifted = ((start + vector).T * weights * (start + vector))[0]
    initial = explicit(f["initial_variance"], {k: weights, S0: covariance, mean: start}, 2)
    yield identity(
        "N = 2: Var of phi_0^T k phi_0", gaussian_variance(shifted, noise, covariance), initial
    )


def _scalar_horizon(f: Formulas, horizon: int) -> Iterator[Step]:
    """N = 1: the recursion against the variance of the unrolled gradient."""
    curve, gain, s, s0, m0 = sympy.symbols("h m s s0 mu")
    noises = sympy.symbols(f"x0:{horizon + 1}")
    start = Symbol("d0")
    state, tangent, total = m0 + start, sympy.S.Zero, sympy.S.Zero
    for step in range(horizon + 1):
        residual = curve * (state - noises[step])
        total += tangent * residual
        state, tangent = state - gain * residual, tangent - gain * curve * tangent - residual
    direct = gaussian_variance(
        sympy.expand(total), (start, *noises), sympy.diag(s0, *[s] * (horizon + 1))
    )
    update = 1 - gain * curve
    move, push = Matrix([[update, 0], [-curve, update]]), Matrix([gain * curve, curve])
    cost, read = Matrix([[0, curve], [curve, 0]]) / 2, Matrix([0, curve])
    states = [sympy.diag(s0 + m0**2, 0)]
    for _ in range(horizon):
        states.append(move * states[-1] * move.T + s * push * push.T)
    value, found, noise = sympy.zeros(2, 2), sympy.S.Zero, Matrix([[s]])
    for step in reversed(range(horizon + 1)):
        place = {Kt: value, F: move, B: push, C: read if step else sympy.zeros(2, 1)}
        linear, bent = explicit(f["gain"], place, 1), explicit(f["curvature"], place, 1)
        found += explicit(f["step_variance"], {L: linear, S: noise, W: bent, Px: states[step]}, 1)
        value = (cost if step else sympy.zeros(2, 2)) + move.T * value * move
    found += explicit(
        f["initial_variance"], {k: value[:1, :1], S0: Matrix([[s0]]), mean: Matrix([[m0]])}, 1
    )
    yield identity(
        f"N = 1, T = {horizon}: the recursion is the variance of the unrolled gradient",
        direct,
        found,
    )
