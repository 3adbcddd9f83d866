"""Lemma 3, the diagonal disturbance, and its proof: (16), (17), (A.22) to (A.29)."""

from collections.abc import Iterator

import sympy
from sympy import Eq, Matrix, Rational, Symbol

from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, exact, identity, loewner, nonnegative
from theory.engine.symbols import Delta, I, K, P_tilde, V, alpha, dbar, h, one

d = Symbol("d", positive=True)  # an entry of Delta
p = Symbol("p", real=True)  # an eigenvalue of P~
D = Symbol("D", positive=True)  # lambda_max(Delta)
a, b = sympy.symbols("a b", nonnegative=True)  # |lambda_min(P~)|, lambda_max(P~)
BOUNDS = {"lower": -alpha / dbar, "upper": (2 / h - alpha) / dbar}


@statement(
    "lemma-3",
    "robust stability with a diagonal disturbance",
    "rho(A) <= 1 for every Delta of (15) if -alpha/dbar <= lambda_min(P~) and lambda_max(P~) "
    "<= (2/h - alpha)/dbar.",
    BOUNDS,
    status=Status.TRUE,
    assumptions=(
        "P~ commutes with every Delta of (15)",
        "0 < H <= h I",
        "0 < alpha < 2/h, dbar = max_i dbar_i",
    ),
    equations=("15", "16", "17"),
    remark="True but nearly vacuous: commuting with every diagonal Delta forces P~ to be "
    "diagonal. Without it the statement is false even for symmetric positive semidefinite P~.",
    printed=BOUNDS,
    refute=lambda printed, w: _refute(printed, w),
    witness={
        "H": Matrix([[11, -20], [-20, 41]]) / 10,
        "alpha": Rational(1, 100),
        "P~": Rational(3, 40) * Matrix([[1, 2], [2, 4]]),
        "dbar": one,
        "Delta": sympy.diag(1, Rational(1, 100)),
    },
)
def lemma_3(f: Formulas) -> Iterator[Step]:
    for size in (2, 3):
        entries = Matrix(size, size, lambda i, j: Symbol(f"p{i}{j}"))
        diagonal = sympy.diag(*sympy.symbols(f"d:{size}", positive=True))
        difference = diagonal * entries - entries * diagonal
        spread = diagonal * sympy.ones(size) - sympy.ones(size) * diagonal
        expected = spread.multiply_elementwise(entries)
        yield identity(f"N = {size}: [Delta, P~]_ij = (d_i - d_j) p_ij", difference, expected)
    yield because(
        "distinct d_i are in (15), so P~ is diagonal and Delta P~ has the eigenvalues d_i p_i"
    )
    yield from _lower_margin(f)
    yield from _upper_margin(f)
    yield because("so (9) and (10) hold for the symmetric Delta P~, and Theorem 1 applies")
    yield identity("at d = dbar the lower end is exact", alpha + dbar * f["lower"], sympy.S.Zero)
    yield identity("and so is the upper end", h * (alpha + dbar * f["upper"]), sympy.Integer(2))


def _lower_margin(f: Formulas) -> Iterator[Step]:
    """alpha + d p >= 0 for 0 < d <= dbar and p above the lower bound."""
    slack = 1 - d / dbar
    yield nonnegative(
        "alpha + d p >= 0",
        alpha + d * p,
        [d * (p - f["lower"]), alpha * slack],
        {p - f["lower"], slack},
    )


def _upper_margin(f: Formulas) -> Iterator[Step]:
    """2/h - alpha - d p >= 0 for 0 < d <= dbar and p below the upper bound."""
    slack = 1 - d / dbar
    yield nonnegative(
        "2/h - alpha - d p >= 0",
        2 / h - alpha - d * p,
        [d * (f["upper"] - p), (2 / h - alpha) * slack],
        {f["upper"] - p, slack, 2 / h - alpha},
    )


def _refute(printed: Formulas, w: Formulas) -> Iterator[Step]:
    hessian, step, eye = w["H"], w["alpha"], sympy.eye(2)
    top = max(hessian.eigenvals(), key=lambda v: v.evalf(30))
    place = {alpha: step, h: top, dbar: w["dbar"]}
    values = sorted(w["P~"].eigenvals())
    yield exact(
        f"P~ is symmetric with the eigenvalues {values}; (16) holds",
        sympy.Le(printed["lower"].subs(place), values[0], evaluate=False),
    )
    yield exact("(17) holds", sympy.Le(values[-1], printed["upper"].subs(place), evaluate=False))
    update = eye - (step * eye + w["Delta"] * w["P~"]) * hessian
    edge = (eye - update).det()
    both = 2 - update.trace()
    yield exact(
        "det(I - A) > 0: an even number of eigenvalues above 1", sympy.Gt(edge, 0, evaluate=False)
    )
    yield exact(
        "tr(I - A) < 0 and the discriminant is positive: both are real and above 1",
        sympy.And(
            sympy.Lt(both, 0, evaluate=False), sympy.Gt(both**2 - 4 * edge, 0, evaluate=False)
        ),
    )


@statement(
    "eq-16",
    "the robust lower bound",
    "lambda_min(P~) >= -alpha/dbar keeps alpha + d p >= 0 for every 0 < d <= dbar.",
    {"lower": BOUNDS["lower"]},
    status=Status.TRUE,
    assumptions=("P~ diagonal",),
    equations=("16",),
)
def eq_16(f: Formulas) -> Iterator[Step]:
    yield from _lower_margin(f)
    yield identity("exact at d = dbar", alpha + dbar * f["lower"], sympy.S.Zero)


@statement(
    "eq-17",
    "the robust upper bound",
    "lambda_max(P~) <= (2/h - alpha)/dbar keeps h (alpha + d p) <= 2 for every 0 < d <= dbar.",
    {"upper": BOUNDS["upper"]},
    status=Status.TRUE,
    assumptions=("P~ diagonal", "alpha <= 2/h"),
    equations=("17",),
)
def eq_17(f: Formulas) -> Iterator[Step]:
    yield from _upper_margin(f)
    yield identity("exact at d = dbar", h * (alpha + dbar * f["upper"]), sympy.Integer(2))


def _substituted(f: Formulas, name: str) -> Iterator[Step]:
    gain = alpha * I + Delta * P_tilde
    product = Delta * P_tilde
    if name == "lower":
        yield identity("Delta P~ - bound I is M", product - f[name] * I, gain, symmetric=())
    else:
        yield identity(
            "bound I - Delta P~ is (2/h) I - M",
            f[name] * I - product,
            2 / h * I - gain,
            symmetric=(),
        )


@statement(
    "eq-a22",
    "(9) for Delta P~",
    "-alpha <= lambda_min(Delta P~).",
    {"lower": -alpha},
    status=Status.TRUE,
    assumptions=("Delta P~ symmetric",),
    equations=("A.22",),
)
def eq_a22(f: Formulas) -> Iterator[Step]:
    yield from _substituted(f, "lower")
    low, product = Delta * P_tilde - f["lower"] * I, Delta * P_tilde
    yield loewner(
        "so G = K M K >= 0", K * (alpha * I + product) * K, [(one, K, low)], {low}, symmetric=(K,)
    )


@statement(
    "eq-a23",
    "(10) for Delta P~",
    "lambda_max(Delta P~) <= 2/h - alpha.",
    {"upper": 2 / h - alpha},
    status=Status.TRUE,
    assumptions=("Delta P~ symmetric",),
    equations=("A.23",),
)
def eq_a23(f: Formulas) -> Iterator[Step]:
    yield from _substituted(f, "upper")
    high, product = f["upper"] * I - Delta * P_tilde, Delta * P_tilde
    yield loewner(
        "so G <= 2 I",
        2 * I - K * (alpha * I + product) * K,
        [(one, K, high), (2 / h, I, h * I - K**2)],
        {high, h * I - K**2},
        symmetric=(K,),
    )


@statement(
    "eq-a24",
    "the common eigenvectors",
    "diag(lambda(Delta P~)) = V Delta P~ V^-1.",
    {"diagonal": V * Delta * P_tilde * V**-1},
    status=Status.TRUE,
    assumptions=("V diagonalizes both (the rows of V are the left eigenvectors)",),
    equations=("A.24",),
)
def eq_a24(f: Formulas) -> Iterator[Step]:
    yield identity(
        "V^-1 (.) V gives Delta P~ back", V**-1 * f["diagonal"] * V, Delta * P_tilde, symmetric=()
    )


@statement(
    "eq-a25",
    "the product of the diagonal forms",
    "V Delta P~ V^-1 = (V Delta V^-1)(V P~ V^-1).",
    {"factored": (V * Delta * V**-1) * (V * P_tilde * V**-1)},
    status=Status.TRUE,
    equations=("A.25",),
)
def eq_a25(f: Formulas) -> Iterator[Step]:
    yield identity("insert V^-1 V", f["factored"], V * Delta * P_tilde * V**-1, symmetric=())


@statement(
    "eq-a26",
    "the smallest eigenvalue of the product",
    "lambda_min(Delta P~) >= lambda_max(Delta) lambda_min(P~) if lambda_min(P~) = -a <= 0.",
    {"bound": -D * a},
    status=Status.TRUE,
    assumptions=("Delta and P~ commute", "lambda_min(P~) <= 0"),
    equations=("A.26",),
)
def eq_a26(f: Formulas) -> Iterator[Step]:
    yield nonnegative(
        "d p - bound >= 0 for -a <= p and 0 < d <= D",
        d * p - f["bound"],
        [d * (p + a), a * (D - d)],
        {p + a, D - d},
    )


def _not_attained(printed: Formulas, w: Formulas, shown: str) -> Iterator[Step]:
    left = printed["left"].subs({D: w["Delta"], a: w["a"], b: w["b"]})
    right = printed["right"].subs({dbar: w["dbar"], a: w["a"], b: w["b"]})
    yield exact("0 < Delta <= dbar", sympy.Le(w["Delta"], w["dbar"], evaluate=False))
    yield exact(shown, sympy.Ne(left, right, evaluate=False))


HALVED = {"Delta": Rational(1, 2), "dbar": one, "a": one, "b": one}


@statement(
    "eq-a27",
    "the lower bound over the box",
    "lambda_max(Delta) lambda_min(P~) >= max_i dbar_i lambda_min(P~) = -dbar a.",
    {"bound": -dbar * a},
    status=Status.CORRECTED,
    assumptions=("lambda_min(P~) <= 0",),
    equations=("A.27",),
    remark="Printed as an equality; for a given Delta it is >=, with equality at the worst Delta.",
    printed={"left": -D * a, "right": -dbar * a},
    refute=lambda printed, w: _not_attained(printed, w, "N = 1: -1/2 is not -1"),
    witness=HALVED,
)
def eq_a27(f: Formulas) -> Iterator[Step]:
    yield nonnegative("the difference", -D * a - f["bound"], [a * (dbar - D)], {dbar - D})


@statement(
    "eq-a28",
    "the largest eigenvalue of the product",
    "lambda_max(Delta P~) <= lambda_max(Delta) lambda_max(P~) if lambda_max(P~) = b >= 0.",
    {"bound": D * b},
    status=Status.CORRECTED,
    assumptions=("Delta and P~ commute", "lambda_max(P~) >= 0"),
    equations=("A.28",),
    remark="The text's other case should read lambda_max(P~) <= 0, not lambda_min; then (17) "
    "holds by itself, but (A.28) is false.",
    printed={"bound": D * b},
    refute=lambda printed, w: _refute_a28(printed, w),
    witness={"Delta": sympy.diag(1, Rational(1, 2)), "P~": sympy.diag(-1, -1)},
)
def eq_a28(f: Formulas) -> Iterator[Step]:
    yield nonnegative(
        "bound - d p >= 0 for p <= b and 0 < d <= D",
        f["bound"] - d * p,
        [d * (b - p), b * (D - d)],
        {b - p, D - d},
    )


def _refute_a28(printed: Formulas, w: Formulas) -> Iterator[Step]:
    largest = max((w["Delta"] * w["P~"]).eigenvals())
    bound = printed["bound"].subs(D, max(w["Delta"].eigenvals())).subs(b, max(w["P~"].eigenvals()))
    yield exact("lambda_max(Delta P~) = -1/2", Eq(largest, Rational(-1, 2), evaluate=False))
    yield exact("exceeds the bound", sympy.Gt(largest, bound, evaluate=False))


@statement(
    "eq-a29",
    "the upper bound over the box",
    "lambda_max(Delta) lambda_max(P~) <= max_i dbar_i lambda_max(P~) = dbar b.",
    {"bound": dbar * b},
    status=Status.CORRECTED,
    assumptions=("lambda_max(P~) >= 0",),
    equations=("A.29",),
    remark="Printed as an equality; for a given Delta it is <=, with equality at the worst Delta.",
    printed={"left": D * b, "right": dbar * b},
    refute=lambda printed, w: _not_attained(printed, w, "N = 1: 1/2 is not 1"),
    witness=HALVED,
)
def eq_a29(f: Formulas) -> Iterator[Step]:
    yield nonnegative("the difference", f["bound"] - D * b, [b * (dbar - D)], {dbar - D})
