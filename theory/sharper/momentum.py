"""Momentum and hidden states (A.4): one theorem for any number of velocities, and its cases."""

from collections.abc import Iterator

import sympy
from sympy import Matrix, Rational, Symbol

from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, evaluated, exact, identity, loewner, nonnegative
from theory.engine.symbols import SYMMETRIC, H, I, P, alpha, one, square, z

beta = Symbol("beta", nonnegative=True)  # heavy-ball friction, 0 <= beta < 1
decay = Symbol("w", real=True)
u, v = sympy.symbols("u v", real=True)
a, r = sympy.symbols("a r", positive=True)
betas = sympy.symbols("beta1:4", real=True)
shares = sympy.symbols("s1:4", positive=True)
gains = sympy.symbols("m1:4", nonnegative=True)


def joint_matrix(number: int, curvature: sympy.Expr) -> Matrix:
    """The map of (phi, v_1, ..) for N = 1: v' = beta v + h phi, phi' = phi - sum m v'."""
    memory = [-b * m for b, m in zip(betas, gains, strict=True)][:number]
    rows = [[1 - sum(gains[:number]) * curvature, *memory]]
    rows += [
        [curvature] + [betas[i] if i == k else 0 for i in range(number)] for k in range(number)
    ]
    return Matrix(rows)


@statement(
    "momentum",
    "several velocities, exact",
    "v_k' = beta_k v_k + grad, phi' = phi - sum M_k v_k' has rho < 1 if and only if sum M_k/(1 "
    "+ beta_k) < 2 H^-1.",
    {"weight": 1 / (1 + beta), "threshold": 2 * a - gains[0] / (1 + beta)},
    status=Status.SHARPER,
    assumptions=(
        "M_k symmetric positive semidefinite, sum M_k > 0",
        "|beta_k| < 1",
        "any number of velocities",
        "a = phi^* H phi, m_k = phi^* H M_k H phi on an eigenvector",
    ),
    remark="A complex eigenvalue never leaves the unit circle; only a real one does, at -1.",
)
def momentum(f: Formulas) -> Iterator[Step]:
    for number in (1, 2, 3):
        poles = list(zip(betas, gains, strict=True))[:number]
        factors = [z - b for b, _ in poles]
        cleared = (z - 1) * sympy.Mul(*factors)
        for left_out, (_, m) in enumerate(poles):
            cleared += m * a * z * sympy.Mul(*factors[:left_out], *factors[left_out + 1 :])
        found = (z * sympy.eye(number + 1) - joint_matrix(number, a)).det(method="berkowitz")
        yield identity(
            f"{number} velocities: the characteristic polynomial of the joint matrix",
            found,
            cleared,
        )
    yield because(
        "over prod (z - beta_k): (z-1) a + sum m_k z/(z - beta_k) = 0; for any N, phi^* H "
        "times the eigenvalue equation reads the same"
    )
    yield from _complex_roots()
    weight = f["weight"]
    gap = weight / 2 - r / ((r + 1) * (r + beta))
    yield nonnegative(
        "z = -r, r >= 1: m r/(r + beta) <= (r + 1)/2 m weight",
        gap,
        [(r - 1) * (r - beta) / (2 * (1 + beta) * (r + 1) * (r + beta))],
        {r - 1, r - beta, 1 / (1 + beta), 1 / (r + beta), 1 / (r + 1)},
    )
    yield because(
        "so there is no root at z <= -1 if sum m_k weight_k < 2 a; at z >= 1 every term is positive"
    )
    at_minus_one = -2 * a + gains[0] / (1 - (-beta))
    yield identity(
        "conversely at z = -1 the equation's left side is minus the threshold",
        at_minus_one,
        -f["threshold"],
    )
    yield because(
        "if the threshold is not positive definite, -(r+1) H^-1 + sum M_k r/(r + beta_k) has "
        "an eigenvalue >= 0 at r = 1 and none at r = oo, so it is singular at some r >= 1: z = "
        "-r"
    )


def _complex_roots() -> Iterator[Step]:
    pole, size = betas[0], u**2 + v**2
    yield identity(
        "z = u + i v: 1/(z - beta) is s (u - beta - i v)/m with s = m/|z - beta|^2",
        (u + sympy.I * v - pole) * (u - pole - sympy.I * v),
        (u - pole) ** 2 + v**2,
    )
    for number in (1, 2, 3):
        parts = list(zip(betas, shares, strict=True))[:number]
        left = a * (1 - (u - sympy.I * v) / size)
        left += sum(s * (u - b - sympy.I * v) for b, s in parts)
        imaginary = v * (a / size - sum(s for _, s in parts))
        real = a * (1 - u / size) + sum(s * (u - b) for b, s in parts)
        yield identity(
            f"{number} velocities: real and imaginary part of a (1 - 1/z) + sum m_k/(z - b_k)",
            left,
            real + sympy.I * imaginary,
        )
        yield identity(
            "v != 0 forces a = |z|^2 sum s_k, and the real part is sum s_k (|z|^2 - beta_k)",
            real.subs(a, size * sum(s for _, s in parts)),
            sum(s * (size - b) for b, s in parts),
        )
    yield because("which is positive for |z| >= 1: no complex root there")


x = Symbol("x", real=True)  # lr times an eigenvalue of the hessian


def second_order(
    f: Formulas, linear: sympy.Expr, constant: sympy.Expr, slope: sympy.Expr
) -> Iterator[Step]:
    """z^2 + linear z + constant: p(-1) vanishes at the bound and falls with x."""
    bound = f["bound"]
    at_minus_one = 1 - linear + constant
    yield identity("p(-1) = slope (bound - x)", at_minus_one, slope * (bound - x))


@statement(
    "heavy-ball",
    "heavy ball",
    "0 < x < 2 (1 + beta), x = lr lambda.",
    {"bound": 2 * (1 + beta)},
    status=Status.SHARPER,
    assumptions=("0 <= beta < 1",),
    remark="momentum with one velocity, M = lr I.",
)
def heavy_ball(f: Formulas) -> Iterator[Step]:
    poly = z**2 - (1 + beta - x) * z + beta
    matrix = Matrix([[1 - x, -beta * x], [1, beta]])
    yield identity(
        "the joint matrix (velocity in units of 1/h)", matrix.charpoly(z).as_expr(), poly
    )
    yield from second_order(f, -(1 + beta - x), beta, one)
    yield identity("p(1) = x > 0, and the product of the roots is beta < 1", poly.subs(z, 1), x)
    yield identity("the momentum theorem says the same", f["bound"] / (1 + beta), sympy.Integer(2))


@statement(
    "ema-momentum",
    "momentum as an exponential average",
    "0 < x < 2 (1 + beta)/(1 - beta).",
    {"bound": 2 * (1 + beta) / (1 - beta)},
    status=Status.SHARPER,
    assumptions=("0 <= beta < 1, m' = beta m + (1 - beta) grad",),
    remark="momentum with M = lr (1 - beta) I.",
)
def ema_momentum(f: Formulas) -> Iterator[Step]:
    matrix = Matrix([[1 - (1 - beta) * x, -beta * x], [1 - beta, beta]])
    poly = z**2 - (1 + beta - (1 - beta) * x) * z + beta
    yield identity("the joint matrix", matrix.charpoly(z).as_expr(), poly)
    yield from second_order(f, poly.coeff(z, 1), beta, 1 - beta)
    yield identity("p(1) = (1 - beta) x > 0", poly.subs(z, 1), (1 - beta) * x)


@statement(
    "aggmo",
    "aggregated momentum",
    "0 < x < 2 K / sum_k 1/(1 + beta_k) for the mean of K velocities.",
    {
        "bound": 2 * 3 / sum(1 / (1 + b) for b in betas),
        "bound_of_2": 2 * 2 / sum(1 / (1 + b) for b in betas[:2]),
    },
    status=Status.SHARPER,
    assumptions=("|beta_k| < 1", "M_k = lr/K I; shown for K = 3 and K = 2"),
)
def aggmo(f: Formulas) -> Iterator[Step]:
    for number, name in ((3, "bound"), (2, "bound_of_2")):
        threshold = 2 - sum(f[name] / number / (1 + b) for b in betas[:number])
        yield identity(
            f"K = {number}: the momentum theorem's threshold vanishes", threshold, sympy.S.Zero
        )
    at = (
        (-sympy.eye(3) - joint_matrix(2, one)).subs(dict.fromkeys(gains, f["bound_of_2"] / 2)).det()
    )
    yield identity("K = 2: and -1 is an eigenvalue of the joint matrix", at, sympy.S.Zero)
    values = dict(zip(betas, (0, Rational(9, 10), Rational(99, 100)), strict=True))
    yield exact(
        "beta = 0, 9/10, 99/100: the bound is 2.95737 to five digits",
        sympy.And(
            f["bound"].subs(values) > Rational(295736, 100000),
            f["bound"].subs(values) < Rational(295738, 100000),
        ),
    )


@statement(
    "heavy-ball-nominal",
    "a heavy-ball nominal term and P on the raw gradient",
    "rho < 1 if and only if alpha I/(1 + beta) + P < 2 H^-1.",
    {"room": 2 * H**-1 - alpha / (1 + beta) * I - P},
    status=Status.SHARPER,
    assumptions=("P symmetric positive semidefinite, alpha > 0", "0 <= beta < 1"),
    remark="Momentum on the nominal term leaves P more room than (10), where alpha enters whole.",
)
def heavy_ball_nominal(f: Formulas) -> Iterator[Step]:
    weights = alpha * momentum.formulas["weight"] * I + P * momentum.formulas["weight"].subs(
        beta, 0
    )
    yield identity(
        "momentum with the velocities (beta, alpha I) and (0, P)",
        f["room"],
        2 * H**-1 - weights,
        symmetric=SYMMETRIC,
    )
    memoryless = 2 * H**-1 - alpha * I - P
    yield loewner(
        "its room exceeds that without momentum",
        f["room"],
        [(one, I, memoryless), (alpha * beta / (1 + beta), I, I)],
        {memoryless, I},
        signs={1 / (1 + beta)},
    )


B = square("B")


@statement(
    "adam-frozen",
    "Adam with a frozen preconditioner, and decoupled decay",
    "lr lambda_max(D^1/2 H D^1/2) < (2 - lr w)(1 + beta_1)/(1 - beta_1); 38 at beta_1 = 0.9, w "
    "= 0.",
    {"bound": (2 - decay) * (1 + beta) / (1 - beta)},
    status=Status.SHARPER,
    assumptions=(
        "D symmetric positive definite, frozen",
        "0 <= beta = beta_1 < 1",
        "w here is lr times the decay, 0 <= w < 2",
    ),
)
def adam_frozen(f: Formulas) -> Iterator[Step]:
    yield identity(
        "D H is similar to D^1/2 H D^1/2, B = D^1/2",
        B**-1 * (B**2 * H) * B,
        B * H * B,
        symmetric={H, B},
    )
    matrix = Matrix([[1 - decay - (1 - beta) * x, -beta * x], [1 - beta, beta]])
    poly = (z - 1 + decay) * (z - beta) + (1 - beta) * x * z
    yield identity("the joint matrix of a mode", matrix.charpoly(z).as_expr(), poly)
    expanded = sympy.Poly(poly, z)
    yield from second_order(f, expanded.coeff_monomial(z), expanded.coeff_monomial(1), 1 - beta)
    yield identity("p(1) = (1 - beta)(w + x) > 0", poly.subs(z, 1), (1 - beta) * (decay + x))
    yield evaluated(
        "38 at beta = 9/10", f["bound"].subs({beta: Rational(9, 10), decay: 0}), sympy.Integer(38)
    )


@statement(
    "nesterov",
    "Nesterov's momentum",
    "0 < x < 2 (1 + beta)/(1 + 2 beta), below 2: the margin shrinks.",
    {"bound": 2 * (1 + beta) / (1 + 2 * beta), "loss_of_margin": 2 * beta / (1 + 2 * beta)},
    status=Status.SHARPER,
    assumptions=("0 <= beta < 1",),
    remark="Both common forms share one characteristic polynomial.",
)
def nesterov(f: Formulas) -> Iterator[Step]:
    poly = z**2 - (1 + beta) * (1 - x) * z + beta * (1 - x)
    lookahead = Matrix([[(1 + beta) * (1 - x), -beta * (1 - x)], [1, 0]])
    velocity = Matrix([[1 - x * (1 + beta), -(beta**2) * x], [1, beta]])
    yield identity(
        "the look-ahead form y = phi + beta (phi - phi_prev)", lookahead.charpoly(z).as_expr(), poly
    )
    yield identity(
        "the velocity form phi' = phi - lr (grad + beta v')", velocity.charpoly(z).as_expr(), poly
    )
    yield from second_order(f, -(1 + beta) * (1 - x), beta * (1 - x), 1 + 2 * beta)
    yield identity("p(1) = x > 0, and |beta (1 - x)| < 1 up to the bound", poly.subs(z, 1), x)
    yield identity(
        "1 + beta (1 - bound) stays positive",
        (1 + beta * (1 - f["bound"])) * (1 + 2 * beta),
        1 + beta,
    )
    yield identity("it lies below 2 by", 2 - f["bound"], f["loss_of_margin"])


@statement(
    "heavy-ball-complex",
    "heavy ball on a complex eigenvalue",
    "For x = u + i v stable if and only if ((u - 1 - beta)/(1 + beta))^2 + (v/(1 - beta))^2 < 1.",
    {"ellipse": ((u - 1 - beta) / (1 + beta)) ** 2 + (v / (1 - beta)) ** 2},
    status=Status.FALSE,
    assumptions=("0 <= beta < 1", "P not symmetric, so that M H has complex eigenvalues"),
    equations=("section A.4",),
    remark="The text says that momentum improves stability margins; on complex eigenvalues it "
    "narrows them.",
    refute=lambda printed, w: _narrower(w),
    witness={"u": one, "v": Rational(9, 10), "beta": Rational(9, 10)},
)
def heavy_ball_complex(f: Formulas) -> Iterator[Step]:
    angle = Symbol("phi", real=True)
    cosine, sine = sympy.cos(angle), sympy.sin(angle)
    point, mirror = cosine + sympy.I * sine, cosine - sympy.I * sine
    edge = 1 + beta - point - beta * mirror
    real, imaginary = (1 + beta) * (1 - cosine), -(1 - beta) * sine
    yield identity(
        "an eigenvalue z = e^(i phi) means x = 1 + beta - z - beta/z",
        edge,
        real + sympy.I * imaginary,
    )
    yield identity("that curve is the ellipse", f["ellipse"].subs({u: real, v: imaginary}), one)
    yield identity(
        "at its center z^2 = -beta, inside",
        (z**2 - (1 + beta - x) * z + beta).subs(x, 1 + beta),
        z**2 + beta,
    )
    yield because(
        "the number of roots inside changes only across the curve; far outside one root is large"
    )


def _narrower(w: Formulas) -> Iterator[Step]:
    yield exact(
        "x = 1 + 9i/10 is stable without momentum, |1 - x| = 9/10",
        sympy.Lt((1 - w["u"]) ** 2 + w["v"] ** 2, 1, evaluate=False),
    )
    value = heavy_ball_complex.formulas["ellipse"].subs({u: w["u"], v: w["v"], beta: w["beta"]})
    yield exact(
        "with beta = 9/10 it lies outside the ellipse: unstable", sympy.Gt(value, 1, evaluate=False)
    )
