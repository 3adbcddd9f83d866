"""An inner problem whose meta-gradient is a polynomial, and what every estimator's mean is on it.

The inner problem walks: phi' = phi - theta from phi_0 = 2, whatever the gradient is, with the loss
phi^2/2 + K phi^3/6. After t steps under perturbations that sum to a ~ N(0, v) it is at phi = mu -
a, mu = 2 - t theta, so that E[dloss/dphi] = mu + K (mu^2 + v) / 2. A perturbation that acted for n
of the t steps has the coefficient -n in phi, and by Stein's identity E[loss e] / sigma^2 = -n
E[dloss/dphi].
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import lopt

# These problems are tiny: compiling them takes a hundred times as long as running them.
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

THETA, OFFSET, CUBIC, SIGMA = 0.3, 2.0, 0.5, 0.2


def constant_step(theta: jax.Array) -> optax.GradientTransformation:
    """phi' = phi - theta."""
    return optax.GradientTransformation(
        lambda params: optax.EmptyState(),
        lambda g, state, params=None: (jax.tree.map(lambda x: -theta * jnp.ones_like(x), g), state),
    )


def task(**changes: Any) -> lopt.Task:
    """The walk."""
    values = {
        "init": lambda key: jnp.float32(OFFSET),
        "loss": lambda phi, key, batch: phi**2 / 2 + CUBIC * phi**3 / 6,
        **changes,
    }
    return lopt.Task("walk", **values)


def loss(t: np.ndarray) -> np.ndarray:
    """The loss after t unperturbed steps."""
    mean = OFFSET - t * THETA
    return mean**2 / 2 + CUBIC * mean**3 / 6


def slope(t: np.ndarray, variance: np.ndarray | float = 0.0) -> np.ndarray:
    """E[dloss/dphi] after t steps."""
    mean = OFFSET - t * THETA
    return mean + CUBIC * (mean**2 + variance) / 2


@dataclass
class Ages:
    """Where every particle stands, followed in NumPy: int arrays ``[pairs]``."""

    inner_step: np.ndarray
    length: np.ndarray
    done: np.ndarray
    """Steps truly taken in this episode, fewer than `inner_step` where it began staggered."""
    squares: np.ndarray
    """Sum over this episode's past truncations of the squared number of steps in each."""

    @classmethod
    def begin(cls, inner_step: Any, length: Any) -> "Ages":
        start = np.array(inner_step, int)
        return cls(start, np.array(length, int), np.zeros_like(start), np.zeros_like(start))

    def truncation(self, kind: str, steps: int, next_length: Any, sigma: float) -> np.ndarray:
        """The expected estimates of one truncation, ``[pairs]``, and move on by it; an episode
        that begins in it lasts `next_length`.
        """
        here, total = np.zeros_like(self.done), np.zeros(self.done.shape)
        for _ in range(steps):
            over = self.inner_step == self.length
            self.length = np.where(over, next_length, self.length)
            for name in ("inner_step", "done", "squares"):
                setattr(self, name, np.where(over, 0, getattr(self, name)))
            here = np.where(over, 0, here)
            variance = {
                "individual": sigma**2 * (self.squares + here**2),
                "shared": sigma**2 * self.done**2,
                "none": 0.0,
            }[NOISE[kind]]
            acting = here if kind in TRUNCATED else self.done
            total += -acting * slope(self.done, variance)
            self.inner_step, self.done, here = self.inner_step + 1, self.done + 1, here + 1
        self.squares = self.squares + here**2
        return total / steps


TRUNCATED = ("truncated-es", "truncated-backprop")
NOISE = {
    "pes": "individual",
    "independent": "individual",
    "nres": "shared",
    "truncated-es": "individual",
    "truncated-backprop": "none",
}


def singles(estimator: Any, theta: jax.Array, state: Any, key: jax.Array) -> Any:
    """The estimates of single pairs or particles, with a leading axis, and the states after."""

    def one(part: Any, index: jax.Array) -> Any:
        held = jax.tree.map(lambda x: x[None], part)
        estimate, after = estimator.estimate(theta, held, (), key, index)
        return estimate, jax.tree.map(lambda x: x[0], after)

    count = jax.tree.leaves(state)[0].shape[0]
    return jax.vmap(one)(state, jnp.arange(count))


def z(sample: np.ndarray, expected: np.ndarray | float) -> float:
    """The mean's deviation from the expected mean, in its standard errors."""
    error = np.asarray(sample, np.float64) - expected
    return float(abs(error.mean()) / (error.std(ddof=1) / np.sqrt(error.size)))
