"""A shallow residual network of bottleneck blocks, version 2."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from lopt.tasks.models.layers import BatchNorm, haiku_weights
from lopt.tasks.networks import convolution_by_shifts

STEM_CHANNELS, BOTTLENECK = 64, 4


class ResNet(nn.Module):
    """Logits ``[batch, classes]`` of images ``[batch, height, width, channels]``.

    A convolution of stride 2, 3x3 max-pooling of stride 2, one bottleneck block for each number of
    `channels` (the first of stride 1, the others of 2, each with a projected shortcut), batch
    normalization, ReLU, the mean over space, and a dense layer that starts at zero, so that the
    initial loss is log(classes). Convolutions have no bias; normalization uses the batch always.
    learned_optimization's ``Resnet_MultiRuntime_5`` has this form.

    Examples
    --------
    >>> network = ResNet(channels=(8, 16), classes=3)
    >>> shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.ones((2, 8, 8, 3)))["params"]
    >>> shapes["Bottleneck_1"]["Conv_2"]["kernel"].shape, shapes["Dense_0"]["kernel"].shape
    ((3, 3, 4, 4), (16, 3))
    """

    channels: tuple[int, ...] = (128, 256, 512, 512)
    classes: int = 1000
    kernel: int = 5

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """The logits."""
        x = _convolution(STEM_CHANNELS, self.kernel, 2)(images)
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
        for place, width in enumerate(self.channels):
            x = Bottleneck(width, stride=2 if place else 1)(x)
        x = jnp.mean(nn.relu(BatchNorm()(x)), axis=(1, 2))
        return nn.Dense(self.classes, kernel_init=nn.initializers.zeros)(x)


class Bottleneck(nn.Module):
    """Three convolutions, each after batch normalization and ReLU, beside a projected shortcut."""

    width: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """The sum of both branches."""
        inner = self.width // BOTTLENECK
        x = nn.relu(BatchNorm()(x))
        shortcut = _convolution(self.width, 1, self.stride)(x)
        x = _convolution(inner, 1, 1)(x)
        x = _convolution(inner, 3, self.stride)(nn.relu(BatchNorm()(x)))
        x = _convolution(self.width, 1, 1)(nn.relu(BatchNorm()(x)))
        return x + shortcut


def _convolution(width: int, kernel: int, stride: int) -> nn.Conv:
    return nn.Conv(
        width,
        (kernel, kernel),
        strides=stride,
        use_bias=False,
        kernel_init=haiku_weights,
        conv_general_dilated=convolution_by_shifts,
    )
