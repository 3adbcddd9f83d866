"""Random Hessians, delay, averaging: stability beyond one matrix."""

from collections.abc import Iterator

import sympy
from sympy import Matrix, Rational, Symbol, pi

from theory.engine.algebra import at_one, explicit
from theory.engine.gaussian import wick
from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, evaluated, exact, identity
from theory.engine.symbols import H, alpha, one, square, z

X = square("X")
size = Symbol("B", positive=True)  # the batch
h = Symbol("h_i", positive=True)


@statement(
    "mean-square",
    "mean-square stability under minibatches",
    "Gaussian minibatches of size B are mean-square stable if and only if alpha h_max (1 + "
    "1/B) < 2 and sum_i alpha h_i/(B (2 - alpha h_i (1 + 1/B))) < 1.",
    {
        "second_moment": (1 + 1 / size) * H * X * H + sympy.Trace(H * X) / size * H,
        "summand": alpha * h / (size * (2 - alpha * h * (1 + 1 / size))),
        "diagonal": 1 - 2 * alpha * h + alpha**2 * h**2 * (1 + 1 / size),
    },
    status=Status.SHARPER,
    assumptions=("H_t = (1/B) sum a a^T, a ~ N(0, H) independent", "P = 0, alpha > 0"),
    remark="H = diag(1, 1/2, 1/10, 1/10), B = 4: alpha < 1.289315, against 2 for the mean.",
)
def mean_square(f: Formulas) -> Iterator[Step]:
    hessian = Matrix(2, 2, sympy.symbols("h00 h01 h01 h11"))
    second = Matrix(2, 2, sympy.symbols("x00 x01 x01 x11"))

    def entry(i: int, l: int) -> sympy.Expr:
        return sum(wick((i, j, k, l), hessian) * second[j, k] for j in range(2) for k in range(2))

    single = Matrix(2, 2, entry)
    pairs = single / size + (1 - 1 / size) * hessian * second * hessian
    claimed = explicit(f["second_moment"], {H: hessian, X: second}, 2)
    yield identity(
        "N = 2, Wick's rule: E H_t X H_t, of B^2 pairs of examples B are equal", pairs, claimed
    )
    yield because(
        "in the eigenbasis of H the off-diagonal entries of X shrink no slower than the "
        "diagonal ones allow (Cauchy-Schwarz), so the diagonal decides: x' = (diag(D) + "
        "alpha^2/B h h^T) x"
    )
    diagonal = at_one(f["second_moment"], {H: h, X: one})
    yield identity(
        "N = 1: D + alpha^2 h^2/B = 1 - 2 alpha h + alpha^2 E H_t^2",
        f["diagonal"] + alpha**2 * h**2 / size,
        1 - 2 * alpha * h + alpha**2 * diagonal,
    )
    yield identity(
        "the summand is (alpha^2/B) h^2/(1 - D)",
        f["summand"],
        alpha**2 * h**2 / size / (1 - f["diagonal"]),
    )
    yield from _rank_one(f)
    yield from _bracket(f)


def _rank_one(f: Formulas) -> Iterator[Step]:
    modes = sympy.symbols("h1 h2", positive=True)
    gaps = [1 - f["diagonal"].subs(h, mode) for mode in modes]
    vector = Matrix(modes)
    determinant = (sympy.diag(*gaps) - alpha**2 / size * vector * vector.T).det()
    condition = 1 - sum(f["summand"].subs(h, mode) for mode in modes)
    yield identity(
        "det(I - map) = prod (1 - D_i) (1 - sum of the summands)",
        determinant,
        gaps[0] * gaps[1] * condition,
    )
    yield because(
        "the map is nonnegative, so by Perron rho < 1 if and only if D_i < 1 and the sum is < 1"
    )


def _bracket(f: Formulas) -> Iterator[Step]:
    modes = (one, Rational(1, 2), Rational(1, 10), Rational(1, 10))

    def total(step: sympy.Rational) -> sympy.Expr:
        return sum(f["summand"].subs({h: mode, alpha: step, size: 4}) for mode in modes)

    yield exact(
        "the example: stable at 1.289314, unstable at 1.289316",
        sympy.And(total(Rational(1289314, 10**6)) < 1, total(Rational(1289316, 10**6)) > 1),
    )


tau = Symbol("tau", integer=True, nonnegative=True)
x = Symbol("x", positive=True)


@statement(
    "delay",
    "delayed gradients",
    "phi' = phi - lr grad(phi_{t-tau}) is stable if and only if 0 < lr lambda < 2 sin(pi/(2 (2 "
    "tau + 1))).",
    {"bound": 2 * sympy.sin(pi / (2 * (2 * tau + 1))), "angle": pi / (2 * tau + 1)},
    status=Status.SHARPER,
    assumptions=("x = lr lambda", "tau a whole number of steps"),
)
def delay(f: Formulas) -> Iterator[Step]:
    angle = Symbol("phi", real=True)
    chord = 2 * sympy.sin(angle / 2)
    point, half = sympy.exp(sympy.I * angle), sympy.exp(sympy.I * angle / 2)
    yield identity(
        "1 - e^(i phi) = -i e^(i phi/2) 2 sin(phi/2)",
        1 - point,
        sympy.expand(-sympy.I * half * chord.rewrite(sympy.exp)),
    )
    yield because(
        "z^(tau+1) - z^tau + x = 0 at z = e^(i phi) means x = z^tau (1 - z): real and positive "
        "if phi (tau + 1/2) = pi/2 + 2 pi n, least for n = 0"
    )
    yield identity("the angle of the first crossing", f["angle"] * (tau + Rational(1, 2)), pi / 2)
    yield identity("its chord is the bound", f["bound"], chord.subs(angle, f["angle"]))
    yield because(
        "for small x > 0 the root near 1 moves inward and the others are near 0: stable until then"
    )
    yield evaluated("tau = 0: gradient descent", f["bound"].subs(tau, 0), sympy.Integer(2))
    yield evaluated(
        "tau = 1: z^2 - z + x, the product of the roots is x < 1", f["bound"].subs(tau, 1), one
    )
    golden = f["bound"].subs(tau, 2)
    yield identity(
        "tau = 2: z^3 - z^2 + x, Schur-Cohn 1 - x^2 > x: the golden ratio",
        sympy.expand(golden.rewrite(sympy.sqrt) ** 2 + golden.rewrite(sympy.sqrt) - 1),
        sympy.S.Zero,
    )


gamma = Symbol("gamma", real=True)


@statement(
    "averaging",
    "averaging the iterates",
    "mean' = gamma mean + (1 - gamma) phi' adds the eigenvalue gamma, N times, and changes no "
    "other.",
    {"factor": z - gamma},
    status=Status.SHARPER,
    assumptions=("phi' = A phi",),
)
def averaging(f: Formulas) -> Iterator[Step]:
    for number in (1, 2):
        update = Matrix(number, number, sympy.symbols(f"a:{number**2}"))
        eye = sympy.eye(number)
        joint = sympy.BlockMatrix(
            [[update, 0 * eye], [(1 - gamma) * update, gamma * eye]]
        ).as_explicit()
        yield identity(
            f"N = {number}: the characteristic polynomial of the joint matrix",
            (z * sympy.eye(2 * number) - joint).det(),
            (z * eye - update).det() * f["factor"] ** number,
        )
    yield because("block triangular for every N")
