"""Effective step sizes: the elementwise response of the nominal term to the gradient."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nqm.json_values import json_value

__all__ = ["QUANTILES", "StepSample", "StepSummary", "sample_steps", "summarize_steps"]

# A partition of a million values takes as long as ten gradients of a network of that size.
SAMPLE = 2**16
#: The quantiles of the effective step that a summary holds.
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class StepSummary:
    """The distribution of effective alpha_i = d u_i / d g_i of the nominal term.

    Attributes
    ----------
    quantiles : dict
        Value by its level, over all parameters; the extremes are exact, the others those of a
        fixed random sample where there are more than `SAMPLE` parameters: their levels are good to
        0.002.
    tensors : dict
        Median by the name of the tensor, from such a sample of a large one.
    off_diagonal : float
        Root of the sum of squares of the response off its diagonal, over that of what was probed:
        0 where the nominal term is elementwise. alpha is exact then, else an average over a few
        random signs with this relative error.
    """

    quantiles: dict[float, float]
    tensors: dict[str, float]
    off_diagonal: float

    @property
    def median(self) -> float:
        """The median over all parameters."""
        return self.quantiles[0.5]

    def text(self) -> str:
        """One line: the range and the median."""
        q = self.quantiles
        return f"median {q[0.5]:.4g}, 5% {q[0.05]:.4g}, 95% {q[0.95]:.4g}, largest {q[1.0]:.4g}"

    def to_json(self) -> dict[str, Any]:
        """Every number, as plain Python."""
        return {
            "quantiles": {f"{k:g}": json_value(v) for k, v in self.quantiles.items()},
            "tensors": json_value(self.tensors),
            "off_diagonal": json_value(self.off_diagonal),
        }


class StepSample(NamedTuple):
    """What `summarize_steps` needs of alpha: extremes, and a sample of all and of each tensor."""

    least: jax.Array
    largest: jax.Array
    every: jax.Array
    tensors: list[jax.Array]


def sample_steps(alpha: jax.Array, params: Any) -> StepSample:
    """The sample of the flat vector `alpha` over `params`; jittable."""
    sizes = [int(np.size(leaf)) for leaf in jax.tree.leaves(params)]
    ends = np.cumsum([0, *sizes])
    return StepSample(
        least=jnp.min(alpha),
        largest=jnp.max(alpha),
        every=alpha[_places(alpha.shape[0], SAMPLE)],
        tensors=[
            alpha[first + _places(size, SAMPLE // 4)]
            for first, size in zip(ends, sizes, strict=False)
        ],
    )


def summarize_steps(sample: StepSample, off_diagonal: float, params: Any) -> StepSummary:
    """The quantiles of alpha, and the median of each tensor of `params`."""
    names = [
        jax.tree_util.keystr(path) or "params"
        for path, _ in jax.tree_util.tree_leaves_with_path(params)
    ]
    medians = [float(np.median(np.asarray(t, np.float64))) for t in sample.tensors]
    levels = np.quantile(np.asarray(sample.every, np.float64), QUANTILES)
    quantiles = {q: float(v) for q, v in zip(QUANTILES, levels, strict=True)}
    quantiles |= {0.0: float(sample.least), 1.0: float(sample.largest)}
    return StepSummary(quantiles, dict(zip(names, medians, strict=True)), off_diagonal)


def _places(size: int, count: int) -> np.ndarray:
    """`count` of the places up to `size`, drawn with replacement by a fixed generator; all where
    they are few.

    Drawn and not strided: a stride that divides a layer's width would see some columns only.
    """
    if size <= count:
        return np.arange(size)
    return np.random.default_rng(0).integers(size, size=count)
