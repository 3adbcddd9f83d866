"""Image data sets as uint8 arrays, by name; one is embedded in the package.

The others are looked for as ``.npz`` files (`lopt.tasks.data.cache` has their layout) in the folder
that the environment variable ``LOPT_DATA_DIR`` names, then in the user's cache,
``$XDG_CACHE_HOME/lopt`` or ``~/.cache/lopt``. Fashion-MNIST is also found where Debian's package
``dataset-fashion-mnist`` puts it. ``lopt data fetch NAME`` brings them.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from lopt.tasks.data.cache import check_headers, read_arrays, read_headers
from lopt.tasks.data.idx import FILES, read_idx_folder
from nqm.untrusted import quoted

EMBEDDED = Path(__file__).with_name("fashion_mnist_8x8.npz")
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
DATA_DIR = "LOPT_DATA_DIR"


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


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set before it is found.

    Attributes
    ----------
    name
        As on the command line.
    shape
        Of one image, without the number of images.
    classes
        Labels are below it.
    remedy
        What brings the data set where it is missing.
    """

    name: str
    shape: tuple[int, ...]
    classes: int
    remedy: str

    @property
    def file_name(self) -> str:
        """The name of its ``.npz`` file."""
        return self.name.replace("-", "_") + ".npz"

    @property
    def places(self) -> tuple[Path, ...]:
        """Files and folders that it is looked for in, the first found being taken."""
        if self.name == "fashion-mnist-8x8":
            return (EMBEDDED,)
        files = tuple(folder / self.file_name for folder in folders())
        return (*files, DEBIAN_FASHION_MNIST) if self.name == "fashion-mnist" else files

    def find(self) -> Path | None:
        """The first of its places where something lies, None where there is none."""
        return next((place for place in self.places if _is_there(place)), None)

    def sizes(self, place: Path) -> tuple[int, int]:
        """Images of the two splits at a place, from the headers of its file."""
        if place == DEBIAN_FASHION_MNIST:
            return 60_000, 10_000  # its checksums are verified on reading
        headers = read_headers(place)
        check_headers(place, headers, self.shape, self.classes)
        return headers["train_labels"][0][0], headers["test_labels"][0][0]


def _fetched(name: str, shape: tuple[int, ...], classes: int) -> Dataset:
    return Dataset(name, shape, classes, f"lopt data fetch {name}")


DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset("fashion-mnist-8x8", (8, 8), 10, "reinstall the package, which embeds it"),
        _fetched("fashion-mnist", (28, 28), 10),
        _fetched("mnist", (28, 28), 10),
        _fetched("cifar10", (32, 32, 3), 10),
        _fetched("cifar100", (32, 32, 3), 100),
        Dataset(
            "imagenet32-tiny200",
            (32, 32, 3),
            200,
            "there is no canonical download; put imagenet32_tiny200.npz, Tiny ImageNet averaged "
            f"to 32x32, into the folder that {DATA_DIR} names",
        ),
    )
}


def folders() -> tuple[Path, ...]:
    """Where ``.npz`` files are looked for: ``$LOPT_DATA_DIR`` if set, then the user's cache."""
    given = os.environ.get(DATA_DIR)
    return (*([Path(given)] if given else []), cache_folder())


def cache_folder() -> Path:
    """The user's cache, ``$XDG_CACHE_HOME/lopt`` or ``~/.cache/lopt``; relative values of the
    variable are ignored, as its specification asks.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "lopt"


def dataset(name: str) -> Dataset:
    """The data set of this name.

    Raises
    ------
    ValueError
        Where there is none; the message names the nearest.

    Examples
    --------
    >>> dataset("cifar10").shape
    (32, 32, 3)
    """
    if name in DATASETS:
        return DATASETS[name]
    near = get_close_matches(name[:100], DATASETS, 1, cutoff=0.0)[0]
    raise ValueError(
        f"no data set is called {quoted(name)}; the nearest is {near}, all are "
        f"{', '.join(DATASETS)}."
    )


def load_dataset(name: str) -> ImageDataset:
    """The data set of this name, read from the first place where it lies.

    Raises
    ------
    ValueError
        Where the name is unknown, the data set is missing (the message has the command that
        brings it), or its file is damaged.

    Examples
    --------
    >>> load_dataset("fashion-mnist-8x8").test.images.shape
    (10000, 8, 8)
    """
    wanted = dataset(name)
    place = wanted.find()
    if place is None:
        raise ValueError(
            f"{name} is not in {' nor in '.join(map(str, wanted.places))}. Get it: {wanted.remedy}"
        )
    if place == DEBIAN_FASHION_MNIST:
        return splits(read_idx_folder(place))
    return splits(read_arrays(place, wanted.shape, wanted.classes))


def splits(arrays: Mapping[str, NDArray[np.uint8]]) -> ImageDataset:
    """The two splits of four named arrays."""
    return ImageDataset(
        Images(arrays["train_images"], arrays["train_labels"]),
        Images(arrays["test_images"], arrays["test_labels"]),
    )


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
    return load_dataset("fashion-mnist-8x8")


def _is_there(place: Path) -> bool:
    """Whether a file, or all of Debian's files, can be found; unreadable folders hold nothing."""
    if place == DEBIAN_FASHION_MNIST:
        return all(os.path.isfile(place / file) for file in FILES.values())
    return os.path.isfile(place)
