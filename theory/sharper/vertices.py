"""Do the vertices of the box of disturbances decide? For N = 2 yes, for N = 3 no."""

from collections.abc import Iterator
from itertools import product

import sympy
from sympy import Matrix, Rational, Symbol

from theory.engine.schur import is_stable
from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, identity
from theory.engine.symbols import alpha


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


STATEMENTS = (
    vertices_2,
    vertices_3,
)
