"""The exact gradient variance of Figure 2a against the paper's Monte Carlo of the same grid.

20 horizons (A.31), 50 alphas from 0 to 2/h, 500 seeds. The Monte Carlo is vectorized over seeds,
entries of P and, in the second and third row, alphas; one pass over the longest horizon serves
all of them. Run from the checkout: python -m benchmarks.nqm_gradient_variance
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks.nqm_moments import seconds, warm_allocator
from nqm import example, meta_gradient_variance, sample_meta_gradients

HORIZONS = [1, 2, 3, 4, 5, 10, 25, 50, *range(100, 301, 50), *range(400, 1001, 100)]
SEEDS = 500


def main() -> None:
    """Print the times, their ratios and how far apart the two answers are."""
    warm_allocator()
    model = example("paper").quadratic
    alphas = np.linspace(0, 2 / model.hessian_eigenvalues[-1], 50).tolist()
    rng = np.random.default_rng(0)

    def exact() -> np.ndarray:
        return meta_gradient_variance(model, alphas, horizon=HORIZONS).trace

    def sampled(steps: list[float] | float) -> np.ndarray:
        return sample_meta_gradients(model, steps, horizon=HORIZONS, seeds=SEEDS, rng=rng).trace

    own = seconds(exact, 5)
    each = seconds(lambda: [sampled(alpha) for alpha in alphas], 1)
    shared = seconds(lambda: sampled(alphas), 2)
    horizons = seconds(
        lambda: [
            sample_meta_gradients(model, alphas, horizon=T, seeds=SEEDS, rng=rng) for T in HORIZONS
        ],
        1,
    )
    print(f"exact, {len(alphas)} alphas and {len(HORIZONS)} horizons: {own * 1e3:.0f} ms")
    for name, cost in (
        ("Monte Carlo, independent draws for each alpha", each),
        ("Monte Carlo, the alphas batched and sharing their draws, each horizon a run", horizons),
        ("Monte Carlo, the alphas batched, one run for all horizons", shared),
    ):
        print(f"{name}: {cost * 1e3:.0f} ms, {cost / own:.1f} times the exact")
    gap = np.abs(sampled(alphas) / exact() - 1)
    print(f"median relative gap of the Monte Carlo: {np.median(gap):.3f}, largest {gap.max():.2f}")


if __name__ == "__main__":
    main()
