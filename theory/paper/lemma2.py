"""Lemma 2, the Hessian preconditioner: (13), (A.19) to (A.21)."""

from collections.abc import Iterator

import sympy
from sympy import Matrix, Rational, Symbol

from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, evaluated, exact, identity, loewner
from theory.engine.symbols import I, K, P, R, alpha, grad, h, one, phi, z

p = Symbol("p", real=True)
SKEWED = {
    "H": Matrix([[5, 4], [4, 5]]),
    "root": Matrix([[2, 1], [1, 2]]),
    "P": Matrix([[0, 2], [0, Rational(1, 2)]]),
    "alpha": sympy.Integer(0),
}


@statement(
    "lemma-2",
    "stability with the Hessian preconditioner",
    "(12) has rho(A) <= 1 if -alpha <= lambda_min(P) and lambda_max(P) <= 2/sqrt(h) - alpha.",
    {"lower": -alpha, "upper": 2 / sympy.sqrt(h) - alpha},
    status=Status.FALSE,
    assumptions=("H symmetric positive definite, h = lambda_max(H)", "P symmetric"),
    equations=("9", "13"),
    remark="Holds for symmetric P; false for P diagonalizable with real eigenvalues, as printed.",
    printed={"lower": -alpha, "upper": 2 / sympy.sqrt(h) - alpha},
    refute=lambda printed, w: _refute(printed, w),
    witness=SKEWED,
)
def lemma_2(f: Formulas) -> Iterator[Step]:
    gain = alpha * I + P
    root = {K: R**2}
    yield identity(
        "H^1/2 A H^-1/2 = I - M H^1/2, and a conjugation by R = H^1/4 makes it symmetric",
        R * K * (I - K**-1 * gain * K**2) * K**-1 * R**-1,
        I - R * gain * R,
        where=root,
    )
    low, high, curved = P - f["lower"] * I, f["upper"] * I - P, sympy.sqrt(h) * I - R**2
    yield loewner(
        "R M R is positive semidefinite by (9)", R * gain * R, [(sympy.S.One, R, low)], {low}
    )
    yield loewner(
        "2 I - R M R is positive semidefinite by (13)",
        2 * I - R * gain * R,
        [(sympy.S.One, R, high), (2 / sympy.sqrt(h), I, curved)],
        {high, curved},
    )
    yield because("so the eigenvalues of A are real and lie in [-1, 1]")
    yield identity(
        "exact at H = h I, P = p I: the lower end gives A = 1", alpha + f["lower"], sympy.S.Zero
    )
    yield identity(
        "and the upper end A = -1", 1 - sympy.sqrt(h) * (alpha + f["upper"]), -sympy.S.One
    )


def _refute(printed: Formulas, w: Formulas) -> Iterator[Step]:
    root, values = w["root"], sorted(w["P"].eigenvals())
    yield evaluated("H^1/2 squared is H", root * root, w["H"])
    place = {alpha: w["alpha"], h: max(w["H"].eigenvals())}
    yield exact("(9) holds", sympy.Le(printed["lower"].subs(place), values[0], evaluate=False))
    yield exact("(13) holds", sympy.Le(values[-1], printed["upper"].subs(place), evaluate=False))
    update = sympy.eye(2) - root.inv() * (w["alpha"] * sympy.eye(2) + w["P"]) * w["H"]
    yield evaluated(
        "yet A has the eigenvalues 1 and -2", update.charpoly(z).as_expr(), (z - 1) * (z + 2)
    )


@statement(
    "eq-13",
    "the upper bound of Lemma 2",
    "lambda_max(P) <= 2/sqrt(h) - alpha, looser than (10) exactly if h > 1.",
    {"upper": 2 / sympy.sqrt(h) - alpha, "gain_over_10": 2 * (sympy.sqrt(h) - 1) / h},
    status=Status.CORRECTED,
    assumptions=("P symmetric",),
    equations=("13",),
    remark="The remark on h > 1 is right; the exact set is 0 <= M <= 2 H^-1/2 (see "
    "preconditioned-exact).",
    printed={"lower": -alpha, "upper": 2 / sympy.sqrt(h) - alpha},
    refute=lambda printed, w: _refute(printed, w),
    witness=SKEWED,
)
def eq_13(f: Formulas) -> Iterator[Step]:
    yield identity(
        "the end where 1 - sqrt(h)(alpha + p) = -1",
        1 - sympy.sqrt(h) * (alpha + f["upper"]),
        -sympy.S.One,
    )
    yield identity(
        "what it gains over (10) has the sign of sqrt(h) - 1",
        f["upper"] - (2 / h - alpha),
        f["gain_over_10"],
    )


@statement(
    "preconditioned-exact",
    "Lemma 2, exact",
    "For symmetric P, (12) has rho(A) <= 1 if and only if 0 <= alpha I + P <= 2 H^-1/2.",
    {"room_below": alpha * I + P, "room_above": 2 * K**-1 - alpha * I - P},
    status=Status.SHARPER,
    assumptions=("P symmetric", "H symmetric positive definite"),
)
def preconditioned_exact(f: Formulas) -> Iterator[Step]:
    gain, root = alpha * I + P, {K: R**2, K**-1: R**-2}
    yield identity(
        "the update matrix is similar to I - R M R, R = H^1/4",
        R * (I - gain * R**2) * R**-1,
        I - R * gain * R,
    )
    low, high = f["room_below"], f["room_above"]
    yield loewner(
        "R M R >= 0 if the room below is", R * gain * R, [(one, R, low)], {low}, where=root
    )
    yield loewner(
        "2 I - R M R >= 0 if the room above is",
        2 * I - R * gain * R,
        [(one, R, high)],
        {high},
        where=root,
    )
    below, above = R * gain * R, 2 * I - R * gain * R
    yield loewner("conversely: the room below", low, [(one, R**-1, below)], {below}, where=root)
    yield loewner("conversely: the room above", high, [(one, R**-1, above)], {above}, where=root)


@statement(
    "eq-a19",
    "(12) once more",
    "phi' = phi - H^-1/2 (alpha I + P) grad, with the nominal part -alpha H^-1/2 grad.",
    {"nominal": -alpha * K**-1 * grad, "blackbox": -(K**-1) * P * grad},
    status=Status.TRUE,
    equations=("A.19",),
)
def eq_a19(f: Formulas) -> Iterator[Step]:
    yield identity(
        "the two parts of (12)",
        phi - K**-1 * (alpha * I + P) * grad,
        phi + f["nominal"] + f["blackbox"],
    )
    yield identity("the nominal part alone is P = 0", f["nominal"], -(K**-1) * (alpha * I) * grad)


@statement(
    "eq-a20",
    "the preconditioner moved to the gradient",
    "H^-1/2 P grad = (H^-1/2 P H^1/2) H^-1/2 grad, a similarity transformation of P.",
    {"conjugated": K**-1 * P * K},
    status=Status.TRUE,
    equations=("A.20",),
)
def eq_a20(f: Formulas) -> Iterator[Step]:
    yield identity(
        "insert H^1/2 H^-1/2", f["conjugated"] * K**-1 * grad, K**-1 * P * grad, symmetric=()
    )
    yield identity(
        "similarity: K (.) K^-1 gives P back", K * f["conjugated"] * K**-1, P, symmetric=()
    )


@statement(
    "eq-a21",
    "the dynamics with the conjugated preconditioner",
    "phi' = phi - (alpha I + H^-1/2 P H^1/2) H^-1/2 grad.",
    {"gain": (alpha * I + K**-1 * P * K) * K**-1},
    status=Status.CORRECTED,
    equations=("A.21",),
    remark="The formula is right; but the conjugated matrix is not symmetric, so Theorem 1 "
    "does not apply to it. Conjugate A instead: H^1/2 A H^-1/2 = I - M H^1/2.",
    refute=lambda printed, w: _refute_a21(w),
    witness={"root": Matrix([[2, 1], [1, 2]]), "P": Matrix([[1, 0], [0, 0]])},
)
def eq_a21(f: Formulas) -> Iterator[Step]:
    yield identity("it is the gain of (12)", f["gain"], K**-1 * (alpha * I + P), symmetric=())
    yield identity(
        "shifted eigenvalues: alpha I + K^-1 P K - (alpha + p) I is similar to P - p I",
        K * (alpha * I + K**-1 * P * K - (alpha + p) * I) * K**-1,
        P - p * I,
        symmetric=(),
    )


def _refute_a21(w: Formulas) -> Iterator[Step]:
    conjugated = w["root"].inv() * w["P"] * w["root"]
    yield exact("P is symmetric", sympy.Eq(w["P"][0, 1], w["P"][1, 0], evaluate=False))
    yield exact(
        "H^-1/2 P H^1/2 is not", sympy.Ne(conjugated[0, 1], conjugated[1, 0], evaluate=False)
    )
