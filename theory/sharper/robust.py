"""P = Delta P~ over a box of disturbances: certificates, and whether its vertices decide."""

from collections.abc import Iterator
from itertools import product

import sympy
from sympy import Abs, Matrix, Rational, Symbol

from theory.engine.schur import is_stable
from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, identity, loewner, nonnegative
from theory.engine.symbols import SYMMETRIC, H, I, P_tilde, alpha, column, dbar, h, one, square

D, Bound, X, Theta, Ac, B, C, delta = (
    square(n) for n in ("D", "W", "X", "Theta", "A_c", "B", "C_p", "delta")
)
p = Symbol("p", real=True)
top = Symbol("dbar_i", positive=True)
e, q, d, norm = sympy.symbols("e q d p_norm", nonnegative=True)


@statement(
    "small-gain",
    "Lemma 3': any P~, exact for full disturbances",
    "||P~||_2 <= min(alpha, 2/h - alpha)/dbar implies rho(A) <= 1 for every ||Delta||_2 <= "
    "dbar and every 0 < H <= h I; over all these Delta and H it is necessary too.",
    {"radius": (1 / h - Abs(alpha - 1 / h)) / dbar},
    status=Status.SHARPER,
    assumptions=("P~ any real matrix", "Delta full or diagonal", "0 <= alpha <= 2/h"),
    remark="Necessary by a rank-one Delta and a rank-one H: nothing better can be said from "
    "||P~|| alone. For different dbar_i apply it to diag(dbar) P~ with dbar = 1.",
)
def small_gain(f: Formulas) -> Iterator[Step]:
    radius = f["radius"]
    yield identity(
        "alpha = 1/h - e: the minimum is alpha", radius.subs(alpha, 1 / h - e) * dbar, 1 / h - e
    )
    yield identity(
        "alpha = 1/h + e: the minimum is 2/h - alpha",
        radius.subs(alpha, 1 / h + e) * dbar,
        1 / h - e,
    )
    gain = alpha * I + square("Delta") * P_tilde
    yield identity(
        "M - I/h = (alpha - 1/h) I + Delta P~",
        gain - I / h,
        (alpha - 1 / h) * I + square("Delta") * P_tilde,
        symmetric=(),
    )
    yield identity(
        "so ||M - I/h|| <= |alpha - 1/h| + dbar ||P~|| <= 1/h: Theorem 1'",
        Abs(alpha - 1 / h) + dbar * radius,
        1 / h,
    )
    left, right = column("u"), column("v")
    disturbance = dbar * right * left.T
    yield identity(
        "necessary: P~ v = p u with p = ||P~||; Delta = dbar v u^T gives Delta P~ v = dbar p "
        "(u^T u) v",
        disturbance * (norm * left),
        dbar * norm * right * (left.T * left),
        symmetric=(),
    )
    yield because(
        "so M v = (alpha +- dbar p) v and H to h v v^T has the eigenvalue h (alpha +- dbar p)"
    )
    yield identity(
        "alpha <= 1/h: at the radius the least of them is 0",
        (alpha - dbar * radius).subs(alpha, 1 / h - e),
        sympy.S.Zero,
    )
    yield identity(
        "alpha >= 1/h: at the radius the largest is 2",
        (h * (alpha + dbar * radius)).subs(alpha, 1 / h + e),
        sympy.Integer(2),
    )


@statement(
    "diagonal-exact",
    "diagonal P~, exact",
    "For P~ = diag(p), rho(A) <= 1 for every Delta of (15) if and only if min_i min(alpha, "
    "alpha + dbar_i p_i) >= 0 and diag(max(alpha, alpha + dbar_i p_i)) <= 2 H^-1.",
    {"least": alpha + top * (p - Abs(p)) / 2, "largest": alpha + top * (p + Abs(p)) / 2},
    status=Status.SHARPER,
    assumptions=("H symmetric positive definite", "p = p_i, one diagonal entry shown"),
)
def diagonal_exact(f: Formulas) -> Iterator[Step]:
    least, largest, slack = f["least"], f["largest"], {top - d}
    for sign, value in ((one, q), (-one, -q)):
        gain = alpha + d * value
        most, low = largest.subs(p, value), least.subs(p, value)
        above = (top - d) * q if sign > 0 else d * q
        below = d * q if sign > 0 else (top - d) * q
        yield nonnegative(f"p = {value}: no gain is larger", most - gain, [above], slack)
        yield nonnegative(f"p = {value}: no gain is smaller", gain - low, [below], slack)
        ends = (alpha + top * value, alpha)
        yield identity(
            f"p = {value}: both are attained in the closed box",
            Matrix([most, low]),
            Matrix(ends if sign > 0 else ends[::-1]),
        )
    room, order, gain = 2 * H**-1 - Bound, Bound - D, 2 * H**-1 - D
    yield loewner(
        "2 H^-1 - M(d) = (2 H^-1 - M_max) + (M_max - M(d))",
        gain,
        [(one, I, room), (one, I, order)],
        {room, order},
        symmetric=SYMMETRIC | {D, Bound},
    )
    yield because("so symmetric-exact holds for every Delta if and only if it holds at these two")


@statement(
    "congruence",
    "the symmetric disturbance",
    "With P = Delta^1/2 P~ Delta^1/2, (16) and (17) suffice for every symmetric P~.",
    {"lower": -alpha / dbar, "upper": (2 / h - alpha) / dbar},
    status=Status.SHARPER,
    assumptions=("D = Delta^1/2, 0 <= D^2 <= dbar I (full or diagonal)", "0 <= alpha <= 2/h"),
    remark="The product that keeps Lemma 3's bounds without commutation.",
)
def congruence(f: Formulas) -> Iterator[Step]:
    known = SYMMETRIC | {D}
    gain, slack = alpha * I + D * P_tilde * D, I - D**2 / dbar
    low, high, room = P_tilde - f["lower"] * I, f["upper"] * I - P_tilde, 2 / h - alpha
    yield loewner("M >= 0", gain, [(one, D, low), (alpha, I, slack)], {low, slack}, symmetric=known)
    yield loewner(
        "(2/h) I - M >= 0",
        2 / h * I - gain,
        [(one, D, high), (room, I, slack)],
        {high, slack},
        signs={room},
        symmetric=known,
    )
    yield because("so Theorem 1 applies to the symmetric P")


@statement(
    "robust-all-hessians",
    "any P~, every Hermitian Hessian: the vertices decide",
    "rho(A) <= 1 for every Delta of (15) and every Hermitian 0 < H <= h I if and only if w(h M "
    "- I) <= 1 at the 2^N vertices, M = alpha I + Delta P~.",
    {"offset": h * alpha * I + h * D * P_tilde - I},
    status=Status.SHARPER,
    assumptions=("P~ any real matrix", "D a disturbance"),
    remark="Once H varies too the worst disturbance is a vertex, for every N.",
)
def robust_all_hessians(f: Formulas) -> Iterator[Step]:
    offset, first, second = f["offset"], square("D1"), square("D2")
    s = Symbol("s", real=True)
    yield identity("the offset is h M - I", offset, h * (alpha * I + D * P_tilde) - I, symmetric=())
    mixed = offset.xreplace({D: s * first + (1 - s) * second})
    yield identity(
        "it is affine in the disturbance",
        mixed,
        s * offset.xreplace({D: first}) + (1 - s) * offset.xreplace({D: second}),
        symmetric=(),
    )
    yield because(
        "w is a norm, so w(offset) is convex in Delta and largest at a vertex (eq-15); with "
        "all-hessians-hermitian, exact"
    )


@statement(
    "d-scaling",
    "a certificate without the vertices",
    "X > 0, diagonal Theta > 0 and diag(X, Theta) - N^T diag(X, Theta) N > 0, N = [A_c B; C "
    "0], imply rho(A_c + B delta C) < 1 for every diagonal |delta_i| <= 1.",
    {
        "gap_11": X - Ac.T * X * Ac - C.T * Theta * C,
        "gap_12": -Ac.T * X * B,
        "gap_22": Theta - B.T * X * B,
        "center": I - alpha * H - (D * P_tilde * H) / 2,
        "input": -D / 2,
        "output": P_tilde * H,
    },
    status=Status.SHARPER,
    assumptions=("D = diag(dbar), Delta = D (I + delta)/2",),
)
def d_scaling(f: Formulas) -> Iterator[Step]:
    rest = {X, Theta, delta}
    update = Ac + B * delta * C
    left = X - update.T * X * update
    cross = f["gap_12"] * delta * C
    gap = f["gap_11"] + cross + cross.T + C.T * delta * f["gap_22"] * delta * C
    slack = C.T * (Theta - delta * Theta * delta) * C
    yield identity(
        "X - A^T X A = F^T gap F + C^T (Theta - delta Theta delta) C, F = [I; delta C]",
        left,
        gap + slack,
        symmetric=rest,
    )
    yield because(
        "the last term is positive semidefinite: Theta and delta are diagonal, |delta_i| <= 1"
    )
    model = f["center"] + f["input"] * delta * f["output"]
    half_box = (D + D * delta) / 2
    yield identity(
        "the model of (15): Delta = D (I + delta)/2",
        model,
        I - (alpha * I + half_box * P_tilde) * H,
        symmetric=(),
    )


def _entries(size: int, letter: str) -> Matrix:
    return Matrix(size, size, lambda i, j: Symbol(f"{letter}{i}{j}", real=True))


trace_a, det_a = sympy.symbols("trace determinant", real=True)


@statement(
    "vertices-2",
    "N = 2: the vertices decide",
    "For N = 2 and any P~, rho(A) <= 1 on the whole box of (15) if and only if it holds at its "
    "4 vertices.",
    {
        "at_one": 1 - trace_a + det_a,
        "at_minus_one": 1 + trace_a + det_a,
        "product": 1 - det_a,
    },
    status=Status.SHARPER,
    assumptions=("the Schur-Cohn conditions are that the three formulas in tr A, det A are >= 0",),
    remark="They are affine in each d_i, so their minima lie at vertices.",
)
def vertices_2(f: Formulas) -> Iterator[Step]:
    hessian = Matrix([[Symbol("h0"), Symbol("h1")], [Symbol("h1"), Symbol("h2")]])
    disturbance = sympy.diag(*sympy.symbols("d0 d1"))
    update = sympy.eye(2) - (alpha * sympy.eye(2) + disturbance * _entries(2, "p")) * hessian
    root, w, r, c = sympy.symbols("z w r c")
    poly = root**2 - trace_a * root + det_a
    yield identity("p(1) of p = det(z I - A)", f["at_one"], poly.subs(root, 1))
    yield identity("p(-1)", f["at_minus_one"], poly.subs(root, -1))
    yield identity(
        "1 minus the product of the roots z, w", f["product"].subs(det_a, root * w), 1 - root * w
    )
    yield identity(
        "real roots: p(1) = (1 - z)(1 - w), p(-1) = (1 + z)(1 + w); a complex pair r (c +- i "
        "s) has p(1) > 0, p(-1) > 0 and product r^2",
        poly.subs({trace_a: 2 * r * c, det_a: r**2}).subs(root, 1),
        (1 - r * c) ** 2 + r**2 * (1 - c**2),
    )
    place = {trace_a: update.trace(), det_a: update.det()}
    for name, formula in f.items():
        for entry in sympy.symbols("d0 d1"):
            yield identity(
                f"{name} is affine in {entry}", formula.subs(place).diff(entry, 2), sympy.S.Zero
            )
    yield because("a function affine in each variable takes its minimum over a box at a vertex")


EDGE = {
    "H": sympy.eye(3),
    "alpha": Rational(1, 20),
    "P~": Matrix([[0, -9, -9], [13, 15, -4], [1, -2, 3]]) / 10,
    "Delta": sympy.diag(1, Rational(1, 3), 1),
}


@statement(
    "vertices-3",
    "N >= 3: the vertices do not decide",
    "For N >= 3 stability at every vertex of the box does not imply stability on the box.",
    {"third_condition": 2 * (Symbol("p01") * Symbol("p10"))},
    status=Status.REFUTED,
    assumptions=("N = 3",),
    remark="Complex pairs cross the circle between vertices: vertices may refute, never certify.",
    refute=lambda printed, w: _between(w),
    witness=EDGE,
)
def vertices_3(f: Formulas) -> Iterator[Step]:
    minor = _entries(2, "p")
    disturbance = sympy.diag(*sympy.symbols("d0 d1"))
    product_ = disturbance * minor
    squares = (product_**2).trace()
    mixed = squares.diff(Symbol("d0")).diff(Symbol("d1"))
    plain = f["third_condition"].subs({Symbol(n): Symbol(n, real=True) for n in ("p01", "p10")})
    yield identity(
        "tr (Delta P~)^2, of which the condition on complex pairs consists, has d0 d1 p01 p10 "
        "twice",
        mixed,
        plain,
    )
    yield identity(
        "and the squares d_i^2 p_ii^2: not affine in d_i",
        squares.diff(Symbol("d0"), 2),
        2 * minor[0, 0] ** 2,
    )


def _between(w: Formulas) -> Iterator[Step]:
    eye = sympy.eye(3)

    def update(disturbance: Matrix) -> Matrix:
        return eye - (w["alpha"] * eye + disturbance * w["P~"]) * w["H"]

    vertices = [sympy.diag(*bits) for bits in product((0, 1), repeat=3)]
    stable = all(is_stable(update(vertex)) for vertex in vertices)
    inside = all(0 < x <= 1 for x in w["Delta"].diagonal())
    yield Step("all 8 vertices of [0, 1]^3 are strictly stable (Schur-Cohn, exact)", None, stable)
    yield Step("Delta = diag(1, 1/3, 1) lies in the set (15) with dbar = 1", w["Delta"], inside)
    moved = update(w["Delta"])
    z = Symbol("z")
    yield Step(
        "yet A has an eigenvalue of modulus >= 21/20 (Schur-Cohn on 20 A/21)",
        moved.charpoly(z).as_expr(),
        not is_stable(Rational(20, 21) * moved),
    )
