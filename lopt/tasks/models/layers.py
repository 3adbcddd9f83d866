"""Haiku's initial weights, and normalization that is always in training mode."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

# Haiku's default.
EPSILON = 1e-5
# The standard deviation of a normal number that is cut at two standard deviations.
TRUNCATED = 0.87962566103423978


def haiku_weights(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Normal weights of standard deviation ``1 / sqrt(fan_in)``, cut at two of them, as Haiku
    draws them: not corrected for the cut, so that what is left has 0.88 of that.

    Examples
    --------
    >>> weights = haiku_weights(jax.random.key(0), (400, 1000))
    >>> bool(abs(20 * weights.std() / TRUNCATED - 1) < 0.01), bool(abs(weights).max() <= 2 / 20)
    (True, True)
    """
    return _truncated(key, shape, dtype) / math.sqrt(math.prod(shape[:-1]))


def embeddings(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Haiku's initial embeddings: normal of standard deviation 1, cut at 2, not corrected."""
    return _truncated(key, shape, dtype)


def scaled_variance(scale: float) -> nn.initializers.Initializer:
    """Haiku's ``VarianceScaling``: normal weights cut at two standard deviations, the variance
    ``scale / fan_in`` after the cut.
    """
    return nn.initializers.variance_scaling(scale, "fan_in", "truncated_normal")


def _truncated(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    return jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype)


class BatchNorm(nn.Module):
    """Normalize over all axes but the last by the mean and variance of the batch itself.

    There is no running average: the statistics are those of the batch in evaluation too.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """The normalized activations, times a scale, plus a bias for each channel."""
        axes = tuple(range(x.ndim - 1))
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        inverse = scale * jax.lax.rsqrt(jnp.var(x, axes) + EPSILON)
        return (x - jnp.mean(x, axes)) * inverse + bias


def layer_norm() -> nn.LayerNorm:
    """Normalization over the last axis with a scale and a bias."""
    return nn.LayerNorm(epsilon=EPSILON, use_fast_variance=False)


def normalization(kind: str | None) -> nn.Module | None:
    """Return a module by name: ``layer``, ``batch``, or None for none.

    Raises
    ------
    ValueError
        Where the name is another.
    """
    if kind is None:
        return None
    if kind not in ("layer", "batch"):
        raise ValueError(f"norm must be layer, batch or None; it is {kind!r}.")
    return layer_norm() if kind == "layer" else BatchNorm()


def outputs(network: nn.Module, params: Any, inputs: jax.Array, key: jax.Array | None) -> jax.Array:
    """Return what a network gives for its inputs; dropout draws from `key`, which may be None
    without any.
    """
    found: Any = network.apply(
        {"params": params}, inputs, rngs=None if key is None else {"dropout": key}
    )
    return found
