"""Lemma 5, stability bounds the loss at every horizon, and its proof: (A.3) to (A.14)."""

from collections.abc import Iterator

import sympy
from sympy import Eq, IndexedBase, Matrix, Rational, Sum, Symbol, Trace, limit

from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, evaluated, exact, identity, loewner, nonnegative
from theory.engine.symbols import (
    SYMMETRIC,
    A,
    C,
    H,
    I,
    K,
    L,
    S,
    T,
    V,
    column,
    half,
    k,
    lam,
    one,
    phi,
    square,
    t,
)

B, G, X, W, Z = (square(name) for name in "BGXWZ")
Pi = square("Pi")  # second moment of phi_t
Q = square("Q")  # (I - A) S (I - A)^T
WITH_X = SYMMETRIC | {X, Pi, Q}
z0, powers = column("z0"), column("lamda_t")
j = Symbol("j", integer=True, nonnegative=True)
x, y, s, g, a = sympy.symbols("x y s g a", nonnegative=True)


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


@statement(
    "eq-a4",
    "the powers of A",
    "A^t = V Lambda^t V^-1.",
    {"power": V * L**t * V**-1},
    status=Status.TRUE,
    assumptions=("A diagonalizable",),
    equations=("A.4",),
)
def eq_a4(f: Formulas) -> Iterator[Step]:
    yield identity("t = 0", f["power"].subs(t, 0), I)
    yield identity("t to t + 1", f["power"] * (V * L * V**-1), f["power"].subs(t, t + 1))


@statement(
    "eq-a5",
    "the first loss term in eigenvector coordinates",
    "phi_0^T A^tT H A^t phi_0 = z0^T Lambda^tT V^T H V Lambda^t z0, z0 = V^-1 phi_0.",
    {"quadratic": z0.T * L**t * V.T * H * V * L**t * z0},
    status=Status.TRUE,
    assumptions=(
        "transposes without conjugation: z0 and V may be complex while the value is real",
    ),
    equations=("A.5",),
)
def eq_a5(f: Formulas) -> Iterator[Step]:
    power = V * L**t * V**-1
    yield identity(
        "insert (A.4)", phi.T * power.T * H * power * phi, f["quadratic"], where={z0: V**-1 * phi}
    )


@statement(
    "eq-a6",
    "the eigenvalues pulled out",
    "z0^T Lambda^tT V^T H V Lambda^t z0 = (lambda^t)^T Z V^T H V Z lambda^t with Z = diag(z0).",
    {"quadratic": powers.T * Z * V.T * H * V * Z * powers},
    status=Status.TRUE,
    equations=("A.6",),
)
def eq_a6(f: Formulas) -> Iterator[Step]:
    for size in (1, 2, 3):
        a, b = sympy.symbols(f"z:{size}"), sympy.symbols(f"l:{size}")
        yield identity(
            f"N = {size}: diag(z) lambda = diag(lambda) z",
            sympy.diag(*a) * Matrix(b),
            sympy.diag(*b) * Matrix(a),
        )
    rest = SYMMETRIC | {Z}
    inner = Z * powers
    yield identity(
        "with Lambda^t z0 = Z lambda^t",
        f["quadratic"],
        inner.T * V.T * H * V * inner,
        symmetric=rest,
    )


c = Symbol("c", nonnegative=True)


@statement(
    "eq-a7",
    "the first loss term bounded",
    "(lambda^t)^T W lambda^t <= ||W||_2 sum_i |lambda_i^t|^2, W = Z^T V^T H V Z, c = ||W||_2.",
    {"bound": c * powers.T * powers},
    status=Status.TRUE,
    assumptions=("W symmetric",),
    equations=("A.7",),
)
def eq_a7(f: Formulas) -> Iterator[Step]:
    yield identity(
        "the difference is x^T (c I - W) x, and c I - W >= 0",
        f["bound"] - powers.T * W * powers,
        powers.T * (c * I - W) * powers,
        symmetric={W},
    )


@statement(
    "eq-a8",
    "the geometric sum",
    "sum_{t>=0} |lambda|^2t = 1/(1 - |lambda|^2) for |lambda| < 1.",
    {"sum": 1 / (1 - lam**2)},
    status=Status.TRUE,
    assumptions=("|lambda| < 1",),
    equations=("A.8",),
)
def eq_a8(f: Formulas) -> Iterator[Step]:
    partial = (1 - lam ** (2 * T)) * f["sum"]
    yield identity("one more term adds lambda^2T", partial.subs(T, T + 1) - partial, lam ** (2 * T))
    yield evaluated("the empty sum is 0", partial.subs(T, 0), sympy.S.Zero)
    value = limit(partial.subs(lam, Rational(3, 5)), T, sympy.oo)
    yield evaluated(
        "the limit of the partial sums, at lambda = 3/5", value, f["sum"].subs(lam, Rational(3, 5))
    )


@statement(
    "eq-a9",
    "the second loss term split",
    "The mean over t of tr H (C_t + S) is the mean of tr H C_t plus tr H S.",
    {"at_time": Trace(H * C) + Trace(H * S), "constant_part": Trace(H * S) * Sum(1, (t, 1, T)) / T},
    status=Status.TRUE,
    equations=("A.9",),
    remark="Both sides lack the 1/2 of (4).",
)
def eq_a9(f: Formulas) -> Iterator[Step]:
    yield identity("linearity of the trace", Trace(H * (C + S)), f["at_time"])
    yield identity("the mean of a constant", f["constant_part"].doit(), Trace(H * S))


@statement(
    "eq-a10",
    "the covariance regrouped",
    "C_t = sum A^j (I-A) S (I-A)^T A^jT, j = t-k-1.",
    {"summand": A**j * (I - A) * S * (I - A).T * A.T**j},
    status=Status.TRUE,
    equations=("A.10",),
)
def eq_a10(f: Formulas) -> Iterator[Step]:
    printed = A ** (t - k - 1) * (I - A) * S * (A ** (t - k - 1) * (I - A)).T
    yield identity("the summand of (7)", f["summand"].subs(j, t - k - 1), printed)


@statement(
    "eq-a11",
    "the triangle inequality",
    "||X + Y||_2 <= ||X||_2 + ||Y||_2 for the positive semidefinite summands of (A.10).",
    {"bound": x + y},
    status=Status.TRUE,
    assumptions=("x = ||X||_2, y = ||Y||_2",),
    equations=("A.11",),
)
def eq_a11(f: Formulas) -> Iterator[Step]:
    yield loewner(
        "bound I - (X + Y) >= 0",
        f["bound"] * I - (X + W),
        [(one, I, x * I - X), (one, I, y * I - W)],
        {x * I - X, y * I - W},
        symmetric={X, W},
    )


@statement(
    "eq-a12",
    "the norm of a summand",
    "||A^j G S G^T A^jT||_2 <= ||A^j||_2^2 ||G||_2^2 ||S||_2, G = I - A.",
    {"bound": a * g * s},
    status=Status.TRUE,
    assumptions=("a = ||A^j||_2^2, g = ||I - A||_2^2, s = ||S||_2",),
    equations=("A.12",),
)
def eq_a12(f: Formulas) -> Iterator[Step]:
    outer = A**j * G
    noise, gain, power = s * I - S, g * I - G * G.T, a * I - A**j * A.T**j
    yield loewner(
        "bound I - A^j G S G^T A^jT >= 0",
        f["bound"] * I - outer * S * outer.T,
        [(one, outer.T, noise), (s, A.T**j, gain), (s * g, I, power)],
        {noise, gain, power},
    )


@statement(
    "eq-a13",
    "the constants pulled out",
    "The sum of (A.12) is ||I-A||_2^2 ||S||_2 sum_k ||A^(t-k-1)||_2^2.",
    {"bound": g * s * Sum(IndexedBase("a")[k], (k, 0, t - 1))},
    status=Status.TRUE,
    equations=("A.13",),
)
def eq_a13(f: Formulas) -> Iterator[Step]:
    entry = IndexedBase("a")
    for steps in (1, 2, 3):
        terms = sum(entry[i] * g * s for i in range(steps))
        yield identity(
            f"t = {steps}; each further t adds one summand", f["bound"].subs(t, steps).doit(), terms
        )


low, high, r = sympy.symbols("h_min h_max r", positive=True)


@statement(
    "eq-a14",
    "the norms of the powers",
    "For symmetric P, ||A^k||_2^2 <= (h_max/h_min) rho^2k, so their sum is at most "
    "kappa/(1-rho^2).",
    {"bound": high / low * r, "sum": high / low / (1 - lam**2)},
    status=Status.CORRECTED,
    assumptions=("P symmetric; r = rho^2k, lambda = rho < 1", "h_min I <= H <= h_max I"),
    equations=("A.14",),
    remark="Printed with ||A^k||_2 = rho(A^k), which holds for normal A only. In the H-norm "
    "the equality holds for symmetric P; in general the constant is kappa_2(V)^2.",
    refute=lambda printed, w: _refute_a14(w),
    witness={"A": Matrix([[half, 1], [0, half]]), "x": Matrix([0, 1])},
)
def eq_a14(f: Formulas) -> Iterator[Step]:
    similar = K**-1 * W**k * K
    rest = SYMMETRIC | {W}
    yield identity(
        "A^k = K^-1 W^k K with W = I - G symmetric: the step from k to k + 1",
        similar * (K**-1 * W * K),
        similar.subs(k, k + 1),
        symmetric=rest,
    )
    gap, curve, floor = r * I - W ** (2 * k), high * I - K**2, I / low - K**-2
    yield loewner(
        "bound I - A^kT A^k >= 0",
        f["bound"] * I - similar.T * similar,
        [(r / low, I, curve), (1 / low, K, gap), (one, W**k * K, floor)],
        {gap, curve, floor},
        symmetric=rest,
    )
    yield identity(
        "the sum of the bounds, by (A.8)", f["sum"], f["bound"].subs(r, 1) / (1 - lam**2)
    )


def _refute_a14(w: Formulas) -> Iterator[Step]:
    image = w["A"] * w["x"]
    radius = max(w["A"].eigenvals())
    yield evaluated("x is a unit vector", (w["x"].T * w["x"])[0], one)
    yield evaluated(
        "H = I, P = I - A, alpha = 0: ||A||_2^2 >= |A x|^2 = 5/4",
        (image.T * image)[0],
        Rational(5, 4),
    )
    yield exact("while rho(A)^2 = 1/4", Eq(radius**2, Rational(1, 4), evaluate=False))
    yield because("and ||A^k|| >= rho(A^k) for every k, so the sums differ too")
