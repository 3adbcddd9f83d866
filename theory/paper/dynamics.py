"""The dynamics of section 4: equations (6), (7), (8), (11), (12), (15)."""

from collections.abc import Iterator
from itertools import product

import sympy
from sympy import Sum, Trace

from theory.engine.algebra import at_one
from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, evaluated, exact, identity
from theory.engine.symbols import S0, A, C, H, I, K, N, P, Pi0, S, alpha, grad, half, k, phi, t, xi
from theory.engine.symbols import T as horizon


@statement(
    "eq-6",
    "the autonomous dynamics",
    "The update (5) with the nominal term alpha grad is phi' = A phi + (I - A) xi.",
    {"update_matrix": I - (alpha * I + P) * H, "noise_gain": (alpha * I + P) * H},
    status=Status.TRUE,
    equations=("4", "5", "6"),
)
def eq_6(f: Formulas) -> Iterator[Step]:
    gradient = H * (phi - xi)
    step = phi - (alpha * gradient + P * gradient)
    general = ()
    yield identity(
        "(5) with g = alpha grad and grad = H (phi - xi)",
        step,
        f["update_matrix"] * phi + f["noise_gain"] * xi,
        symmetric=general,
    )
    yield identity("the noise enters through I - A", f["noise_gain"], I - f["update_matrix"])


Q = (I - A) * S * (I - A).T


@statement(
    "eq-7",
    "the covariance of phi_t",
    "Cov(phi_t) = A^t S0 A^tT + sum_{j<t} A^j Q A^jT with Q = (I-A) S (I-A)^T; the paper's sum "
    "is the case S0 = 0, in the order j = t-k-1.",
    {
        "initial": A**t * S0 * A.T**t,
        "summand": A ** (t - k - 1) * (I - A) * S * (A ** (t - k - 1) * (I - A)).T,
        "recursion": A * C * A.T + (I - A) * S * (I - A).T,
    },
    status=Status.TRUE,
    assumptions=("phi_0 is fixed, or independent of the xi with covariance S0",),
    equations=("7",),
    remark="For a random phi_0 the term A^t S0 A^tT has to be added.",
)
def eq_7(f: Formulas) -> Iterator[Step]:
    rest = (S, S0, C)
    state = A * phi + (I - A) * xi
    yield from second_moment(state * state.T, f["recursion"])
    yield identity("at t = 0 only the initial covariance is there", f["initial"].subs(t, 0), S0)
    for name, meaning in (("initial", "the initial term"), ("summand", "an old summand")):
        yield identity(
            f"{meaning} obeys X(t+1) = A X(t) A^T",
            f[name].subs(t, t + 1),
            A * f[name] * A.T,
            symmetric=rest,
        )
    yield identity(
        "the new summand is Q", f["summand"].subs(t, t + 1).subs(k, t), Q, symmetric=rest
    )
    yield because(
        "so both sides obey the recursion and agree at t = 0: induction on t, for every N"
    )


def second_moment(square: sympy.MatrixExpr, claimed: sympy.MatrixExpr) -> Iterator[Step]:
    """E of a square of A phi + (I-A) xi: phi and xi independent, E phi phi^T = C, E xi xi^T = S."""

    def moments(
        pp: sympy.MatrixExpr, xx: sympy.MatrixExpr, px: sympy.MatrixExpr
    ) -> sympy.MatrixExpr:
        gain = I - A
        return A * pp * A.T + gain * xx * gain.T + A * px * gain.T + gain * px.T * A.T

    products = moments(phi * phi.T, xi * xi.T, phi * xi.T)
    yield identity("the square of A phi + (I-A) xi", square, products, symmetric=())
    yield because("E phi xi^T = 0 by independence, E phi phi^T = C and E xi xi^T = S")
    expected = moments(C, S, sympy.ZeroMatrix(N, N))
    yield identity("the expectation, term by term", expected, claimed, symmetric=(S, C))


@statement(
    "eq-8",
    "the expected loss",
    "The expectation over xi of the loss (4) at time t is 1/2 tr H (Pi_t + S), with Pi_t the "
    "second moment of phi_t; L is its mean over t = 1..T.",
    {
        "at_time": half * Trace(H * (A**t * Pi0 * A.T**t)) + half * Trace(H * (C + S)),
        "meta_loss": Sum(
            half * Trace(H * A**t * Pi0 * A.T**t)
            + half * Sum(Trace(H * A ** (t - k - 1) * Q * A.T ** (t - k - 1)), (k, 0, t - 1))
            + half * Trace(H * S),
            (t, 1, horizon),
        )
        / horizon,
    },
    status=Status.CORRECTED,
    assumptions=(
        "C is the covariance (7) due to the noise",
        "Pi0 = phi_0 phi_0^T if phi_0 is fixed",
    ),
    equations=("8",),
    remark="The factor 1/2 of (4) is missing: the printed value is twice the expected loss.",
    printed={"at_time": Trace(H * (A**t * Pi0 * A.T**t)) + Trace(H * (C + S))},
    refute=lambda printed, w: _refute_8(printed, w),
    witness={"H": sympy.Integer(1), "M": sympy.Integer(1), "S": sympy.Integer(1)},
)
def eq_8(f: Formulas) -> Iterator[Step]:
    loss = half * Trace(H * (phi - xi) * (phi - xi).T)
    moments = half * Trace(H * (phi * phi.T - phi * xi.T - xi * phi.T + xi * xi.T))
    yield identity("the loss (4) as a trace", loss, moments, symmetric=(H,))
    yield because("phi_t and xi_t are independent: E xi phi^T = 0, E xi xi^T = S")
    second = A**t * Pi0 * A.T**t + C
    rest = (H, S, C, Pi0)
    yield identity(
        "E phi phi^T = Pi_t by (7)", f["at_time"], half * Trace(H * (second + S)), symmetric=rest
    )
    for steps in (1, 2):
        expected = sum(
            half * Trace(H * (A**s * Pi0 * A.T**s + S))
            + sum(half * Trace(H * A**j * Q * A.T**j) for j in range(s))
            for s in range(1, steps + 1)
        )
        mean = f["meta_loss"].subs(horizon, steps).doit(deep=True)
        yield identity(f"the mean over t = 1..{steps}", mean, expected / steps, symmetric=rest)


def _refute_8(printed: Formulas, w: Formulas) -> Iterator[Step]:
    hessian, gain, variance = w["H"], w["M"], w["S"]
    step = 1 - gain * hessian
    scalars = {A: step, H: hessian, S: variance, C: (1 - step) ** 2 * variance, Pi0: 0}
    value = at_one(printed["at_time"].subs(t, 1), scalars)
    yield evaluated(
        "N = 1, H = M = S = 1: phi_1 = xi_0, so E loss = 1/2 E (xi_0 - xi_1)^2 = 1",
        half * hessian * ((1 - step) ** 2 * variance + variance),
        sympy.Integer(1),
    )
    yield exact("the printed value is 2", sympy.Eq(value, 2, evaluate=False))


@statement(
    "eq-11",
    "the Hessian preconditioner",
    "g~ = H^-1/2 g has the length of g in the metric of the loss, so steps become isotropic.",
    {"preconditioned": K**-1 * grad},
    status=Status.TRUE,
    equations=("11",),
    remark="A definition; the identity says what it normalizes.",
)
def eq_11(f: Formulas) -> Iterator[Step]:
    g = f["preconditioned"]
    yield identity("g~^T H g~ = g^T g, with H = K^2", g.T * K * K * g, grad.T * grad)
    yield identity("one more half power recovers g", K * g, grad)


@statement(
    "eq-12",
    "the preconditioned dynamics",
    "phi' = phi - H^-1/2 (alpha I + P) grad has the update matrix I - H^-1/2 M H, similar to I "
    "- M H^1/2.",
    {
        "update_matrix": I - K**-1 * (alpha * I + P) * K**2,
        "similar": I - (alpha * I + P) * K,
    },
    status=Status.TRUE,
    equations=("12",),
)
def eq_12(f: Formulas) -> Iterator[Step]:
    update = phi - K**-1 * (alpha * I + P) * (K**2 * phi)
    rest = (K,)
    yield identity(
        "without noise, grad = H phi = K^2 phi", update, f["update_matrix"] * phi, symmetric=rest
    )
    yield identity("similarity by K", K * f["update_matrix"] * K**-1, f["similar"], symmetric=rest)


_d = sympy.symbols("d1:4", positive=True)
_top = sympy.symbols("dbar1:4", positive=True)


@statement(
    "eq-15",
    "the disturbance set is a box",
    "Every Delta = diag(d), 0 < d_i <= dbar_i, is a convex combination of the 2^N vertices of "
    "the closed box; a vertex with b_i in {0, 1} has the weight prod_i (b_i u_i + "
    "(1-b_i)(1-u_i)), u_i = d_i/dbar_i.",
    {"weight_factor": k * _d[0] / _top[0] + (1 - k) * (1 - _d[0] / _top[0])},
    status=Status.TRUE,
    assumptions=("k stands for the bit b_i of the vertex",),
    equations=("15",),
    remark="A definition; the weights are what the results on vertices use.",
)
def eq_15(f: Formulas) -> Iterator[Step]:
    for size in (1, 2, 3):
        total, mean = sympy.S.Zero, sympy.zeros(size, 1)
        for bits in product((0, 1), repeat=size):
            weight = sympy.S.One
            for i, bit in enumerate(bits):
                place = {k: bit, _d[0]: _d[i], _top[0]: _top[i]}
                weight *= f["weight_factor"].subs(place, simultaneous=True)
            total += weight
            mean += weight * sympy.Matrix([bit * top for bit, top in zip(bits, _top, strict=False)])
        yield identity(f"N = {size}: the weights sum to 1", total, sympy.S.One)
        yield identity(f"N = {size}: their mean is d", mean, sympy.Matrix(_d[:size]))
    yield because("each factor is u_i or 1 - u_i, both in [0, 1], so the weights are nonnegative")
