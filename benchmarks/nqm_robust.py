"""How often robust stability is left unknown, by dimension and by distance from the edge.

Each random problem is scaled to the edge that the search alone finds, then asked at a fraction of
that scale: an ideal method certifies every one. Run: python -m benchmarks.nqm_robust [PROBLEMS]
"""

import os
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
from collections import Counter

import numpy as np

from figures.quadratic.robust_cases import edge, problem
from nqm import robust_stability

FRACTIONS = (0.5, 0.8, 0.9, 0.95, 0.99)


def main() -> None:
    """Print a table: certified and unknown at each fraction of the edge, and the slowest call."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    rng = np.random.default_rng(0)
    print("unknown of all, at a fraction of the edge of robust stability")
    print("N   " + "".join(f"{fraction:>8}" for fraction in FRACTIONS) + "   slowest call   by")
    for n in (2, 3, 4, 5, 6, 8):
        unknown, by, slowest = Counter[float](), Counter[str](), 0.0
        for _ in range(count):
            H, P, alpha, bound = problem(rng, n)
            scale = edge(H, P, alpha, bound)
            for fraction in FRACTIONS:
                start = time.perf_counter()
                report = robust_stability(H, fraction * scale * P, alpha, bound)
                slowest = max(slowest, time.perf_counter() - start)
                unknown[fraction] += report.status == "unknown"
                by[report.by.partition(",")[0] if report.status == "certified" else "-"] += 1
        row = "".join(f"{f'{unknown[f]}/{count}':>8}" for f in FRACTIONS)
        arguments = ", ".join(f"{name} {number}" for name, number in by.most_common())
        print(f"{n:<4}{row}   {slowest:10.2f} s   {arguments}")


if __name__ == "__main__":
    main()
