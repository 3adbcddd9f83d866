"""Tasks on images: classification by a network, and autoencoding."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from lopt.checks import require_member
from lopt.tasks.data.datasets import Images
from lopt.tasks.models.layers import outputs
from lopt.tasks.task import Task

# Half again as much as guessing uniformly costs: above it an inner run counts as diverged.
CEILING_OVER_CHANCE = 1.5
# Of a mean squared error between numbers in [0, 1].
CEILING_OF_SQUARES = 1.0
LOSSES = ("cross-entropy", "mse")


def image_task(
    name: str,
    images: Images,
    network: nn.Module,
    classes: int,
    batch_size: int = 128,
    objective: str = "cross-entropy",
) -> Task:
    """Classify `images` with a linen module, from images scaled to [0, 1] to logits; in nats.

    Parameters
    ----------
    name
        How messages call the task.
    images
        What batches are drawn from.
    network
        ``network.apply({"params": params}, inputs)`` gives logits ``[batch, classes]``; it has no
        collection of variables but its parameters. Dropout draws from the key of the loss.
    classes
        Labels are below it. The loss ceiling is 1.5 log(classes).
    batch_size
        Images a batch.
    objective
        ``cross-entropy``, or ``mse``: the mean over the logits of their squared distance from the
        label's unit vector, with the ceiling 1.

    Raises
    ------
    ValueError
        Where the objective is another.

    Examples
    --------
    >>> from lopt.tasks.data.datasets import fashion_mnist_8x8
    >>> from lopt.tasks.networks import MLP
    >>> task = image_task("tiny", fashion_mnist_8x8().train, MLP((32,), 10), classes=10)
    >>> params = task.init(jax.random.key(0))
    >>> batch = task.sample(jax.random.key(1), task.data)
    >>> 1.5 < float(task.loss(params, jax.random.key(2), batch)) < 3.5
    True
    """
    require_member("objective", objective, LOSSES)
    data = Images(jnp.asarray(images.images), jnp.asarray(images.labels))

    def loss(params: nn.FrozenDict, key: jax.Array, batch: Images) -> jax.Array:
        labels = jnp.asarray(batch.labels).astype(jnp.int32)
        logits = outputs(network, params, _inputs(batch.images), key)
        if objective == "mse":
            return jnp.mean((logits - jax.nn.one_hot(labels, classes)) ** 2)
        losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
        return jnp.mean(losses)

    chance = CEILING_OVER_CHANCE * math.log(classes)
    ceiling = CEILING_OF_SQUARES if objective == "mse" else chance
    return Task(name, _initial(network, data.images), loss, data, batch_size, ceiling)


def autoencoder_task(name: str, images: Images, network: nn.Module, batch_size: int = 128) -> Task:
    """Reproduce `images`, scaled to [0, 1], by the sigmoid of a network's outputs.

    The loss is the mean over batch and pixels of the squared error; its ceiling is 1. Labels are
    left out of the data.

    Parameters
    ----------
    name
        How messages call the task.
    images
        What batches are drawn from.
    network
        From images to ``[batch, pixels]``.
    batch_size
        Images a batch.

    Examples
    --------
    >>> from lopt.tasks.data.datasets import fashion_mnist_8x8
    >>> from lopt.tasks.networks import MLP
    >>> task = autoencoder_task("tiny", fashion_mnist_8x8().train, MLP((16,), classes=64))
    >>> shapes = jax.eval_shape(task.init, jax.random.key(0))
    >>> zero = jax.tree.map(lambda x: jnp.zeros(x.shape), shapes)
    >>> batch = task.data[:100]
    >>> expected = jnp.mean((batch.astype(jnp.float32) / 255 - 0.5) ** 2)
    >>> bool(jnp.isclose(task.loss(zero, jax.random.key(2), batch), expected))
    True
    """
    data = jnp.asarray(images.images)

    def loss(params: nn.FrozenDict, key: jax.Array, batch: jax.Array) -> jax.Array:
        pixels = _inputs(batch)
        logits = outputs(network, params, pixels, key)
        return jnp.mean((jax.nn.sigmoid(logits) - pixels.reshape(logits.shape)) ** 2)

    return Task(name, _initial(network, data), loss, data, batch_size, CEILING_OF_SQUARES)


def _inputs(images: Any) -> jax.Array:
    """Images scaled to [0, 1]."""
    return jnp.asarray(images).astype(jnp.float32) / 255.0


def _initial(network: nn.Module, images: Any) -> Callable[[jax.Array], nn.FrozenDict]:
    """Draws the parameters of a network for such images."""

    def init(key: jax.Array) -> nn.FrozenDict:
        blank = jnp.zeros((1, *images.shape[1:]), jnp.float32)
        return network.init(key, blank)["params"]

    return init
