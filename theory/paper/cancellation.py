"""The cancelled nominal term of section 4.3: equations (14), (18), (19)."""

from collections.abc import Iterator

import sympy

from theory.engine.algebra import at_one
from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, exact, identity
from theory.engine.symbols import Delta, H, I, P_star, P_tilde, alpha, eps, half


@statement(
    "eq-14",
    "cancelling the nominal term",
    "With P = P* - alpha I and the nominal term alpha grad, the closed loop is phi' = phi - P* "
    "grad.",
    {"update_matrix": I - P_star * H},
    status=Status.CORRECTED,
    equations=("14",),
    remark="The formula is right; the text before it says that the nominal term is grad, it is "
    "alpha grad.",
    printed={"update_matrix": I - H - (P_star - alpha * I) * H},
    refute=lambda printed, w: _refute_14(printed, w),
    witness={"alpha": half, "H": sympy.Integer(1), "P*": sympy.Integer(0)},
)
def eq_14(f: Formulas) -> Iterator[Step]:
    closed = I - (alpha * I + (P_star - alpha * I)) * H
    yield identity("substitute P = P* - alpha I in (6)", closed, f["update_matrix"], symmetric=())


def _refute_14(printed: Formulas, w: Formulas) -> Iterator[Step]:
    values = {H: w["H"], P_star: w["P*"]}
    formula = printed["update_matrix"].subs(alpha, w["alpha"])
    text = at_one(formula, values)
    yield exact(
        "with the nominal term grad of the text, A = 1/2", sympy.Eq(text, half, evaluate=False)
    )
    closed = 1 - w["P*"] * w["H"]
    yield exact("yet I - P* H = 1", sympy.Eq(closed, 1, evaluate=False))


@statement(
    "eq-18",
    "the disturbed cancellation",
    "With P = Delta (P* - alpha I): phi' = phi - (alpha (I - Delta) + Delta P*) grad.",
    {"gain": alpha * (I - Delta) + Delta * P_star},
    status=Status.TRUE,
    equations=("18",),
)
def eq_18(f: Formulas) -> Iterator[Step]:
    gain = (alpha * I + Delta * P_tilde).xreplace({P_tilde: P_star - alpha * I})
    yield identity("alpha I + Delta P~ at P~ = P* - alpha I", gain, f["gain"], symmetric=())


@statement(
    "eq-19",
    "the uniform disturbance",
    "With Delta = (1 - eps) I: phi' = phi - (alpha eps I + (1 - eps) P*) grad.",
    {
        "gain": alpha * eps * I + (1 - eps) * P_star,
        "update_matrix": I - alpha * eps * H - (1 - eps) * P_star * H,
    },
    status=Status.CORRECTED,
    equations=("19",),
    remark="The sign of the second term is wrong in (19); the matrix A that follows it is right.",
    printed={"gain": alpha * eps * I - (1 - eps) * P_star},
    refute=lambda printed, w: _refute_19(printed, w),
    witness={"eps": sympy.Integer(0), "H": sympy.Integer(1), "P*": sympy.Integer(1)},
)
def eq_19(f: Formulas) -> Iterator[Step]:
    gain = (alpha * (I - Delta) + Delta * P_star).xreplace({Delta: (1 - eps) * I})
    yield identity("(18) at Delta = (1 - eps) I", gain, f["gain"], symmetric=())
    yield identity("its update matrix", I - f["gain"] * H, f["update_matrix"], symmetric=())


def _refute_19(printed: Formulas, w: Formulas) -> Iterator[Step]:
    gain = printed["gain"].subs(eps, w["eps"])
    value = at_one(gain, {P_star: w["P*"]})
    yield exact(
        "eps = 0 leaves P* undisturbed and A = 1 - P* H = 0",
        sympy.Eq(1 - w["P*"] * w["H"], 0, evaluate=False),
    )
    yield exact("the printed gain gives A = 2", sympy.Eq(1 - value * w["H"], 2, evaluate=False))
