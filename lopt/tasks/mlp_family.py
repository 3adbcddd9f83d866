"""A family of multi-layer perceptrons on images, with random widths, activations, batches, data."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lopt.checks import require
from lopt.tasks.data.datasets import Images
from lopt.tasks.family import TaskFamily
from lopt.tasks.images import CEILING_OVER_CHANCE
from lopt.tasks.task import Task, take

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "gelu": jax.nn.gelu,
    "swish": jax.nn.swish,
}


def mlp_family(
    name: str,
    data: Sequence[Images],
    classes: int,
    hidden: Sequence[tuple[int, ...]] = ((32,),),
    activations: Sequence[str] = ("relu",),
    batch_sizes: Sequence[int] = (128,),
) -> TaskFamily:
    """Return the family of classifiers with every combination of the given choices, all equally
    likely; its representative takes the first of each.

    A network narrower than the widest one is padded: what belongs to a missing unit is zero, its
    gradient too, and its weights are drawn for its own width. The padding changes what an
    optimizer sees only in quantities that it computes from whole tensors. A batch smaller than the
    largest one leaves the last examples out of the mean.

    Parameters
    ----------
    name
        How messages call the family.
    data
        Data sets with images of one shape. Of a longer one only as many examples are used as the
        shortest has.
    classes
        Number of classes of every data set; the loss ceiling is 1.5 log(classes).
    hidden
        Widths of the hidden layers, each choice with the same number of layers.
    activations
        ``relu``, ``tanh``, ``gelu``, ``swish``.
    batch_sizes
        Numbers of examples a batch.

    Raises
    ------
    ValueError
        If a list is empty, the shapes of images or numbers of layers differ, or an activation is
        unknown.

    Examples
    --------
    >>> from lopt.tasks.data.datasets import fashion_mnist_8x8
    >>> images = fashion_mnist_8x8().train
    >>> family = mlp_family("tiny", [images], 10, hidden=[(32,), (8,)],
    ...                     activations=["relu", "tanh"])
    >>> drawn = family.draw(jax.random.key(0))
    >>> member = family.member(drawn)
    >>> batch = member.batch(family.data, family.indices(jax.random.key(1), 1)[0])
    >>> 1.5 < float(member.loss(member.init(jax.random.key(2)), jax.random.key(3), batch)) < 3.5
    True
    """
    named = {"data": data, "hidden": hidden, "activations": activations, "batch_sizes": batch_sizes}
    for label, values in named.items():
        if not len(values):
            raise ValueError(f"{label} must have at least one entry; it is empty.")
    layers = {len(widths) for widths in hidden}
    shapes = {tuple(images.images.shape[1:]) for images in data}
    if len(layers) != 1:
        raise ValueError(f"hidden must have choices of equal length; they are {list(hidden)}.")
    if len(shapes) != 1:
        raise ValueError(f"data must have images of one shape; the shapes are {sorted(shapes)}.")
    if unknown := [a for a in activations if a not in ACTIVATIONS]:
        raise ValueError(
            f"activations must be among {', '.join(ACTIVATIONS)}; one is {unknown[0]!r}."
        )
    for size in batch_sizes:
        require("batch_sizes", size, size >= 1, "at least 1")
    joined = _interleaved(data)
    inputs, largest = math.prod(shapes.pop()), max(batch_sizes)
    widest = [inputs, *(max(column) for column in zip(*hidden, strict=True)), classes]
    table = jnp.array([(inputs, *widths, classes) for widths in hidden], jnp.int32)
    counts = (len(data), len(hidden), len(activations), len(batch_sizes))

    def distribution(key: jax.Array) -> jax.Array:
        return jnp.stack(
            [
                jax.random.randint(k, (), 0, count, jnp.int32)
                for k, count in zip(jax.random.split(key, len(counts)), counts, strict=True)
            ]
        )

    def make(drawn: Any) -> Task:
        source, width, activation, size = (drawn[k] for k in range(len(counts)))
        widths = table[width]
        masks = [(jnp.arange(most) < widths[k]) for k, most in enumerate(widest)]
        examples = jnp.array(batch_sizes)[size]

        def init(key: jax.Array) -> dict[str, Any]:
            params = {}
            for k, (rows, columns) in enumerate(pairwise(widest)):
                normal = jax.random.normal(jax.random.fold_in(key, k), (rows, columns))
                exists = masks[k][:, None] & masks[k + 1]
                kernel = jnp.where(exists, normal / jnp.sqrt(widths[k]), 0.0)
                params[f"Dense_{k}"] = {"kernel": kernel, "bias": jnp.zeros(columns)}
            return params

        def loss(params: Any, key: jax.Array, batch: Images) -> jax.Array:
            del key
            x = batch.images.astype(jnp.float32).reshape(batch.labels.shape[0], -1) / 255.0
            for k in range(len(widest) - 1):
                layer = params[f"Dense_{k}"]
                x = x @ layer["kernel"] + layer["bias"]
                if k < len(widest) - 2:
                    x = jnp.where(masks[k + 1], _chosen(activations, activation, x), 0.0)
            losses = optax.losses.softmax_cross_entropy_with_integer_labels(x, batch.labels)
            return jnp.sum(jnp.where(jnp.arange(losses.shape[0]) < examples, losses, 0)) / examples

        def gather(data: Images, indices: jax.Array) -> Images:
            count = counts[0]
            last = data.labels.shape[0] // count - 1
            return take(data, jnp.minimum(indices // count, last) * count + source)

        ceiling = CEILING_OVER_CHANCE * math.log(classes)
        return Task(name, init, loss, joined, largest, ceiling, gather=gather)

    first = jnp.zeros(len(counts), jnp.int32)
    return TaskFamily.around(make(first), distribution, make)


def _interleaved(data: Sequence[Images]) -> Images:
    """One example of each data set after the other, as many of each as the shortest has."""
    length = min(int(images.labels.shape[0]) for images in data)

    def join(*arrays: Any) -> jax.Array:
        together = jnp.stack([jnp.asarray(x[:length]) for x in arrays], axis=1)
        return together.reshape(-1, *together.shape[2:])

    return Images(join(*(d.images for d in data)), join(*(d.labels.astype("int32") for d in data)))


def _chosen(names: Sequence[str], index: jax.Array, x: jax.Array) -> jax.Array:
    """The activation at `index` of the units."""
    if len(names) == 1:
        return ACTIVATIONS[names[0]](x)
    return jnp.select([index == k for k in range(len(names))], [ACTIVATIONS[n](x) for n in names])
