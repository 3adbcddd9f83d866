"""Theorem 1 and its proof: (9), (10), (A.15) to (A.18)."""

from collections.abc import Iterator

import sympy
from sympy import Eq, Matrix, Rational, Symbol

from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, evaluated, exact, identity, loewner, nonnegative
from theory.engine.symbols import I, K, M, P, alpha, column, h, lam, z

p = Symbol("p", real=True)  # an eigenvalue of P
m = Symbol("m", nonnegative=True)  # lambda_max(M)

SKEWED = {
    "H": Matrix([[2, 1], [1, 2]]),
    "P": Matrix([[0, 2], [0, Rational(1, 2)]]),
    "alpha": sympy.Integer(0),
}
ROTATING = {
    "H": Matrix([[2, 1], [1, 2]]),
    "P": Matrix([[0, Rational(-3, 2)], [0, Rational(1, 4)]]),
    "alpha": Rational(1, 4),
}
UPHILL = {
    "H": Matrix([[2, 1], [1, 2]]),
    "P": Matrix([[0, -4], [0, Rational(1, 2)]]),
    "alpha": sympy.Integer(0),
}
SYMMETRIC_P = ("H symmetric positive definite, h = lambda_max(H)", "P symmetric")


def within(bounds: Formulas, w: Formulas, *, strict: bool) -> Iterator[Step]:
    """The eigenvalues of the witness's P lie between the printed bounds."""
    top = max(w["H"].eigenvals())
    values = sorted(w["P"].eigenvals())
    place = {alpha: w["alpha"], h: top}
    relation = sympy.Lt if strict else sympy.Le
    low, high = bounds["lower"].subs(place), bounds["upper"].subs(place)
    yield exact(
        f"P has the real eigenvalues {values}; (9) holds", relation(low, values[0], evaluate=False)
    )
    yield exact(f"h = {top}; (10) holds", relation(values[-1], high, evaluate=False))


def update_matrix(w: Formulas) -> Matrix:
    """I - (alpha I + P) H of a witness."""
    size = sympy.eye(w["H"].rows)
    return size - (w["alpha"] * size + w["P"]) * w["H"]


@statement(
    "theorem-1",
    "stability from the eigenvalues of P",
    "rho(A) <= 1 if -alpha <= lambda_min(P) and lambda_max(P) <= 2/h - alpha.",
    {"lower": -alpha, "upper": 2 / h - alpha},
    status=Status.FALSE,
    assumptions=SYMMETRIC_P,
    equations=("9", "10"),
    remark="Holds for symmetric P; false for P diagonalizable with real eigenvalues, as printed.",
    printed={"lower": -alpha, "upper": 2 / h - alpha},
    refute=lambda printed, w: _refute(printed, w),
    witness=SKEWED,
)
def theorem_1(f: Formulas) -> Iterator[Step]:
    gain = alpha * I + P
    yield identity(
        "A is similar to the symmetric I - G, G = K M K, K = H^1/2",
        K * (I - gain * K**2) * K**-1,
        I - K * gain * K,
    )
    low, high = P - f["lower"] * I, f["upper"] * I - P
    yield loewner("G is positive semidefinite by (9)", K * gain * K, [(sympy.S.One, K, low)], {low})
    yield loewner(
        "2 I - G is positive semidefinite by (10) and H <= h I",
        2 * I - K * gain * K,
        [(sympy.S.One, K, high), (2 / h, I, h * I - K**2)],
        {high, h * I - K**2},
    )
    yield because("so the eigenvalues of G lie in [0, 2] and those of A, real, in [-1, 1]")
    yield identity(
        "at H = h I, P = p I the lower end is exact: A = 1", alpha + f["lower"], sympy.S.Zero
    )
    yield identity("and so is the upper end: A = -1", 1 - h * (alpha + f["upper"]), -sympy.S.One)


def _refute(printed: Formulas, w: Formulas) -> Iterator[Step]:
    yield from within(printed, w, strict=False)
    found = update_matrix(w).charpoly(z).as_expr()
    yield evaluated("yet A has the eigenvalues 1 and -2", found, (z - 1) * (z + 2))


@statement(
    "eq-9",
    "the lower bound",
    "-alpha <= lambda_min(P) keeps every eigenvalue of A at most 1, and is necessary for it.",
    {"lower": -alpha},
    status=Status.CORRECTED,
    assumptions=SYMMETRIC_P,
    equations=("9",),
    remark="For symmetric P it is exactly necessary. Otherwise it is not sufficient: P may "
    "have eigenvalues >= 0 and A one of 4.",
    printed={"lower": -alpha},
    refute=lambda printed, w: _refute_9(printed, w),
    witness=UPHILL,
)
def eq_9(f: Formulas) -> Iterator[Step]:
    v = column("v")
    x = K**-1 * v
    gain = alpha * I + P
    yield identity("x^T G x = v^T M v at x = H^-1/2 v", x.T * K * gain * K * x, v.T * gain * v)
    yield because("v an eigenvector of P: the sign of p + alpha is that of an eigenvalue of G")
    yield identity("p + alpha is negative exactly below the bound", p + alpha, p - f["lower"])
    yield because("a negative eigenvalue g of G is an eigenvalue 1 - g > 1 of A")


def _refute_9(printed: Formulas, w: Formulas) -> Iterator[Step]:
    smallest, low = min(w["P"].eigenvals()), printed["lower"].subs(alpha, w["alpha"])
    yield exact(
        "P has the eigenvalues 0 and 1/2: (9) holds", sympy.Le(low, smallest, evaluate=False)
    )
    found = update_matrix(w).charpoly(z).as_expr()
    yield evaluated("yet A has the eigenvalues 1 and 4", found, (z - 1) * (z - 4))


@statement(
    "eq-10",
    "the upper bound",
    "lambda_max(P) <= 2/h - alpha; necessary and sufficient, with (9), for rho(A) <= 1 over "
    "all 0 < H <= h I.",
    {"upper": 2 / h - alpha},
    status=Status.CORRECTED,
    assumptions=SYMMETRIC_P,
    equations=("10",),
    remark="Necessary over the family of all H <= h I, not for a given H (see "
    "symmetric-exact); use it strictly: at equality with noise the loss grows like T (see "
    "footnote-3).",
    printed={"lower": -alpha, "upper": 2 / h - alpha},
    refute=lambda printed, w: _refute(printed, w),
    witness=SKEWED,
)
def eq_10(f: Formulas) -> Iterator[Step]:
    low, high = P + alpha * I, f["upper"] * I - P
    yield loewner(
        "sufficient: 2 I - G is positive semidefinite",
        2 * I - K * low * K,
        [(sympy.S.One, K, high), (2 / h, I, h * I - K**2)],
        {high, h * I - K**2},
    )
    value = 1 - h * (alpha + p)
    yield identity(
        "at H = h I an eigenvalue p of P above it gives A an eigenvalue below -1",
        -1 - value,
        h * (p - f["upper"]),
    )


@statement(
    "eq-a15",
    "the spectral radius from the eigenvalues of M H",
    "The eigenvalues of M H are real and nonnegative, so rho(A) <= 1 if they are at most 2.",
    {"margin": lam * (2 - lam)},
    status=Status.CORRECTED,
    assumptions=(*SYMMETRIC_P, "(9)"),
    equations=("A.15",),
    remark="They are real for symmetric P; otherwise (9) and (10) may hold strictly with "
    "complex ones.",
    printed={"lower": -alpha, "upper": 2 / h - alpha},
    refute=lambda printed, w: _refute_a15(printed, w),
    witness=ROTATING,
)
def eq_a15(f: Formulas) -> Iterator[Step]:
    yield identity("M H is similar to the symmetric K M K", K * (M * K**2) * K**-1, K * M * K)
    yield identity("1 - (1 - lambda)^2 is the margin", 1 - (1 - lam) ** 2, f["margin"])
    yield nonnegative(
        "which is nonnegative for 0 <= lambda <= 2", f["margin"], [lam * (2 - lam)], {lam, 2 - lam}
    )


def _refute_a15(printed: Formulas, w: Formulas) -> Iterator[Step]:
    yield from within(printed, w, strict=True)
    found = update_matrix(w).charpoly(z).as_expr()
    yield evaluated(
        "yet A has the eigenvalues 1 +- i sqrt(6)/4", found, (z - 1) ** 2 + Rational(3, 8)
    )


@statement(
    "eq-a16",
    "the largest eigenvalue of a product",
    "lambda_max(M H) <= lambda_max(M) lambda_max(H).",
    {"bound": m * h},
    status=Status.CORRECTED,
    assumptions=("M symmetric positive semidefinite, m = lambda_max(M)", "0 < H <= h I"),
    equations=("A.16",),
    remark="False when M is only diagonalizable with nonnegative real eigenvalues.",
    printed={"bound": m * h},
    refute=lambda printed, w: _refute_a16(printed, w),
    witness=SKEWED,
)
def eq_a16(f: Formulas) -> Iterator[Step]:
    top, curved = m * I - M, h * I - K**2
    yield loewner(
        "the bound times I minus K M K is a sum of congruences",
        f["bound"] * I - K * M * K,
        [(sympy.S.One, K, top), (m, I, curved)],
        {top, curved},
    )
    yield because("and M H is similar to K M K")


def _refute_a16(printed: Formulas, w: Formulas) -> Iterator[Step]:
    gain = w["alpha"] * sympy.eye(2) + w["P"]
    largest = max((gain * w["H"]).eigenvals())
    bound = printed["bound"].subs({m: max(gain.eigenvals()), h: max(w["H"].eigenvals())})
    yield exact("lambda_max(M H) = 3", Eq(largest, 3, evaluate=False))
    yield exact("lambda_max(M) lambda_max(H) is smaller", sympy.Lt(bound, largest, evaluate=False))


@statement(
    "eq-a17",
    "the bound on M",
    "lambda_max(alpha I + P) <= 2/h is (10).",
    {"bound": 2 / h},
    status=Status.TRUE,
    assumptions=SYMMETRIC_P,
    equations=("A.17",),
)
def eq_a17(f: Formulas) -> Iterator[Step]:
    yield identity("the bound times h is 2", f["bound"] * h, sympy.Integer(2))
    high = (2 / h - alpha) * I - P
    yield loewner(
        "bound I - M is the matrix of (10)",
        f["bound"] * I - (alpha * I + P),
        [(sympy.S.One, I, high)],
        {high},
    )


@statement(
    "eq-a18",
    "the eigenvalues of alpha I + P",
    "lambda(alpha I + P) = alpha + lambda(P).",
    {"eigenvalue": alpha + p},
    status=Status.TRUE,
    equations=("A.18",),
    remark="Holds for every alpha and every P; the positivity of alpha plays no part.",
)
def eq_a18(f: Formulas) -> Iterator[Step]:
    yield identity(
        "(alpha I + P) - (alpha + p) I = P - p I, so both are singular together",
        (alpha * I + P) - f["eigenvalue"] * I,
        P - p * I,
        symmetric=(),
    )
    for size in (1, 2, 3):
        entries = Matrix(size, size, sympy.symbols(f"p:{size * size}"))
        eye = sympy.eye(size)
        yield identity(
            f"N = {size}: equal characteristic polynomials, so equal multiplicities",
            (f["eigenvalue"] * eye - alpha * eye - entries).det(),
            (p * eye - entries).det(),
        )
