"""Sharper statements for symmetric P, where stability is decided exactly."""

from collections.abc import Iterator

import sympy
from sympy import Eq, Rational, Symbol

from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, exact, identity, loewner, nonnegative
from theory.engine.symbols import H, I, K, P, P_star, alpha, eps, h, lam, one

ROOT = {H: K**2}
low, high = sympy.symbols("h_min h_max", positive=True)
mode = Symbol("h_i", positive=True)


@statement(
    "symmetric-exact",
    "stability for symmetric P, exact",
    "rho(A) <= 1 if and only if 0 <= alpha I + P <= 2 H^-1 (Loewner).",
    {"room_below": alpha * I + P, "room_above": 2 * H**-1 - alpha * I - P},
    status=Status.SHARPER,
    assumptions=("P symmetric", "H symmetric positive definite"),
    remark="A is similar to the symmetric I - G, so rho(A) = ||I - G||_2, convex in alpha and P.",
)
def symmetric_exact(f: Formulas) -> Iterator[Step]:
    below, above = f["room_below"], f["room_above"]
    G = K * (alpha * I + P) * K
    yield identity(
        "A is similar to I - G", K * (I - (alpha * I + P) * H) * K**-1, I - G, where=ROOT
    )
    yield loewner("G >= 0 if there is room below", G, [(one, K, below)], {below}, where=ROOT)
    yield loewner(
        "2 I - G >= 0 if there is room above", 2 * I - G, [(one, K, above)], {above}, where=ROOT
    )
    yield loewner("conversely: room below if G >= 0", below, [(one, K**-1, G)], {G}, where=ROOT)
    yield loewner(
        "room above if 2 I - G >= 0", above, [(one, K**-1, 2 * I - G)], {2 * I - G}, where=ROOT
    )


@statement(
    "symmetric-interval",
    "the exact interval of alpha",
    "rho(A) <= 1 for alpha in [-lambda_min(P), mu], mu the smallest eigenvalue of 2 H^-1 - P, "
    "which is the smallest generalized eigenvalue of (2 I - H^1/2 P H^1/2, H).",
    {"inverted": 2 * H**-1 - P - lam * I, "pencil": 2 * I - K * P * K - lam * H},
    status=Status.SHARPER,
    assumptions=("P symmetric", "H symmetric positive definite, h = lambda_max(H)"),
    remark="Never shorter than Theorem 1's and longer by up to the condition number of H.",
)
def symmetric_interval(f: Formulas) -> Iterator[Step]:
    at_alpha = f["inverted"].subs(lam, alpha)
    yield identity(
        "at lambda = alpha it is the room above of symmetric-exact",
        at_alpha,
        2 * H**-1 - alpha * I - P,
    )
    yield identity(
        "a congruence leads to the pencil without inverting H",
        K * f["inverted"] * K,
        f["pencil"],
        where=ROOT,
    )
    printed, curve = (2 / h - alpha) * I - P, 2 * H**-1 - 2 / h * I
    yield loewner(
        "(10) leaves room above, as H <= h I (Weyl)",
        at_alpha,
        [(one, I, printed), (one, I, curve)],
        {printed, curve},
    )
    hessian, diagonal = sympy.diag(1, Rational(1, 100)), sympy.diag(0, 50)
    upper = 2 * hessian.inv() - diagonal
    yield exact(
        "H = diag(1, 1/100), P = diag(0, 50): (10) leaves alpha <= 2 - 50 < 0, nothing",
        sympy.Lt(2 / max(hessian.diagonal()) - max(diagonal.diagonal()), 0, evaluate=False),
    )
    yield exact("the exact interval is [0, 2]", Eq(min(upper.diagonal()), 2, evaluate=False))


@statement(
    "best-step",
    "the best nominal step",
    "For P = 0, rho is least at alpha = 2/(h_min + h_max), where it is (kappa - 1)/(kappa + 1).",
    {"step": 2 / (low + high), "radius": (high - low) / (high + low)},
    status=Status.SHARPER,
    assumptions=("0 < h_min <= h_i <= h_max",),
)
def best_step(f: Formulas) -> Iterator[Step]:
    best, radius = f["step"], f["radius"]
    slack = {mode - low, high - mode}
    yield nonnegative(
        "radius - (1 - alpha h_i) >= 0 at the best step",
        radius - (1 - best * mode),
        [2 / (low + high) * (mode - low)],
        slack,
    )
    yield nonnegative(
        "radius + (1 - alpha h_i) >= 0 at the best step",
        radius + (1 - best * mode),
        [2 / (low + high) * (high - mode)],
        slack,
    )
    yield identity(
        "a smaller step makes 1 - alpha h_min larger than the radius",
        (1 - alpha * low) - radius,
        low * (best - alpha),
    )
    yield identity(
        "a larger step makes alpha h_max - 1 larger",
        (alpha * high - 1) - radius,
        high * (alpha - best),
    )


@statement(
    "cancellation-convex",
    "the uniform disturbance cannot destabilize",
    "alpha eps I + (1 - eps) P* is stable for 0 <= eps <= 1 if alpha I and P* are.",
    {"gain": alpha * eps * I + (1 - eps) * P_star},
    status=Status.FALSE,
    assumptions=("P* symmetric, 0 <= P* <= 2 H^-1", "0 <= alpha I <= 2 H^-1", "0 <= eps <= 1"),
    equations=("section 4.3",),
    remark="The text says that eps 'adversarially perturbs the system toward instability' for "
    "any eps <= 1; only eps < 0 can.",
    refute=lambda printed, w: _only_negative(w),
    witness={"H": one, "alpha": one, "P*": sympy.S.Zero, "eps": Rational(-1, 2)},
)
def cancellation_convex(f: Formulas) -> Iterator[Step]:
    gain, signs = f["gain"], {eps, 1 - eps}
    step, learned = 2 * H**-1 - alpha * I, 2 * H**-1 - P_star
    yield loewner(
        "gain >= 0", gain, [(alpha * eps, I, I), (1 - eps, I, P_star)], {I, P_star}, signs=signs
    )
    yield loewner(
        "2 H^-1 - gain >= 0",
        2 * H**-1 - gain,
        [(eps, I, step), (1 - eps, I, learned)],
        {step, learned},
        signs=signs,
    )
    yield because("so the set of stable symmetric gains is convex, and symmetric-exact applies")


def _only_negative(w: Formulas) -> Iterator[Step]:
    value = 1 - (w["alpha"] * w["eps"] + (1 - w["eps"]) * w["P*"]) * w["H"]
    yield exact(
        "N = 1, H = alpha = 1, P* = 0, eps = -1/2: A = 3/2",
        Eq(value, Rational(3, 2), evaluate=False),
    )
