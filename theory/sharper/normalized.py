"""A step of fixed root mean square: where it settles, and which schedules lead to the minimum."""

from collections.abc import Iterator

import sympy
from sympy import Matrix, Symbol, pi

from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, identity, nonnegative
from theory.engine.symbols import alpha, h, half

eta = Symbol("eta", positive=True)  # the step's root mean square
sigma = Symbol("sigma", positive=True)
x = Symbol("x", real=True)
n = Symbol("n", positive=True)  # the coordinates over which the root mean square is taken
mode, s = sympy.symbols("h_i s_i", positive=True)
RULE = "phi' = phi - eta g/rms(g), g = H (phi - xi)"


@statement(
    "normalized-limit",
    "where a normalized step settles",
    "SGD with the step alpha has E |g|^2 = sum_i 2 h_i^2 s_i/(2 - alpha h_i) in the limit. There "
    "is one alpha < 2/h with alpha^2 E |g|^2 = eta^2 n: where rms(g) may be replaced by the root "
    "of its expected square, a normalized step of any size is SGD with that alpha, and stable. "
    "Without noise phi alternates on the top eigenvector at alpha = 2/h.",
    {
        "variance": alpha * mode * s / (2 - alpha * mode),
        "power": 2 * mode**2 * s / (2 - alpha * mode),
        "edge_loss": n * h * eta**2 / 8,
    },
    status=Status.SHARPER,
    assumptions=(
        f"{RULE}, in n dimensions",
        "s_i = x_i^T S x_i for the eigenvectors x_i of H",
        "0 < alpha h < 2",
    ),
    remark="The excess loss is proportional to eta in noise and to eta^2 without.",
)
def limit(f: Formulas) -> Iterator[Step]:
    v = f["variance"]
    yield identity(
        "the variance of a mode does not change in a step",
        (1 - alpha * mode) ** 2 * v + alpha**2 * mode**2 * s,
        v,
    )
    yield identity("a mode's part of E |g|^2", mode**2 * (v + s), f["power"])
    rise = sympy.diff(alpha**2 * f["power"], alpha)
    known = [4 - alpha * mode, (2 - alpha * mode) ** -2]
    yield nonnegative(
        "alpha^2 E |g|^2 rises with alpha",
        rise,
        [2 * alpha * mode**2 * s * known[0] * known[1]],
        known,
    )
    yield because("it rises from 0 to infinity at alpha = 2/h, so it meets eta^2 n once")
    phi = Symbol("phi_1", positive=True)
    yield identity("at alpha = 2/h the top mode alternates", (1 - 2 / h * h) * phi, -phi)
    amplitude = sympy.sqrt(n) * eta / 2
    yield identity(
        "eta/alpha = eta h/2 is the root mean square of its gradient",
        (h * amplitude) ** 2 / n,
        (eta * h / 2) ** 2,
    )
    yield identity("its loss", half * h * amplitude**2, f["edge_loss"])


@statement(
    "normalized-dimension-one",
    "a sign's step in one dimension",
    "phi' = phi - eta sign(phi - xi). Without noise phi alternates between x and x - eta, and the "
    "loss, averaged over x, is h eta^2/6. With xi ~ N(0, sigma^2) the mean step is -eta "
    "erf(phi/(sqrt(2) sigma)), and E[phi erf(phi/(sqrt(2) sigma))] = eta/2 in the limit: to first "
    "order in eta the excess loss is h eta sigma sqrt(2 pi)/8.",
    {
        "cycle_loss": h * eta**2 / 6,
        "drift": sympy.erf(x / (sympy.sqrt(2) * sigma)),
        "excess": h * eta * sigma * sympy.sqrt(2 * pi) / 8,
    },
    status=Status.SHARPER,
    assumptions=("n = 1, so that g/rms(g) = sign(g)",),
    remark="The excess vanishes like eta, not like eta^2: noise makes the step a random walk.",
)
def dimension_one(f: Formulas) -> Iterator[Step]:
    cycle = h / 4 * (x**2 + (eta - x) ** 2)
    mean = sympy.integrate(sympy.expand(cycle), (x, 0, eta)) / eta
    yield identity("the mean loss of the cycles, 0 < x < eta", mean, f["cycle_loss"])
    density = sympy.exp(-(x**2) / (2 * sigma**2)) / (sigma * sympy.sqrt(2 * pi))
    yield identity(
        "P(xi < x) - P(xi > x) grows by twice the density",
        sympy.diff(f["drift"], x),
        2 * density,
    )
    yield identity("and it is zero at x = 0", f["drift"].subs(x, 0), sympy.S.Zero)
    sign = Symbol("sign", real=True)
    yield identity(
        "(phi - eta sign)^2, where the square of the sign is 1",
        sympy.expand((x - eta * sign) ** 2).subs(sign**2, 1),
        x**2 - 2 * eta * x * sign + eta**2,
    )
    yield because("in the limit E phi'^2 = E phi^2, so that E[phi drift(phi)] = eta/2")
    slope = sympy.diff(f["drift"], x).subs(x, 0)
    second = 2 * f["excess"] / h
    yield identity("to first order drift(phi) = slope phi", slope * second, eta / 2)


@statement(
    "normalized-schedule",
    "which schedules take a normalized step to the minimum",
    "Without noise, phi_t tends to the minimum for every start if eta_t tends to 0 and the sum of "
    "the eta_t is infinite: the loss falls in every step in which it exceeds n h^2 eta^2/(8 c).",
    {"level": n * h**2 * eta**2 / (8 * Symbol("c", positive=True))},
    status=Status.SHARPER,
    assumptions=(
        "phi' = phi - eta sqrt(n) g/|g|, g = H phi, in n dimensions",
        "c I <= H <= h I, c > 0",
    ),
    remark="A constant eta does not converge, and a summable one may stop before the minimum.",
)
def schedule(f: Formulas) -> Iterator[Step]:
    c = Symbol("c", positive=True)
    hessian = Matrix(2, 2, sympy.symbols("h00 h01 h01 h11"))
    phi, u = Matrix(sympy.symbols("phi0:2")), Matrix(sympy.symbols("u0:2"))
    length = Symbol("l", positive=True)

    def loss(at: Matrix) -> sympy.Expr:
        return half * (at.T * hessian * at)[0]

    yield identity(
        "n = 2, a step of the length l along the unit vector u = g/|g|",
        loss(phi - length * u),
        loss(phi) - length * (u.T * hessian * phi)[0] + length**2 * loss(u),
    )
    yield because(
        "u^T H phi = |g| >= sqrt(2 c f), for |g|^2 = phi^T H^2 phi >= c phi^T H phi = 2 c f, and "
        "u^T H u <= h: f' <= f - l sqrt(2 c f) + l^2 h/2"
    )
    whole = sympy.sqrt(n) * eta
    yield identity(
        "at the level, l = eta sqrt(n), both terms are equal",
        whole**2 * 2 * c * f["level"],
        (whole**2 * h / 2) ** 2,
    )
    yield because(
        "above four times the level f falls by at least l sqrt(2 c f)/2. Let d > 0: once eta is so "
        "small that four times the level is below d, f falls below d, for the sum of the steps is "
        "infinite, and does not exceed d + l^2 h/2 afterwards; l and d are as small as one likes"
    )
