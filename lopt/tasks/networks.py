"""The networks of the image tasks.

They are Flax linen modules because a linen module is what a task is, a pair of pure functions,
``init`` from a key to a plain pytree and ``apply`` from that pytree to logits, which `jax.vmap`
carries over particles as it is; Flax NNX keeps parameters in objects that would have to be split
and merged around every call.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from lopt.tasks.models.layers import normalization

KERNEL = (3, 3)
# Weights of variance 1 / fan_in; biases are zero, linen's default.
unit_variance = nn.initializers.variance_scaling(1.0, "fan_in", "normal")


class MLP(nn.Module):
    """Logits ``[batch, classes]`` of images ``[batch, ...]``: dense layers, ReLU between them.

    Parameters
    ----------
    hidden
        Units of the hidden layers.
    classes
        Width of the last layer.
    activation
        Elementwise, after each hidden layer.
    norm
        ``layer`` or ``batch``, between a hidden layer and its activation; None for none. Batch
        normalization uses the statistics of the batch always.
    dropout
        Share of the units of a hidden layer that is zeroed, always; it needs the random stream
        ``dropout``.
    kernel_init
        Draws the weights: `unit_variance`, or `lopt.tasks.models.layers.haiku_weights` as the
        tasks of the suite have them. Biases are zero.

    Examples
    --------
    >>> network = MLP(hidden=(32,), classes=10)
    >>> params = network.init(jax.random.key(0), jnp.zeros((1, 8, 8)))["params"]
    >>> jax.tree.map(jnp.shape, params)["Dense_0"]
    {'bias': (32,), 'kernel': (64, 32)}
    """

    hidden: tuple[int, ...]
    classes: int
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    norm: str | None = None
    dropout: float = 0.0
    kernel_init: nn.initializers.Initializer = unit_variance

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """The logits."""
        x = images.reshape(images.shape[0], -1)
        for width in self.hidden:
            x = nn.Dense(width, kernel_init=self.kernel_init)(x)
            if (norm := normalization(self.norm)) is not None:
                x = norm(x)
            if self.dropout:
                x = nn.Dropout(self.dropout, deterministic=False)(x)
            x = self.activation(x)
        return nn.Dense(self.classes, kernel_init=self.kernel_init)(x)


class ConvNet(nn.Module):
    """Logits ``[batch, classes]`` of images ``[batch, height, width(, channels)]``: 3x3
    convolutions with ReLU, the first of stride 2, then the mean over space and a dense layer.

    Appendix B.2 leaves open what joins the convolutions to the dense layer; the mean over space is
    what the task that it cites does (learned_optimization's ``Conv_Cifar10_32x64x64``).

    Parameters
    ----------
    channels
        Of each convolution.
    classes
        Width of the dense layer.
    norm
        As in `MLP`, but after the ReLU.
    kernel_init
        As in `MLP`.

    Examples
    --------
    >>> network = ConvNet(channels=(4, 8), classes=10)
    >>> params = network.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))["params"]
    >>> params["Conv_1"]["kernel"].shape, params["Dense_0"]["kernel"].shape
    ((3, 3, 4, 8), (8, 10))
    """

    channels: tuple[int, ...]
    classes: int
    norm: str | None = None
    kernel_init: nn.initializers.Initializer = unit_variance

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """The logits."""
        x = images if images.ndim == 4 else images[..., None]
        for layer, width in enumerate(self.channels):
            convolution = nn.Conv(
                width,
                KERNEL,
                strides=1 if layer else 2,
                kernel_init=self.kernel_init,
                conv_general_dilated=convolution_by_shifts,
            )
            x = nn.relu(convolution(x))
            if (norm := normalization(self.norm)) is not None:
                x = norm(x)
        return nn.Dense(self.classes, kernel_init=self.kernel_init)(jnp.mean(x, axis=(1, 2)))


def convolution_by_shifts(
    inputs: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    **plain: Any,
) -> jax.Array:
    """`jax.lax.conv_general_dilated` in NHWC as shifted copies of the inputs and one product.

    Under `jax.vmap` over kernels XLA makes one grouped convolution of all particles, which its CPU
    code runs at half the speed of this (``python -m benchmarks.convnet``). Costs the memory
    of one copy of the inputs for every entry of the kernel.

    Parameters
    ----------
    inputs
        ``[batch, height, width, in]``.
    kernel
        ``[kernel height, kernel width, in, out]``.
    strides, padding
        As for `jax.lax.conv_general_dilated`.
    **plain
        The further arguments that `flax.linen.Conv` passes; no dilation and no groups.

    Examples
    --------
    >>> x, k = jnp.arange(16.0).reshape(1, 4, 4, 1), jnp.arange(9.0).reshape(3, 3, 1, 1)
    >>> dimensions = ("NHWC", "HWIO", "NHWC")
    >>> lax = jax.lax.conv_general_dilated(x, k, (2, 2), "SAME", dimension_numbers=dimensions)
    >>> bool(jnp.allclose(convolution_by_shifts(x, k, (2, 2), "SAME"), lax))
    True
    """
    dilated = [*(plain.get("lhs_dilation") or ()), *(plain.get("rhs_dilation") or ())]
    if any(d != 1 for d in dilated) or plain.get("feature_group_count", 1) != 1:
        raise ValueError("convolution_by_shifts has no dilation and no groups; use lax's.")
    height, width, _, features = kernel.shape
    if isinstance(padding, str):
        padding = jax.lax.padtype_to_pads(inputs.shape[1:3], (height, width), strides, padding)
    padded = jnp.pad(inputs, ((0, 0), *padding, (0, 0)))
    rows = (padded.shape[1] - height) // strides[0] + 1
    columns = (padded.shape[2] - width) // strides[1] + 1
    shifted = [
        padded[
            :,
            i : i + (rows - 1) * strides[0] + 1 : strides[0],
            j : j + (columns - 1) * strides[1] + 1 : strides[1],
        ]
        for i in range(height)
        for j in range(width)
    ]
    return jnp.concatenate(shifted, axis=-1) @ kernel.reshape(-1, features)
