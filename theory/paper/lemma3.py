"""Lemma 3, the diagonal disturbance: (16), (17)."""

from collections.abc import Iterator

import sympy
from sympy import Matrix, Rational, Symbol

from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, exact, identity, nonnegative
from theory.engine.symbols import alpha, dbar, h

d = Symbol("d", positive=True)  # an entry of Delta
p = Symbol("p", real=True)  # an eigenvalue of P~
one = sympy.S.One
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
    yield from robust_margins(f)
    yield because("so (9) and (10) hold for the symmetric Delta P~, and Theorem 1 applies")
    yield identity("at d = dbar the lower end is exact", alpha + dbar * f["lower"], sympy.S.Zero)
    yield identity("and so is the upper end", h * (alpha + dbar * f["upper"]), sympy.Integer(2))


def robust_margins(f: Formulas) -> Iterator[Step]:
    """alpha + d p lies in [0, 2/h] for 0 < d <= dbar and p between the bounds."""
    slack = 1 - d / dbar
    yield nonnegative(
        "alpha + d p >= 0",
        alpha + d * p,
        [d * (p - f["lower"]), alpha * slack],
        {p - f["lower"], slack},
    )
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
    yield nonnegative(
        "alpha + d p >= 0",
        alpha + d * p,
        [d * (p - f["lower"]), alpha * (1 - d / dbar)],
        {p - f["lower"], 1 - d / dbar},
    )
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
    room, slack = f["upper"] - p, 1 - d / dbar
    yield nonnegative(
        "2/h - alpha - d p >= 0",
        2 / h - alpha - d * p,
        [d * room, (2 / h - alpha) * slack],
        {room, slack, 2 / h - alpha},
    )
    yield identity("exact at d = dbar", h * (alpha + dbar * f["upper"]), sympy.Integer(2))


STATEMENTS = (
    lemma_3,
    eq_16,
    eq_17,
)
