"""What `nqm.check` costs at N = 1000, as ratios to one eigenvalue call of the same size.

    python -m benchmarks.nqm_check [--size N] [--repeats K]

Targets: at most 2 times one `scipy.linalg.eigh` for symmetric P, at most 1.5 times one
`scipy.linalg.eigvals` for a P that is not symmetric. Each time is the best of K in turn; set
OPENBLAS_NUM_THREADS to fix the number of threads.
"""

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import scipy.linalg

from nqm import check


def best_times(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The shortest time of each call, the calls taking turns."""
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def main() -> int:
    """Print the ratios; the exit code is 1 if one misses its target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    n = arguments.size
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, n)) / np.sqrt(n)
    H = X @ X.T + 0.01 * np.eye(n)
    S, P = (X + X.T) / 20, X / 20
    A = np.eye(n) - (0.2 * np.eye(n) + P) @ H
    times = best_times(
        {
            "eigh": lambda: scipy.linalg.eigh(H),
            "symmetric": lambda: check(H, S, 0.2),
            "eigvals": lambda: scipy.linalg.eigvals(A),
            "nonsymmetric": lambda: check(H, P, 0.2),
        },
        arguments.repeats,
    )
    print(f"{'check, N = ' + str(n):<28}{'seconds':>9}  {'ratio':>6}  {'target':>6}")
    missed = 0
    for name, base, target in (("symmetric", "eigh", 2.0), ("nonsymmetric", "eigvals", 1.5)):
        ratio = times[name] / times[base]
        missed += ratio > target
        print(f"{name + ' P, to ' + base:<28}{times[name]:9.3f}  {ratio:6.2f}  {target:6.1f}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
