"""What the expected loss at a horizon of a million costs, in matrix products of the same size.

Run from the checkout: python -m benchmarks.nqm_moments
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from nqm import NoisyQuadratic, expected_loss, plain_rule, spectral_loss

N = 200
HORIZONS = (10**3, 10**6, 10**9)


def warm_allocator() -> None:
    """Free one large array: glibc then keeps memory of that size instead of returning it at once.

    A process that never held a large array pays about as much again for fresh pages.
    """
    np.ones(4_000_000)


def seconds(call: Callable[[], object], repeats: int = 1) -> float:
    """The processor time of one call."""
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats


def ratio(call: Callable[[], object], unit: Callable[[], object]) -> float:
    """The median over 15 pairs, each timed together, so that other load slows both."""
    return float(np.median([seconds(call) / seconds(unit, 100) for _ in range(15)]))


def problem(condition: float) -> tuple[NoisyQuadratic, np.ndarray]:
    """A rotated Hessian of that condition with largest eigenvalue one, and a general P."""
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((N, N)))[0]
    H = (Q * np.geomspace(1, 1 / condition, N)) @ Q.T
    P = 0.1 * rng.standard_normal((N, N)) / np.sqrt(N)
    return NoisyQuadratic((H + H.T) / 2, np.eye(N), np.ones(N)), P


def cost_in_products(condition: float, symmetric: bool, T: int) -> float:
    """The time of one expected loss over that of one product, both measured now."""
    model, P = problem(condition)
    rule = plain_rule(model.hessian, P, 0.8)
    if symmetric:
        call = partial(spectral_loss, model, 0.8, P + P.T, horizon=T)
    else:
        call = partial(expected_loss, model, rule, T)
    return ratio(call, lambda: P @ model.hessian)


def main() -> None:
    """Print one line for each kind of problem."""
    warm_allocator()
    print(f"N = {N}; cost in products of {N} x {N} matrices, at T = 10^3, 10^6, 10^9")
    for name, condition, symmetric in (
        ("spectral form, symmetric P, kappa 1e3", 1e3, True),
        ("doubling, any P, kappa 3 (rho 0.8)", 3.0, False),
        ("doubling, any P, kappa 1e3 (rho 0.999)", 1e3, False),
        ("doubling, any P, kappa 1e4 (rho 0.9999)", 1e4, False),
        ("doubling, any P, kappa 1e9 (never settles)", 1e9, False),
    ):
        costs = [cost_in_products(condition, symmetric, T) for T in HORIZONS]
        print(f"{name:44}" + "".join(f"{cost:8.0f}" for cost in costs))


if __name__ == "__main__":
    main()
