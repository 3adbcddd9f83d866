"""Which M keep rho(I - M H) <= 1 for every 0 < H <= h I: the question that Theorem 1' leaves open.

Answer: three nested sets, each strictly inside the next; the third is exact for N <= 4.

1. ||h M - I||_2 <= 1 (Theorem 1'): exactly the M for which no loss ever rises.
2. w(h M - I) <= 1 (numerical radius): exactly the M that are stable for every Hermitian H.
3. 0 <= sym M <= (2/h) I and h det m <= tr m for every compression m = Q^T M Q to a plane: exactly
   the M that are stable for every real symmetric H. The worst H is h times a projection of rank
   one or two.
"""

from collections.abc import Iterator
from itertools import combinations

import sympy
from sympy import Matrix, Rational, Symbol

from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, evaluated, exact, identity, nonnegative
from theory.engine.symbols import M, column, h

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


a, d = sympy.symbols("a d", nonnegative=True)  # eigenvalues of the symmetric part of m
c = Symbol("c", real=True)  # m = [[a, c], [-c, d]]
z = Symbol("z", real=True)  # its off-diagonal entry
ENTRIES = Matrix(2, 2, sympy.symbols("m11 m12 m21 m22", real=True))
NORMAL_FORM = Matrix([[a, c], [-c, d]])
HESSIAN = Matrix([[x, z], [z, y]])


@statement(
    "all-hessians-plane",
    "every real Hessian up to h, exact for N = 2",
    "rho(I - M H) <= 1 for every real symmetric 0 < H <= h I if and only if 0 <= sym M <= "
    "(2/h) I and h det M <= tr M.",
    {"room": ENTRIES.trace() - h * (ENTRIES[0, 0] * ENTRIES[1, 1] - ENTRIES[0, 1] * ENTRIES[1, 0])},
    status=Status.SHARPER,
    assumptions=("M real, 2 x 2",),
    remark="A plane rotation brings M to [[a, c], [-c, d]] and keeps trace, determinant and sym M.",
)
def all_hessians_plane(f: Formulas) -> Iterator[Step]:
    entries = dict(zip(ENTRIES, NORMAL_FORM, strict=True))
    room = f["room"].subs(entries)
    gain = NORMAL_FORM * HESSIAN
    delta, trace, det = NORMAL_FORM.det(), gain.trace(), gain.det()
    update = sympy.eye(2) - gain
    yield from _rotation(f["room"])
    yield identity(
        "Schur-Cohn: p(1) = det(M H)", update.charpoly(lamda).as_expr().subs(lamda, 1), det
    )
    yield identity("1 - det A = tr(M H) - det(M H)", 1 - update.det(), trace - det)
    yield identity(
        "p(-1) = 4 - 2 tr(M H) + det(M H)",
        update.charpoly(lamda).as_expr().subs(lamda, -1),
        4 - 2 * trace + det,
    )
    hessian = x * y - z**2
    cover = (h - x) * (h - y) - z**2
    known = {room, hessian, cover, h - x, h - y, 2 - a * h, 2 - d * h, 1 - x / h, 1 - y / h}
    yield nonnegative("sufficient: p(1) >= 0", det, [a * d * hessian, c**2 * hessian], known)
    yield nonnegative(
        "1 - det A >= 0",
        trace - det,
        [delta * z**2, a * x * (1 - y / h), d * y * (1 - x / h), x * y / h * room],
        known | {delta},
    )
    yield nonnegative(
        "p(-1) >= 0",
        4 - 2 * trace + det,
        [
            c**2 * hessian,
            (2 - a * h) * (2 - d * h),
            (2 - a * h) * d * (h - y),
            (2 - d * h) * a * (h - x),
            a * d * cover,
        ],
        known,
    )
    yield identity(
        "necessary: H = h I has 1 - det A = h times the room",
        (trace - det).subs({x: h, y: h, z: 0}),
        h * room,
    )
    yield identity(
        "H to diag(h, 0) has the eigenvalue h a, so 0 <= a <= 2/h, and d likewise",
        gain.subs({x: h, y: 0, z: 0}).charpoly(lamda).as_expr(),
        lamda * (lamda - h * a),
    )


def _rotation(room: sympy.Expr) -> Iterator[Step]:
    angle = Symbol("phi", real=True)
    turn = Matrix([[sympy.cos(angle), -sympy.sin(angle)], [sympy.sin(angle), sympy.cos(angle)]])
    turned = turn.T * ENTRIES * turn
    yield identity(
        "the room is invariant under rotations",
        room.subs(dict(zip(ENTRIES, turned, strict=True)), simultaneous=True),
        room,
    )


FRAME = Matrix(3, 2, sympy.symbols("q:6", real=True))
GAIN = Matrix(3, 3, sympy.symbols("m:9", real=True))


@statement(
    "all-hessians-real",
    "every real Hessian up to h, exact",
    "For N >= 2, rho(I - M H) <= 1 for every real symmetric 0 < H <= h I if and only if every "
    "compression m = Q^T M Q to a plane has 0 <= sym m <= (2/h) I and h det m <= tr m. "
    "Equivalently: for every H = h times a projection of rank one or two.",
    {
        "plane_room": ENTRIES.trace() - h * ENTRIES.det(),
        "plane_excess": 1 - (sympy.eye(2) - h * ENTRIES).det(),
    },
    status=Status.SHARPER,
    assumptions=("M real", "Q any real N x 2 matrix with orthonormal columns"),
    remark="So 0 <= sym M <= (2/h) I is needed, and a cap on the rotation in each plane.",
)
def all_hessians_real(f: Formulas) -> Iterator[Step]:
    inner = Matrix([[x, z], [z, y]])
    hessian = FRAME * inner * FRAME.T
    large = (lamda * sympy.eye(3) - GAIN * hessian).det(method="berkowitz")
    small = (lamda * sympy.eye(2) - FRAME.T * GAIN * FRAME * inner).det()
    yield identity(
        "necessary: H = Q eta Q^T has the eigenvalues of Q^T M Q eta and zeros (N = 3; "
        "Sylvester's identity for every N)",
        large,
        lamda * small,
    )
    yield because(
        "so M passes for all H only if each compression passes for all 0 < eta <= h I, which "
        "is all-hessians-plane"
    )
    yield because(
        "sufficient: M y = mu H^-1 y with y = Q t, Q a basis of span(Re y, Im y), gives Q^T M "
        "Q t = mu (Q^T H^-1 Q) t: mu is an eigenvalue of the compression times eta = (Q^T H^-1 "
        "Q)^-1, and H^-1 >= I/h gives 0 < eta <= h I"
    )
    yield identity(
        "det(I - h m) <= 1 says the same as the room", f["plane_excess"], h * f["plane_room"]
    )
    trace, det = (ENTRIES[0, 0] + ENTRIES[1, 1]), ENTRIES.det()
    update = (sympy.eye(2) - h * ENTRIES).det()
    yield identity(
        "at H = h Q Q^T, 1 - det A on the plane is h times the room",
        1 - update,
        h * (trace - h * det),
    )
    yield identity(
        "and the room is that of all-hessians-plane",
        f["plane_room"],
        all_hessians_plane.formulas["room"],
    )


Z3 = Matrix(3, 3, sympy.symbols("z11 z12 z13 z21 z22 z23 z31 z32 z33", real=True))


@statement(
    "all-hessians-space",
    "every real Hessian up to h, N = 3 by one eigenvalue",
    "For N = 3 the condition is 0 <= sym M <= (2/h) I and lambda_max(sym cof(I - h M)) <= 1.",
    {"cofactors": Z3.cofactor_matrix()},
    status=Status.SHARPER,
    assumptions=("Z = I - h M", "every plane of R^3 has a unit normal"),
    remark="The planes are quantified away: an eigenvalue of a 3 x 3 matrix decides.",
)
def all_hessians_space(f: Formulas) -> Iterator[Step]:
    first, second = FRAME[:, 0], FRAME[:, 1]
    normal = first.cross(second)
    compression = FRAME.T * Z3 * FRAME
    yield identity(
        "det(Q^T Z Q) = n^T cof(Z) n with n = q1 x q2",
        compression.det(),
        (normal.T * f["cofactors"] * normal)[0],
    )
    yield identity(
        "|n|^2 = det(Q^T Q), 1 for orthonormal columns",
        (normal.T * normal)[0],
        (FRAME.T * FRAME).det(),
    )
    yield because(
        "every unit n is such a normal, so the largest value over all planes is lambda_max(sym "
        "cof(Z))"
    )


FRAME4 = Matrix(4, 2, sympy.symbols("q:8", real=True))
PAIRS = tuple(combinations(range(4), 2))
Z4 = Matrix(4, 4, sympy.symbols("z:16", real=True))
SIGNS = {(0, 5): 1, (1, 4): -1, (2, 3): 1}  # p12 p34 - p13 p24 + p14 p23
PLUECKER = Matrix(6, 6, lambda i, j: SIGNS.get((min(i, j), max(i, j)), 0))
tau = Symbol("tau", real=True)


def compound(matrix: Matrix) -> Matrix:
    """The second compound: the 2 x 2 minors, rows and columns indexed by pairs."""
    pairs = tuple(combinations(range(matrix.rows), 2))
    return Matrix(
        len(pairs), len(pairs), lambda i, j: matrix.extract(list(pairs[i]), list(pairs[j])).det()
    )


@statement(
    "all-hessians-bound",
    "every real Hessian up to h, N >= 4",
    "0 <= sym M <= (2/h) I and lambda_max(sym C_2(I - h M) + tau Omega) <= 1 for some tau "
    "suffice, C_2 the second compound and Omega the Pluecker form; for N = 4 they are "
    "necessary too (Brickman).",
    {"pluecker": PLUECKER, "weighted": tau * PLUECKER},
    status=Status.BOUND,
    assumptions=("Z = I - h M",),
    remark="det(Q^T Z Q) is the sectional curvature of sym Z ^ sym Z/2 + K x K, K the skew "
    "part of Z, and the condition is Thorpe's trick. For N >= 5 tau Omega stands for all "
    "combinations of the Pluecker forms: still sufficient, but not necessary in general "
    "(curvature operators: Zoltek, Bettiol-Kummer-Mendes). For these operators a search met no "
    "gap at N = 5 and one at N = 6 (numerical, see tests/theory/sharper/test_all_hessians.py): a "
    "closed form for N >= 5 is open.",
)
def all_hessians_bound(f: Formulas) -> Iterator[Step]:
    bivector = Matrix([FRAME4.extract(list(pair), [0, 1]).det() for pair in PAIRS])
    yield identity(
        "a plane is a bivector that annihilates the Pluecker form",
        (bivector.T * f["pluecker"] * bivector)[0],
        sympy.S.Zero,
    )
    yield identity(
        "whose form is twice p12 p34 - p13 p24 + p14 p23",
        _quadratic(f["pluecker"]),
        2 * _relation(),
    )
    yield identity(
        "adding tau Omega leaves its value alone: the weight is tau times the form",
        f["weighted"],
        tau * f["pluecker"],
    )
    yield identity("|p|^2 = det(Q^T Q)", (bivector.T * bivector)[0], (FRAME4.T * FRAME4).det())
    columns = FRAME4.subs(dict(zip(FRAME4, (1, 0, 0, 1, 2, -1, 1, 3), strict=True)))
    sample = Matrix([columns.extract(list(pair), [0, 1]).det() for pair in PAIRS])
    yield identity(
        "Cauchy-Binet: det(Q^T Z Q) = p^T C_2(Z) p (symbolic Z, a plane with integer entries)",
        (columns.T * Z4 * columns).det(),
        (sample.T * compound(Z4) * sample)[0],
    )
    yield because(
        "N = 4: the pairs (p^T C p, p^T Omega p) over unit p in R^6 form a convex set "
        "(Brickman 1961), so the largest p^T C p with p^T Omega p = 0 is the least "
        "lambda_max(C + tau Omega) over tau"
    )


def _relation() -> sympy.Expr:
    p = sympy.symbols("p12 p13 p14 p23 p24 p34", real=True)
    return p[0] * p[5] - p[1] * p[4] + p[2] * p[3]


def _quadratic(form: Matrix) -> sympy.Expr:
    p = Matrix(sympy.symbols("p12 p13 p14 p23 p24 p34", real=True))
    return (p.T * form * p)[0]
