"""Random quadratics and preconditioners of every class, N = 1 to 8, condition up to 1e10."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

CLASSES = (
    "zero",
    "symmetric",
    "semidefinite",
    "diagonal",
    "real eigenvalues",
    "normal",
    "skew",
    "any",
    "nilpotent",
    "near inverse",
)


class Drawn(NamedTuple):
    """A problem; `kind` is the class of P."""

    hessian: np.ndarray
    preconditioner: np.ndarray
    nominal_step: float
    kind: str


def rotation(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def hessian(rng: np.random.Generator, n: int, log_condition: float) -> np.ndarray:
    h = 10 ** (-log_condition * rng.random(n))
    h[0] = 1.0
    if n > 1:
        h[-1] = 10**-log_condition
    Q = rotation(rng, n) if rng.random() < 0.7 else np.eye(n)
    H = (Q * h) @ Q.T * 10 ** rng.uniform(-2, 2)
    return (H + H.T) / 2


def preconditioner(rng: np.random.Generator, H: np.ndarray, kind: str) -> np.ndarray:
    n = H.shape[0]
    scale = 10 ** rng.uniform(-2, 0.5) / np.linalg.eigvalsh(H)[-1]
    X = rng.standard_normal((n, n))
    made = {
        "zero": lambda: 0 * X,
        "symmetric": lambda: (X + X.T) / 2,
        "semidefinite": lambda: X @ X.T / n,
        "diagonal": lambda: np.diag(np.diag(X)),
        "real eigenvalues": lambda: np.linalg.solve(X + 3 * np.eye(n), np.diag(X)[:, None] * X),
        "normal": lambda: rotation(rng, n),
        "skew": lambda: X - X.T,
        "any": lambda: X,
        "nilpotent": lambda: np.triu(X, 1) * 10 ** rng.uniform(0, 2),
        "near inverse": lambda: np.linalg.inv(H) / scale * rng.uniform(0.1, 2.2),
    }[kind]()
    P = scale * made
    symmetric = kind in ("symmetric", "semidefinite", "near inverse")
    return (P + P.T) / 2 if symmetric else P


@st.composite
def problems(
    draw: st.DrawFn,
    kinds: tuple[str, ...] = CLASSES,
    max_size: int = 8,
    max_log_condition: float = 10.0,
) -> Drawn:
    n = draw(st.integers(1, max_size))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(kinds))
    H = hessian(rng, n, draw(st.floats(0, max_log_condition)))
    alpha = draw(st.floats(-0.5, 2.5)) / np.linalg.eigvalsh(H)[-1]
    return Drawn(H, preconditioner(rng, H, kind), alpha, kind)


SYMMETRIC = ("zero", "symmetric", "semidefinite", "diagonal", "near inverse")
