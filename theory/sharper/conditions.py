"""Sharper statements for any real P: sufficient conditions and a certificate."""

from collections.abc import Iterator

import sympy
from sympy import Matrix, Rational, Symbol

from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, evaluated, identity, loewner
from theory.engine.symbols import (
    SYMMETRIC,
    A,
    H,
    I,
    L,
    M,
    P,
    V,
    alpha,
    column,
    h,
    lam,
    one,
    square,
    t,
    z,
)

X, D = square("X"), square("D")
GENERAL = SYMMETRIC - {P, M}


@statement(
    "monotone-loss",
    "when the deterministic loss never rises",
    "||A||_H <= 1 if and only if M^T H M <= M + M^T, for any real P.",
    {"room": M + M.T - M.T * H * M},
    status=Status.SHARPER,
    assumptions=("H symmetric positive definite", "M any real matrix"),
)
def monotone_loss(f: Formulas) -> Iterator[Step]:
    update, room = I - M * H, f["room"]
    loss = H - update.T * H * update
    yield identity("H - A^T H A is congruent to the room", loss, H * room * H, symmetric=GENERAL)
    yield loewner("conversely", room, [(one, H**-1, loss)], {loss}, symmetric=GENERAL)


@statement(
    "theorem-1-prime",
    "Theorem 1': any P, every Hessian up to h",
    "||P - (1/h - alpha) I||_2 <= 1/h implies rho(A) <= 1 for every 0 < H <= h I; it is "
    "necessary and sufficient for the deterministic loss never to rise on any of these H.",
    {"center": 1 / h - alpha, "radius": 1 / h},
    status=Status.SHARPER,
    assumptions=("P any real matrix", "0 < H <= h I"),
    remark="For symmetric P it is (9) and (10). Not necessary for rho(A) <= 1: see all-hessians-*.",
)
def theorem_1_prime(f: Formulas) -> Iterator[Step]:
    gain, offset = alpha * I + P, P - f["center"] * I
    disc, curve = f["radius"] ** 2 * I - offset.T * offset, h * I - H
    room = gain + gain.T - gain.T * H * gain
    yield loewner(
        "the room of monotone-loss is nonnegative",
        room,
        [(h, I, disc), (one, gain, curve)],
        {disc, curve},
        symmetric=GENERAL,
    )
    yield identity(
        "at H = h I the room is h times the disc: necessary for a loss that never rises",
        gain + gain.T - h * gain.T * gain,
        h * disc,
        symmetric=GENERAL,
    )
    yield identity("symmetric P: the lower end is (9)", f["center"] - f["radius"], -alpha)
    yield identity("symmetric P: the upper end is (10)", f["center"] + f["radius"], 2 / h - alpha)
    g = column("g")
    fall = -g.T * gain * g + h / 2 * g.T * gain.T * gain * g
    yield identity(
        "the descent lemma's bound for every h-smooth function is -h/2 g^T (disc) g",
        (fall + fall.T) / 2,
        -h / 2 * g.T * disc * g,
        symmetric=GENERAL,
    )


kappa = Symbol("kappa", positive=True)
v, u, d = sympy.symbols("v u d", nonnegative=True)


@statement(
    "eigenvector-condition",
    "stability from eigenvalues and their eigenvectors",
    "P = V Lambda V^-1: |alpha + lambda_i - 1/h| <= 1/(h kappa_2(V)) for every i implies "
    "rho(A) <= 1 for every 0 < H <= h I.",
    {"radius": 1 / (h * kappa)},
    status=Status.SHARPER,
    assumptions=(
        "v = ||V||^2, u = ||V^-1||^2, kappa^2 = u v, d = max_i |alpha + lambda_i - 1/h|^2",
    ),
)
def eigenvector_condition(f: Formulas) -> Iterator[Step]:
    shifted = alpha * I + L - I / h
    yield identity(
        "M - I/h has the eigenvectors of P", V * shifted * V**-1, alpha * I + V * L * V**-1 - I / h
    )
    x = V * D * V**-1
    inverse, eigen, vectors = u * I - V**-1 * (V**-1).T, d * I - D**2, v * I - V * V.T
    yield loewner(
        "||V D V^-1||^2 <= u v d",
        u * v * d * I - x * x.T,
        [(one, (V * D).T, inverse), (u, V.T, eigen), (u * d, I, vectors)],
        {inverse, eigen, vectors},
        symmetric=SYMMETRIC | {D},
    )
    yield identity("kappa times the radius is the radius of Theorem 1'", kappa * f["radius"], 1 / h)


power = Symbol("m", integer=True, positive=True)


@statement(
    "numerical-radius",
    "stability from the numerical radius",
    "w(I - G) <= 1 implies rho(A) <= 1 and ||(I - G)^m||_2 <= 2 for every m (Berger), G = K M K.",
    {"factored": 1 - z**power, "power_bound": sympy.Integer(2)},
    status=Status.SHARPER,
    assumptions=("w(X) = max |x* X x| over unit x", "M any real matrix"),
    remark="Pearcy's proof of Berger's inequality; the bound 2 is attained.",
)
def numerical_radius(f: Formulas) -> Iterator[Step]:
    p = f["factored"]
    for m, root in ((2, -one), (3, Rational(-1, 2) + sympy.sqrt(-3) / 2), (4, sympy.I)):
        product = sympy.Mul(*[1 - root**i * z for i in range(m)])
        yield identity(
            f"m = {m}: the product of 1 - omega z over the roots of unity",
            product,
            p.subs(power, m),
        )
    yield identity(
        "the sum of the products that leave one factor out is m p - z p' = m",
        power * p - z * p.diff(z),
        power,
    )
    yield because(
        "with x_j = (1/m) prod_{k != j} (1 - omega_k X) x: x = sum_j x_j and, for unit x, 1 - "
        "x* X^m x = m sum_j ||x_j||^2 (1 - omega_j x_j* X x_j / ||x_j||^2), real part >= 0"
    )
    yield because("so w(X^m) <= 1; the Hermitian and skew parts of X^m have norms <= w")
    parts = (X + X.T) / 2 + (X - X.T) / 2
    yield identity("and X^m is the sum of these two parts", parts, X, symmetric=())
    jordan = Matrix([[0, 2], [0, 0]])
    yield evaluated(
        "attained: ||X|| for X = [[0, 2], [0, 0]]",
        sympy.sqrt(max((jordan.T * jordan).eigenvals())),
        f["power_bound"],
    )
    turned = sympy.exp(sympy.I * Symbol("theta", real=True)) * jordan
    hermitian = (turned + turned.H) / 2
    yield identity(
        "whose numerical radius is 1: each turned Hermitian part has the eigenvalues +-1",
        hermitian.charpoly(z).as_expr(),
        z**2 - 1,
    )


@statement(
    "lyapunov",
    "a certificate for any A",
    "rho(A) < 1 if and only if X - A^T X A = H has a solution X > 0, which is sum_t A^tT H A^t.",
    {"residual": X - A.T * X * A, "summand": A.T**t * H * A**t, "rate": 1 - lam**2},
    status=Status.SHARPER,
    assumptions=("H symmetric positive definite", "A any real matrix"),
)
def lyapunov(f: Formulas) -> Iterator[Step]:
    x = column("x")
    rest = SYMMETRIC | {X}
    along = f["residual"].xreplace({A: lam * I})
    yield identity(
        "on an eigenvector x with eigenvalue lambda (real; else x* for x^T)",
        x.T * along * x,
        f["rate"] * x.T * X * x,
        symmetric=rest,
    )
    yield because("so x^T H x > 0 and x^T X x > 0 force |lambda| < 1")
    yield identity(
        "the summands telescope: A^T s(t) A = s(t+1)",
        A.T * f["summand"] * A,
        f["summand"].subs(t, t + 1),
        symmetric=rest,
    )
    yield identity(
        "s(0) = H, so the series solves the equation if rho(A) < 1", f["summand"].subs(t, 0), H
    )
    partial = H + A.T * H * A
    yield identity(
        "with two summands the residual is H - s(2)",
        f["residual"].xreplace({X: partial}),
        H - f["summand"].subs(t, 2),
        symmetric=rest,
    )
