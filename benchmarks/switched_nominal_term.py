"""What the nominal term alpha buys where P may be another one at every step.

Random sets of four P of norm s on a Hessian with eigenvalues up to h = 1: how many are stable for
each P by itself, and how many for every order of them. Run:
python -m benchmarks.switched_nominal_term [SETS]
"""

import os
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections import Counter

import numpy as np

from nqm import switched

STEPS = (0.0, 0.25, 0.5, 1.0, 1.5)
SIZES = (0.2, 0.4, 0.8, 1.2, 1.6)
SIZE, COUNT = 4, 4


def main() -> None:
    """Print percentages: for each P alone, for every order, and the unknown ones."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    print(
        f"percent of {number} sets of {COUNT} random P, N = {SIZE}, h = 1: stable alone / ", end=""
    )
    print("in every order (undecided)")
    print("alpha" + "".join(f"{f'|P| = {size}':>17}" for size in SIZES))
    for alpha in STEPS:
        cells = []
        for size in SIZES:
            rng, found = np.random.default_rng(0), Counter[str]()
            for _ in range(number):
                H = np.diag(np.concatenate([[1.0], 10 ** -rng.uniform(0, 1, SIZE - 1)]))
                P = rng.standard_normal((COUNT, SIZE, SIZE))
                P *= size / np.linalg.norm(P, 2, axis=(1, 2))[:, None, None]
                report = switched(H, P, alpha, budget=2000)
                found["alone"] += report.single_spectral_radius < 1
                found[report.bounds.status] += 1
            alone, every, unknown = (
                100 * found[key] / number for key in ("alone", "certified", "unknown")
            )
            cells.append(f"{alone:.0f} / {every:.0f} ({unknown:.0f})")
        print(f"{alpha:<5}" + "".join(f"{cell:>17}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
