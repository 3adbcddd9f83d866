"""Momentum and hidden states (A.4): one theorem for any number of velocities."""

from collections.abc import Iterator

import sympy
from sympy import Matrix, Symbol

from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, identity, nonnegative

beta = Symbol("beta", nonnegative=True)  # heavy-ball friction, 0 <= beta < 1
z, decay = Symbol("z"), Symbol("w", real=True)
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


STATEMENTS = (momentum,)
