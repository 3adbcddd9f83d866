"""Sharper statements on the moments: closed forms of the loss, and doubling for any horizon."""

from collections.abc import Iterator

import sympy
from sympy import Symbol, Trace

from theory.engine.statement import Formulas, Status, statement
from theory.engine.steps import Step, because, identity
from theory.engine.symbols import SYMMETRIC, A, H, I, K, M, S, T, half, lam, square

s, second = sympy.symbols("s z2", nonnegative=True)  # noise and initial second moment of a mode
g = Symbol("g", positive=True)  # an eigenvalue of G
j, a, b, t = sympy.symbols("j a b t", integer=True, nonnegative=True)
Q, G, E = (square(name) for name in ("Q", "G", "E"))
MEAN_POWER = lam**2 * (1 - lam ** (2 * T)) / (T * (1 - lam**2))


@statement(
    "modal-loss",
    "the expected loss for symmetric P, in closed form",
    "L(T) = 1/2 sum_i { z_i^2 c + s_i [1 + (1-l_i)/(1+l_i) (1-c)] }, c the mean of l_i^2t over "
    "t = 1..T; at l = -1 the bracket is 2T + 3.",
    {
        "mean_power": MEAN_POWER,
        "meta_loss": half
        * (second * MEAN_POWER + s * (1 + (1 - lam) / (1 + lam) * (1 - MEAN_POWER))),
        "at_minus_one": half * (second + s * (2 * T + 3)),
    },
    status=Status.SHARPER,
    assumptions=(
        "I - G = U diag(l) U^T, one mode shown",
        "z2 = z_i^2 = [U^T H^1/2 Pi_0 H^1/2 U]_ii",
        "s = s_i = [U^T H^1/2 S H^1/2 U]_ii",
    ),
)
def modal_loss(f: Formulas) -> Iterator[Step]:
    total = f["mean_power"] * T
    yield identity("T c grows by l^(2T+2)", total.subs(T, T + 1) - total, lam ** (2 * T + 2))
    yield identity("and starts at l^2", total.subs(T, 1), lam**2)
    variance = s * (1 - lam) * (1 - lam ** (2 * t)) / (1 + lam)
    yield identity(
        "the variance of a mode obeys v' = l^2 v + (1-l)^2 s",
        variance.subs(t, t + 1),
        lam**2 * variance + (1 - lam) ** 2 * s,
    )
    at_time = half * (lam ** (2 * t) * second + variance + s)
    summed = f["meta_loss"] * T
    yield identity(
        "T L(T) grows by the loss at T + 1", summed.subs(T, T + 1) - summed, at_time.subs(t, T + 1)
    )
    yield identity("L(1) is the loss at t = 1", f["meta_loss"].subs(T, 1), at_time.subs(t, 1))
    for steps in (1, 2, 3):
        value = sympy.cancel(f["meta_loss"].subs(T, steps)).subs(lam, -1)
        yield identity(f"l to -1, T = {steps}", value, f["at_minus_one"].subs(T, steps))
    grown = f["at_minus_one"] * T
    yield identity(
        "l = -1: T L(T) grows by 1/2 (z^2 + 4 (T+1) s + s)",
        grown.subs(T, T + 1) - grown,
        half * (second + 4 * (T + 1) * s + s),
    )


INVERSE = (2 * H**-1 - M) ** -1


@statement(
    "stationary-loss",
    "the limit of the loss",
    "For symmetric P and 0 < G < 2 I the loss tends to tr[S (2 H^-1 - M)^-1], per mode s/(2 - g).",
    {"limit": Trace(S * INVERSE), "mode": s / (2 - g)},
    status=Status.SHARPER,
    assumptions=("0 < G < 2 I, G = K M K", "S any covariance, whether or not it commutes with G"),
)
def stationary_loss(f: Formulas) -> Iterator[Step]:
    known = SYMMETRIC | {G, E}
    sigma = K * S * K
    yield identity(
        "(2 H^-1 - M) K = K^-1 (2 I - G)",
        (2 * H**-1 - M) * K,
        K**-1 * (2 * I - G),
        where={M: K**-1 * G * K**-1, H: K**2},
        symmetric=known,
    )
    yield identity(
        "so with E = 2 I - G and sigma = K S K the limit is tr sigma E^-1",
        f["limit"].xreplace({INVERSE: K * E**-1 * K}),
        Trace(sigma * E**-1),
        symmetric=known,
    )
    yield because("the covariance X of K phi solves X = (I-G) X (I-G) + G sigma G")
    first = (I - G) * G**-1 * (I - G)
    last = (E - I) * E**-1 * (E - I)
    yield identity("(I-G) G^-1 (I-G) = G^-1 - 2 I + G", first, G**-1 - 2 * I + G, symmetric=known)
    yield identity(
        "(I-G) E^-1 (I-G) = E^-1 - 2 I + E, as I - G = E - I",
        last,
        E**-1 - 2 * I + E,
        symmetric=known,
    )
    yield identity(
        "so Y = (G^-1 + E^-1)/2 has Y - (I-G) Y (I-G) = I, as G + E = 2 I",
        (G**-1 + E**-1 - first - (E**-1 - 2 * I + (2 * I - G))) / 2,
        I,
        symmetric=known,
    )
    yield identity(
        "G E^-1 G = 4 E^-1 - 4 I + E",
        (2 * I - E) * E**-1 * (2 * I - E),
        4 * E**-1 - 4 * I + E,
        symmetric=known,
    )
    yield identity(
        "so G Y G = 2 E^-1 - I",
        ((2 * I - E) + 4 * E**-1 - 4 * I + E) / 2,
        2 * E**-1 - I,
        symmetric=known,
    )
    yield identity(
        "tr X = tr(Y G sigma G) = tr(sigma G Y G), and 1/2 tr(X + sigma) = tr sigma E^-1",
        half * Trace(sigma * (2 * E**-1 - I)) + half * Trace(sigma),
        Trace(sigma * E**-1),
        symmetric=known,
    )
    variance = g**2 * s / (1 - (1 - g) ** 2)
    yield identity("a mode: 1/2 (variance + s)", half * (variance + s), f["mode"])


@statement(
    "doubling",
    "the moments at any horizon by doubling",
    "With J = [[A, A], [0, A]] and S_n = sum_{j<n} J^j diag(0, Q) J^jT: S_{a+b} = S_a + J^a "
    "S_b J^aT, and sum_{t=1..T} Cov_t = T S22 - S12.",
    {
        "corner": j * A**j,
        "S12_summand": j * A**j * Q * A.T**j,
        "S22_summand": A**j * Q * A.T**j,
        "covariance_sum_summand": (T - j) * A**j * Q * A.T**j,
    },
    status=Status.SHARPER,
    assumptions=("A any real matrix: no singular case",),
    remark="O(N^3 log T) for the exact loss at the horizon T.",
)
def doubling(f: Formulas) -> Iterator[Step]:
    known = SYMMETRIC | {Q}
    corner = f["corner"]
    yield identity(
        "the corner of J^j: J^j J adds A^j A",
        A**j * A + corner * A,
        corner.subs(j, j + 1),
        symmetric=known,
    )
    yield identity("J^1 has the corner A", corner.subs(j, 1), A, symmetric=known)
    yield identity(
        "J^(a+b) = J^a J^b, so the sum splits at a",
        corner.subs(j, a + b),
        A**a * corner.subs(j, b) + corner.subs(j, a) * A**b,
        symmetric=known,
    )
    yield identity(
        "J^j diag(0, Q) J^jT has the (1,2) block",
        corner * Q * A.T**j,
        f["S12_summand"],
        symmetric=known,
    )
    yield identity("and the (2,2) block", A**j * Q * A.T**j, f["S22_summand"], symmetric=known)
    for horizon in (1, 2, 3):
        total = sum((A**i * Q * A.T**i for n in range(1, horizon + 1) for i in range(n)), 0 * Q)
        closed = sum(
            (f["covariance_sum_summand"].subs({T: horizon, j: i}) for i in range(horizon)), 0 * Q
        )
        yield identity(f"T = {horizon}: the sum of the covariances", total, closed, symmetric=known)
    yield identity(
        "which is T S22 - S12, summand by summand",
        f["covariance_sum_summand"],
        T * f["S22_summand"] - f["S12_summand"],
        symmetric=known,
    )
