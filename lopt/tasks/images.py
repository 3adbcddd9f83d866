"""Image classification by ReLU networks with softmax cross-entropy."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from lopt.tasks.datasets import Images, fashion_mnist_8x8
from lopt.tasks.task import Task

# Half again as much as guessing uniformly costs: above it an inner run counts as diverged.
CEILING_OVER_CHANCE = 1.5

Layer = dict[str, jax.Array]


def mlp_init(key: jax.Array, sizes: Sequence[int]) -> list[Layer]:
    """Dense layers ``{"w": [in, out], "b": [out]}``: weights normal with variance 1/in,
    biases zero.
    """
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        {
            "w": jax.random.normal(k, (fan_in, fan_out), jnp.float32) / math.sqrt(fan_in),
            "b": jnp.zeros((fan_out,), jnp.float32),
        }
        for k, fan_in, fan_out in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def mlp_logits(params: Sequence[Layer], inputs: jax.Array) -> jax.Array:
    """Logits ``[batch, classes]`` of inputs ``[batch, features]``, ReLU between the layers."""
    *hidden, last = params
    for layer in hidden:
        inputs = jax.nn.relu(inputs @ layer["w"] + layer["b"])
    return inputs @ last["w"] + last["b"]


def mlp_loss(params: Sequence[Layer], key: jax.Array, batch: Images) -> jax.Array:
    """Mean softmax cross-entropy of uint8 images, scaled to [0, 1], in nats."""
    del key
    images = jnp.asarray(batch.images)
    inputs = images.reshape(images.shape[0], -1).astype(jnp.float32) / 255.0
    labels = jnp.asarray(batch.labels)
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(
        mlp_logits(params, inputs), labels.astype(jnp.int32)
    )
    return jnp.mean(losses)


def mlp_task(name: str, images: Images, hidden: Sequence[int], batch_size: int = 128) -> Task:
    """Classify `images` with a ReLU MLP of the given hidden widths.

    Examples
    --------
    >>> task = mlp_task("tiny", fashion_mnist_8x8().train, hidden=(32,))
    >>> params = task.init(jax.random.key(0))
    >>> batch = task.sample(jax.random.key(1), task.data)
    >>> 1.5 < float(task.loss(params, jax.random.key(2), batch)) < 3.5
    True
    """
    features = math.prod(images.images.shape[1:])
    classes = int(images.labels.max()) + 1
    sizes = (features, *hidden, classes)
    return Task(
        name=name,
        init=lambda key: mlp_init(key, sizes),
        loss=mlp_loss,
        data=Images(jnp.asarray(images.images), jnp.asarray(images.labels)),
        batch_size=batch_size,
        loss_ceiling=CEILING_OVER_CHANCE * math.log(classes),
    )


def fashion_mnist_8x8_mlp() -> Task:
    """The embedded task: 8x8 Fashion-MNIST, one hidden layer of 32 units, batch 128."""
    return mlp_task("fashion-mnist-8x8-mlp", fashion_mnist_8x8().train, hidden=(32,))
