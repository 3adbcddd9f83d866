"""Image data sets as uint8 arrays; one is embedded in the package."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

EMBEDDED = Path(__file__).with_name("fashion_mnist_8x8.npz")


class Images(NamedTuple):
    """Images uint8 ``[n, height, width]`` or ``[n, height, width, channels]`` with labels
    ``[n]`` from 0.
    """

    images: NDArray[np.uint8] | jax.Array
    labels: NDArray[np.uint8] | jax.Array


class ImageDataset(NamedTuple):
    """A training and a test split."""

    train: Images
    test: Images


@cache
def fashion_mnist_8x8() -> ImageDataset:
    """Fashion-MNIST, 60,000 + 10,000 images averaged to 8x8; ``make_fashion_mnist_8x8`` made the
    file.

    Examples
    --------
    >>> data = fashion_mnist_8x8()
    >>> data.train.images.shape, data.test.images.shape, data.train.images.dtype.name
    ((60000, 8, 8), (10000, 8, 8), 'uint8')
    """
    with np.load(EMBEDDED, allow_pickle=False) as file:
        return ImageDataset(
            Images(file["train_images"], file["train_labels"]),
            Images(file["test_images"], file["test_labels"]),
        )
