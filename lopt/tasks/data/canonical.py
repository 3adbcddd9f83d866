"""The files that the authors of a data set publish, turned into its four arrays.

CIFAR's archives hold pickles, which may run any code when read. Here nothing can be called but
what rebuilds a NumPy array or a byte string.
"""

import io
import pickle
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lopt.tasks.data.idx import FILES, read_idx

Arrays = dict[str, NDArray[np.uint8]]

ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),  # its name before NumPy 2
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}


class _ArrayUnpickler(pickle.Unpickler):
    """Reads containers, numbers, strings and NumPy arrays, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a data set")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def unpickle_arrays(data: bytes) -> Any:
    """What a pickle holds, strings of Python 2 as bytes.

    Raises
    ------
    ValueError
        Where it is damaged, or names anything but arrays.

    Examples
    --------
    >>> unpickle_arrays(pickle.dumps({b"labels": [3, 1]}))
    {b'labels': [3, 1]}
    """
    try:
        return _ArrayUnpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a damaged pickle raises whatever it stumbles over
        raise ValueError(f"a pickle cannot be read ({error})") from None


def from_idx(files: Sequence[Path]) -> Arrays:
    """The arrays of MNIST's four files, in the order of `lopt.tasks.data.idx.FILES`."""
    return {name: read_idx(file) for name, file in zip(FILES, files, strict=True)}


def from_cifar10(files: Sequence[Path]) -> Arrays:
    """The arrays of ``cifar-10-python.tar.gz``, its five training batches in their order."""
    train = [f"cifar-10-batches-py/data_batch_{k}" for k in range(1, 6)]
    return _from_cifar(files[0], train, ["cifar-10-batches-py/test_batch"], b"labels")


def from_cifar100(files: Sequence[Path]) -> Arrays:
    """The arrays of ``cifar-100-python.tar.gz``, with the 100 fine labels."""
    return _from_cifar(
        files[0], ["cifar-100-python/train"], ["cifar-100-python/test"], b"fine_labels"
    )


def _from_cifar(path: Path, train: list[str], test: list[str], labels: bytes) -> Arrays:
    arrays: Arrays = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for split, members in (("train", train), ("test", test)):
                batches = [unpickle_arrays(_member(archive, member)) for member in members]
                pixels = np.concatenate([_pixels(batch[b"data"]) for batch in batches])
                # Rows of 3072 bytes: the red plane, the green, the blue.
                images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
                arrays[f"{split}_images"] = np.ascontiguousarray(images)
                arrays[f"{split}_labels"] = np.array(
                    [label for batch in batches for label in batch[labels]], np.uint8
                )
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is no archive of CIFAR ({error}).") from None
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} does not hold what CIFAR's archive does ({error}).") from None
    return arrays


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    """A file of the archive, read without being written anywhere."""
    member = archive.extractfile(name)
    if member is None:
        raise ValueError(f"{name} is no file")
    with member:
        return member.read()


def _pixels(data: Any) -> NDArray[np.uint8]:
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2:
        raise ValueError("data is no matrix of uint8")
    return data
