"""A data set as one ``.npz`` file: two splits of uint8 images and labels, never a pickle.

The keys are ``train_images`` and ``test_images``, uint8 ``[n, height, width(, channels)]``, and
``train_labels`` and ``test_labels``, uint8 ``[n]`` from 0; further keys are ignored.
"""

import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from lopt.optimizers.whole import written_whole

SPLITS = ("train", "test")
KEYS = tuple(f"{split}_{part}" for split in SPLITS for part in ("images", "labels"))
# What a damaged archive makes zipfile, zlib and NumPy raise.
DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    TypeError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)

Header = tuple[tuple[int, ...], np.dtype[Any]]


def read_headers(path: Path) -> dict[str, Header]:
    """Shape and dtype of each of the four arrays, from their headers alone.

    Raises
    ------
    ValueError
        Where the file cannot be read, or lacks a key.
    """
    try:
        with path.open("rb") as raw, zipfile.ZipFile(raw) as archive:
            return {key: _header(archive, key) for key in KEYS}
    except DAMAGED as error:
        raise _damaged(path, error) from None


def _header(archive: zipfile.ZipFile, key: str) -> Header:
    """Shape and dtype of a member, which must be as long as they say."""
    with archive.open(f"{key}.npy") as member:
        major = npy.read_magic(member)[0]
        read = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
        shape, _, dtype = read(member)
        begun = member.tell()
    if archive.getinfo(f"{key}.npy").file_size != begun + math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{key} is not as long as its header says")
    return shape, dtype


def check_headers(
    path: Path, headers: Mapping[str, Header], shape: tuple[int, ...], classes: int
) -> None:
    """An error unless the arrays are uint8, images of `shape`, with a label each.

    Checked before anything is read, so that no header makes memory be taken for what is not there.
    """
    for split in SPLITS:
        (images, image_dtype), (labels, label_dtype) = (
            headers[f"{split}_{part}"] for part in ("images", "labels")
        )
        if image_dtype != np.uint8 or label_dtype != np.uint8:
            raise ValueError(
                f"{path} must hold uint8; its {split} images are {image_dtype}, its {split} "
                f"labels {label_dtype}. {_again(path)}"
            )
        if images[1:] != shape or not images[0] or labels != images[:1]:
            raise ValueError(
                f"{path} must hold {split}_images [n, {', '.join(map(str, shape))}] and "
                f"{split}_labels [n] of {classes} classes; their shapes are {list(images)} and "
                f"{list(labels)}. {_again(path)}"
            )


def read_arrays(path: Path, shape: tuple[int, ...], classes: int) -> dict[str, NDArray[np.uint8]]:
    """The four arrays of a data set whose images have this shape.

    Raises
    ------
    ValueError
        Where the file is damaged, or holds something else.
    """
    check_headers(path, read_headers(path), shape, classes)
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {key: file[key] for key in KEYS}
    except DAMAGED as error:
        raise _damaged(path, error) from None
    for split in SPLITS:
        largest = int(arrays[f"{split}_labels"].max())
        if largest >= classes:
            raise ValueError(
                f"{path} has label {largest} in {split}_labels; there are {classes} classes, "
                f"from 0. {_again(path)}"
            )
    return arrays


def write_arrays(path: Path, arrays: Mapping[str, NDArray[np.uint8]]) -> None:
    """Write a data set, whole or not at all."""
    kept: dict[str, Any] = {key: arrays[key] for key in KEYS}
    with written_whole(path) as file:
        np.savez(file, **kept)


def _damaged(path: Path, error: BaseException) -> ValueError:
    what = " ".join(str(error).split()) or type(error).__name__
    return ValueError(f"{path} cannot be read as a data set ({what}). {_again(path)}")


def _again(path: Path) -> str:
    return f"Delete {path.name} there and fetch it again (lopt data list shows how)."
