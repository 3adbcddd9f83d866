"""The two runs of a pair under perturbed meta-parameters, and the estimate from their losses.

A pair of inner problems runs under ``theta + e_1`` and ``theta + e_2``, ``e ~ N(0, sigma^2 I)``.
With ``xi_k`` the sum of the perturbations that run k has had since its episode began, the estimate
for the losses ``L_k`` of one truncation is the mean over k of ``L_k xi_k / sigma^2``: correlating
with the whole sum, and not with the last perturbation alone as truncated ES does, accounts for
what earlier truncations did to the state and makes the estimate unbiased for the loss smoothed by
the perturbations (PES: Vicol, Metz, Sohl-Dickstein, ICML 2021).

Antithetic pairs have ``e_2 = -e_1``, and the estimate is ``(L_1 - L_2) xi_1 / (2 sigma^2)``.
Otherwise the perturbations are independent, and each run's loss is the other's baseline, which
leaves the mean as it is because a baseline is independent of the perturbation that it multiplies
(leave-one-out: Kool, van Hoof, Welling, "Buy 4 REINFORCE samples, get a baseline for free!",
2019). Without the baseline (Salimans et al. 2017, arXiv:1703.03864) the variance has a term ``n
L^2 / sigma^2`` for n meta-parameters.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lopt.meta.estimators.interface import MetaParameters
from lopt.meta.estimators.unroll import Episode, InnerLoop, Keys, Trace

# Where the two runs of a pair have an axis of their own, for `jax.vmap`: initial parameters,
# batches and lengths are common to both.
OWN: Any = 0
COMMON: Any = None
RUNS = Episode(OWN, OWN, inner_step=COMMON, length=COMMON, nonfinite_step=OWN, member=COMMON)
# Behind the axis of the steps.
BEHIND: Any = 1
TRACES = Trace(losses=BEHIND, current=COMMON, nonfinite_step=BEHIND)


@dataclass(frozen=True)
class Perturbations:
    """The joint distribution of a pair's perturbations ``e_1`` and ``e_2``, each ``N(0, sigma^2
    I)``, and the estimator that goes with it.

    Parameters
    ----------
    sigma
        Standard deviation of a perturbation.
    antithetic
        ``e_2 = -e_1``; otherwise the two are independent.
    baseline
        Subtract the other run's loss from each. Of no effect on antithetic pairs, whose estimate
        is a difference already.
    """

    sigma: float
    antithetic: bool
    baseline: bool

    def __post_init__(self) -> None:
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"sigma must be positive and finite; it is {self.sigma}.")

    def draw(self, key: jax.Array, theta: MetaParameters) -> MetaParameters:
        """``e_1`` and ``e_2``, like theta with an axis of two in front."""
        if self.antithetic:
            return jax.tree.map(lambda e: jnp.stack([e, -e]), _normal_like(key, theta, self.sigma))
        both = jax.tree.map(lambda t: jnp.broadcast_to(t, (2, *jnp.shape(t))), theta)
        return _normal_like(key, both, self.sigma)

    def credit(self, losses: jax.Array) -> jax.Array:
        """What multiplies the perturbations of each run, ``[..., 2]``, of losses of that shape:
        the mean over both of ``credit xi / sigma^2`` is the estimate.
        """
        if not (self.antithetic or self.baseline):
            return losses
        difference = losses[..., 0] - losses[..., 1]
        # An antithetic run's opposite is no baseline: it would count the difference twice.
        half = 0.5 * difference if self.antithetic else difference
        return jnp.stack([half, -half], axis=-1)

    def correlate(self, credit: jax.Array, perturbation: MetaParameters) -> MetaParameters:
        """The mean over both runs of ``credit xi / sigma^2``, of ``[2]`` and ``[2, ...]``, in the
        precision of the meta-parameters, whatever that of the losses.
        """
        scale = credit / (2.0 * self.sigma**2)
        return jax.tree.map(lambda e: jnp.tensordot(scale, e, 1).astype(e.dtype), perturbation)


def run_pair(
    inner: InnerLoop,
    theta: MetaParameters,
    perturbation: MetaParameters,
    later: MetaParameters | None,
    episode: Episode,
    data: Any,
    keys: Keys,
    outer_step: jax.Array,
    steps: int,
) -> tuple[Trace, Episode]:
    """Both runs of a pair, the axis of the two behind that of the steps; `later` is the
    perturbation from a fresh episode on, the same as before where it is None.
    """

    def run(noise: MetaParameters, later: MetaParameters | None, episode: Episode) -> Any:
        after = None if later is None else jax.tree.map(jnp.add, theta, later)
        moved = jax.tree.map(jnp.add, theta, noise)
        return inner.unroll(moved, after, episode, data, keys, outer_step, steps=steps)

    return jax.vmap(run, in_axes=(0, 0, RUNS), out_axes=(TRACES, RUNS))(
        perturbation, later, episode
    )


def doubled(episode: Episode) -> Episode:
    """The same episode for both runs of a pair."""
    return Episode(
        *(
            x if axis is None else jax.tree.map(lambda y: jnp.stack([y, y]), x)
            for x, axis in zip(episode, RUNS, strict=True)
        )
    )


def _normal_like(key: jax.Array, tree: Any, scale: float) -> Any:
    """Independent normal draws of standard deviation `scale`, one a number in `tree`."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    draws = [
        scale * jax.random.normal(k, jnp.shape(x), jnp.result_type(x))
        for k, x in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, draws)
