"""Which M keep rho(I - M H) <= 1 for every 0 < H <= h I: the question that Theorem 1' leaves open.

Answer: three nested sets, each strictly inside the next (the third is in `theory.sharper.planes`).

1. ||h M - I||_2 <= 1 (Theorem 1'): exactly the M for which no loss ever rises.
2. w(h M - I) <= 1 (numerical radius): exactly the M that are stable for every Hermitian H.
3. 0 <= sym M <= (2/h) I and h det m <= tr m for every compression m = Q^T M Q to a plane: exactly
   the M that are stable for every real symmetric H. The worst H is h times a projection of rank
   one or two.
"""

from collections.abc import Iterator

import sympy
from sympy import Matrix, Rational, Symbol

from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, evaluated, exact, identity, nonnegative
from theory.engine.symbols import M, column, h

one = sympy.S.One
u, v = sympy.symbols("u v", real=True)  # a point u + i v of the numerical range of M
s = Symbol("s", positive=True)
x, y = sympy.symbols("x y", positive=True)  # the diagonal of a hessian of size 2
lamda = Symbol("lamda")


@statement(
    "all-hessians-hermitian",
    "every Hermitian Hessian up to h, exact",
    "rho(I - M H) <= 1 for every Hermitian 0 < H <= h I if and only if the numerical range of "
    "M lies in the disc |z - 1/h| <= 1/h, that is w(h M - I) <= 1.",
    {"center": 1 / h, "radius": 1 / h},
    status=Status.SHARPER,
    assumptions=("M any real or complex matrix", "u + i v any point of its numerical range"),
    remark="Weaker than Theorem 1', since w <= ||.||; the worst H is h times a projection of "
    "rank one.",
)
def all_hessians_hermitian(f: Formulas) -> Iterator[Step]:
    vector = column("y")
    projection = h * vector * vector.T
    yield identity(
        "necessary: M (h y y^T) has the eigenvector M y with the eigenvalue h y^T M y",
        M * projection * (M * vector),
        (M * vector) * (h * vector.T * M * vector),
        symmetric=(),
    )
    yield because(
        "y may be complex (y^* for y^T); H = h y y^* + delta (I - y y^*), delta to 0, is "
        "allowed and eigenvalues are continuous"
    )
    yield identity("the disc touches 0, on its left", f["center"] - f["radius"], sympy.S.Zero)
    room = f["radius"] ** 2 - (u - f["center"]) ** 2 - v**2
    yield identity(
        "|1 - h (u + i v)| <= 1 is the disc", 1 - (1 - h * u) ** 2 - (h * v) ** 2, h**2 * room
    )
    yield because(
        "sufficient: M y = mu H^-1 y gives mu = s (u + i v) with u + i v = y* M y / y* y and 0 "
        "< s = y* y / y* H^-1 y <= h"
    )
    yield nonnegative(
        "then |1 - mu| <= 1",
        1 - (1 - s * u) ** 2 - (s * v) ** 2,
        [s * h * room, s * (h - s) * u**2, s * (h - s) * v**2],
        {h * room, room, h - s},
    )


@statement(
    "theorem-1-prime-necessary",
    "is Theorem 1' necessary?",
    "No: ||h M - I||_2 <= 1 is not necessary for rho(I - M H) <= 1 over all 0 < H <= h I.",
    {"numerical_radius_room": 1 - 2 * x * y},
    status=Status.REFUTED,
    assumptions=(
        "h = 1, M = [[1, -2], [0, 1]]; (x, y) the moduli of the entries of a unit vector",
    ),
    remark="M = [[1, -2], [0, 1]] is stable for every 0 < H <= I although ||M - I||_2 = 2.",
    refute=lambda printed, w: _norm_two(w),
    witness={"M": Matrix([[1, -2], [0, 1]])},
)
def theorem_1_prime_necessary(f: Formulas) -> Iterator[Step]:
    angle = Symbol("phi", real=True)
    place = {x: sympy.cos(angle), y: sympy.sin(angle)}
    yield identity(
        "|y* (I - M) y| <= 2 |y1| |y2| on the unit sphere, and 1 minus that is a square",
        f["numerical_radius_room"].subs(place),
        (place[x] - place[y]) ** 2,
    )
    yield because("so w(M - I) <= 1 and all-hessians-hermitian applies")


def _norm_two(w: Formulas) -> Iterator[Step]:
    offset = w["M"] - sympy.eye(2)
    symmetric = (w["M"] + w["M"].T) / 2
    yield evaluated("||M - I||_2^2 = 4", max((offset.T * offset).eigenvals()), sympy.Integer(4))
    yield evaluated(
        "yet sym M has the eigenvalues 0 and 2",
        symmetric.charpoly(lamda).as_expr(),
        lamda * (lamda - 2),
    )
    yield exact(
        "and det M = 1 <= tr M = 2: stable by all-hessians-plane too",
        sympy.Le(w["M"].det(), w["M"].trace(), evaluate=False),
    )


@statement(
    "all-hessians-strict",
    "the three sets differ",
    "Theorem 1' < numerical radius < every real Hessian, strictly.",
    {"distance": sympy.sqrt((u - 1) ** 2 + v**2)},
    status=Status.SHARPER,
    assumptions=("h = 1, the distance of a point u + i v of the numerical range from the centre",),
)
def all_hessians_strict(f: Formulas) -> Iterator[Step]:
    jordan, rotating = (
        Matrix([[1, -2], [0, 1]]),
        Matrix([[0, Rational(7, 5)], [Rational(-7, 5), 2]]),
    )
    offset = jordan - sympy.eye(2)
    yield exact(
        "[[1, -2], [0, 1]]: ||M - I||_2^2 = 4 > 1, stable for every Hermitian H",
        sympy.Gt(max((offset.T * offset).eigenvals()), 1, evaluate=False),
    )
    vector = Matrix([1, sympy.I]) / sympy.sqrt(2)
    point = sympy.expand((vector.H * rotating * vector)[0])
    yield identity(
        "the distance squared is |z - 1|^2",
        f["distance"] ** 2,
        sympy.expand((u - 1 + sympy.I * v) * (u - 1 - sympy.I * v)),
    )
    distance = f["distance"].subs({u: sympy.re(point), v: sympy.im(point)})
    yield evaluated(
        "[[0, 7/5], [-7/5, 2]] has a point of its numerical range at 7/5 from the centre",
        distance,
        Rational(7, 5),
    )
    yield exact("more than 1: unstable for a Hermitian H", sympy.Gt(distance, 1, evaluate=False))
    yield exact(
        "yet det M = 49/25 <= tr M = 2, and sym M = diag(0, 2): stable for every real H",
        sympy.Le(rotating.det(), rotating.trace(), evaluate=False),
    )


STATEMENTS = (
    all_hessians_hermitian,
    theorem_1_prime_necessary,
    all_hessians_strict,
)
