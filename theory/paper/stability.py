"""What the text says of stability and the loss: footnotes 1 and 3, growth, Figure 2."""

from collections.abc import Iterator

import sympy
from sympy import Eq, Matrix, Rational, Trace

from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, evaluated, exact, identity
from theory.engine.symbols import (
    SYMMETRIC,
    C,
    H,
    S,
    T,
    alpha,
    h,
    half,
    lam,
    one,
    phi,
    square,
    t,
    xi,
)

s, second, c = sympy.symbols("s pi_0 c", nonnegative=True)
noise = square("S_g")


@statement(
    "footnote-1",
    "loss of the state, noise in the gradient",
    "The loss (4) exceeds 1/2 phi^T H phi by 1/2 tr H S in expectation; gradient noise of "
    "covariance S_g is noise on the minimum of covariance S = H^-1 S_g H^-1.",
    {"extra": half * Trace(H * S), "noise_covariance": H**-1 * noise * H**-1},
    status=Status.CORRECTED,
    equations=("footnote 1",),
    remark="Printed tr(H S), without the factor 1/2 of (4).",
    printed={"extra": h * s},
    refute=lambda printed, w: _refute_1(printed, w),
    witness={"h": one, "s": one},
)
def footnote_1(f: Formulas) -> Iterator[Step]:
    rest = SYMMETRIC | {noise}
    loss = half * Trace(H * (phi - xi) * (phi - xi).T)
    products = half * Trace(H * phi * phi.T) - Trace(H * xi * phi.T) + half * Trace(H * xi * xi.T)
    yield identity("the loss (4) expanded", loss, products, symmetric=rest)
    yield identity(
        "E xi xi^T = S, E xi phi^T = 0: what is left beside 1/2 phi^T H phi",
        half * Trace(H * (C + S)) - half * Trace(H * C),
        f["extra"],
        symmetric=rest,
    )
    yield identity(
        "H (phi - xi) has the noise -H xi of covariance H S H = S_g",
        H * f["noise_covariance"] * H,
        noise,
        symmetric=rest,
    )


def _refute_1(printed: Formulas, w: Formulas) -> Iterator[Step]:
    place = {h: w["h"], s: w["s"]}
    yield evaluated("N = 1, phi = 0: E 1/2 H xi^2 = 1/2", half * w["h"] * w["s"], half)
    yield exact("the printed value is 1", Eq(printed["extra"].subs(place), 1, evaluate=False))


@statement(
    "footnote-3",
    "the two ends of marginal stability",
    "An eigenvalue 1 is a frozen mode, without noise. At -1 the variance is 4 t s and the loss "
    "grows like T.",
    {"variance": 4 * t * s, "meta_loss": half * h * (second + (2 * T + 3) * s)},
    status=Status.FALSE,
    equations=("footnote 3",),
    assumptions=("N = 1, A = -1 (alpha h = 2)", "pi_0 the second moment of phi_0, S = s"),
    remark="Footnote 3 says that at rho = 1 the system neither converges nor diverges. So <= "
    "belongs in (9) and a strict < in (10).",
    refute=lambda printed, w: _diverges(w),
    witness={"A": -one, "s": one},
)
def footnote_3(f: Formulas) -> Iterator[Step]:
    following = lam**2 * f["variance"] + (1 - lam) ** 2 * s
    yield identity("(7) at lambda = -1", following.subs(lam, -1), f["variance"].subs(t, t + 1))
    yield evaluated("from 0", f["variance"].subs(t, 0), sympy.S.Zero)
    at_time = half * h * (second + f["variance"] + s)
    yield identity(
        "the loss at T + 1 is the increment of T L(T)",
        ((T + 1) * f["meta_loss"].subs(T, T + 1) - T * f["meta_loss"]).expand(),
        at_time.subs(t, T + 1),
    )
    yield identity("and L(1) is the loss at t = 1", f["meta_loss"].subs(T, 1), at_time.subs(t, 1))
    yield identity(
        "lambda = 1: nothing is added", (lam**2 * s + (1 - lam) ** 2 * s).subs(lam, 1), s
    )


def _diverges(w: Formulas) -> Iterator[Step]:
    value, seen = sympy.S.Zero, []
    for _ in range(3):
        value = w["A"] ** 2 * value + (1 - w["A"]) ** 2 * w["s"]
        seen.append(value)
    yield evaluated(
        "H = 1, alpha = 2, S = 1: the variances are 4, 8, 12, ...", Matrix(seen), Matrix([4, 8, 12])
    )


@statement(
    "instability-loss",
    "when the loss stays bounded",
    "For H > 0 and S > 0 the loss is bounded in T if and only if every eigenvalue of A has "
    "modulus < 1 or is a semisimple 1.",
    {
        "variance": (1 - lam) ** 2 * s * (1 - lam ** (2 * t)) / (1 - lam**2),
        "jordan_variance": t * s,
    },
    status=Status.FALSE,
    assumptions=("along a left eigenvector w of a real eigenvalue, s = w^T S w > 0 (else moduli)",),
    equations=("section 4.1",),
    remark="The text says that instability implies an infinite loss. False without S > 0 and a "
    "general phi_0.",
    refute=lambda printed, w: _bounded(w),
    witness={"A": sympy.diag(half, 2), "phi_0": Matrix([1, 0]), "S": sympy.diag(1, 0)},
)
def instability_loss(f: Formulas) -> Iterator[Step]:
    following = lam**2 * f["variance"] + (1 - lam) ** 2 * s
    yield identity(
        "w^T Cov_t w obeys v' = lambda^2 v + (1 - lambda)^2 s",
        following,
        f["variance"].subs(t, t + 1),
    )
    yield identity("from 0", f["variance"].subs(t, 0), sympy.S.Zero)
    yield because(
        "with s > 0 and lambda != 1 this stays bounded only if |lambda| < 1 (at -1 see footnote-3)"
    )
    jordan = Matrix([[1, 1], [0, 1]])
    covariance = Matrix(2, 2, sympy.symbols("v00 v01 v01 v11"))
    rows = sympy.symbols("s00 s01 s01 s11")
    rest = sympy.eye(2) - jordan
    added = rest * Matrix(2, 2, rows) * rest.T
    yield identity(
        "a Jordan block of 1: each step adds the variance of the other coordinate's noise",
        added[0, 0],
        f["jordan_variance"].subs({t: 1, s: rows[3]}),
    )
    start = covariance.subs(dict.fromkeys(covariance.free_symbols, 0))
    for steps in (1, 2, 3):
        start = jordan * start * jordan.T + added
        yield identity(
            f"which nothing damps, t = {steps}",
            start[0, 0],
            f["jordan_variance"].subs({t: steps, s: rows[3]}),
        )
    yield because("a semisimple 1 is frozen: its left eigenvectors see neither step nor noise")


def _bounded(w: Formulas) -> Iterator[Step]:
    update, eye = w["A"], sympy.eye(2)
    yield exact("H = I: rho(A) = 2", Eq(max(update.eigenvals()), 2, evaluate=False))
    added = (eye - update) * w["S"] * (eye - update).T
    yield evaluated("no noise enters the second coordinate", added[1, :], sympy.zeros(1, 2))
    yield evaluated("nor does it leave 0", (update * w["phi_0"])[1], sympy.S.Zero)
    yield exact(
        "and the first has |lambda| = 1/2: the loss is bounded",
        sympy.Lt(update[0, 0], 1, evaluate=False),
    )


@statement(
    "transient",
    "a stable A may first grow",
    "A = [[l, c], [0, l]] has A^t = [[l^t, t c l^(t-1)], [0, l^t]]: rho = |l| says nothing "
    "about ||A^t||.",
    {"corner": t * c * lam ** (t - 1)},
    status=Status.SHARPER,
    remark="l = 1/2, c = 1000: rho = 1/2 and a peak of 1000. For symmetric P the peak is at "
    "most sqrt(kappa(H)), see eq-a14.",
)
def transient(f: Formulas) -> Iterator[Step]:
    block = Matrix([[lam, c], [0, lam]])
    power = Matrix([[lam**t, f["corner"]], [0, lam**t]])
    yield identity("t = 1", power.subs(t, 1), block)
    yield identity("t to t + 1", power * block, power.subs(t, t + 1))
    peak = f["corner"].subs({lam: half, c: 1000})
    yield evaluated(
        "the corner at t = 1 and t = 2",
        Matrix([peak.subs(t, 1), peak.subs(t, 2)]),
        Matrix([1000, 1000]),
    )


@statement(
    "figure-2",
    "the axis of Figure 2",
    "alpha as a fraction of the largest stable step 2/h is alpha h/2.",
    {"fraction": alpha * h / 2},
    status=Status.CORRECTED,
    equations=("Figure 2",),
    remark="The caption says 2 alpha/lambda_max, and 'Equation 7' where (6) is meant.",
    printed={"fraction": 2 * alpha / h},
    refute=lambda printed, w: _axis(printed, w),
    witness={"h": sympy.Integer(4)},
)
def figure_2(f: Formulas) -> Iterator[Step]:
    yield identity("it is 1 at alpha = 2/h", f["fraction"].subs(alpha, 2 / h), one)
    yield identity("and linear in alpha", f["fraction"].diff(alpha) * alpha, f["fraction"])


def _axis(printed: Formulas, w: Formulas) -> Iterator[Step]:
    largest = 2 / w["h"]
    yield exact(
        "h = 4: at the largest stable step the printed fraction is 1/4",
        Eq(printed["fraction"].subs({h: w["h"], alpha: largest}), Rational(1, 4), evaluate=False),
    )
