"""Image classification by ReLU networks with softmax cross-entropy."""

import math

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from lopt.tasks.data.datasets import Images
from lopt.tasks.task import Task

# Half again as much as guessing uniformly costs: above it an inner run counts as diverged.
CEILING_OVER_CHANCE = 1.5


def image_task(
    name: str, images: Images, network: nn.Module, classes: int, batch_size: int = 128
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
        collection of variables but its parameters.
    classes
        Labels are below it. The loss ceiling is 1.5 log(classes).
    batch_size
        Images a batch.

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
    data = Images(jnp.asarray(images.images), jnp.asarray(images.labels))

    def init(key: jax.Array) -> nn.FrozenDict:
        blank = jnp.zeros((1, *data.images.shape[1:]), jnp.float32)
        return network.init(key, blank)["params"]

    def loss(params: nn.FrozenDict, key: jax.Array, batch: Images) -> jax.Array:
        del key
        inputs = jnp.asarray(batch.images).astype(jnp.float32) / 255.0
        labels = jnp.asarray(batch.labels).astype(jnp.int32)
        logits = network.apply({"params": params}, inputs)
        losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
        return jnp.mean(losses)

    ceiling = CEILING_OVER_CHANCE * math.log(classes)
    return Task(name, init, loss, data, batch_size, ceiling)
