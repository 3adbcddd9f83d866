"""A data set as one ``.npz`` file: two splits of uint8 images and labels, never a pickle.

The keys are ``train_images`` and ``test_images``, uint8 ``[n, height, width(, channels)]``, and
``train_labels`` and ``test_labels``, uint8 ``[n]`` from 0; further keys are ignored.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lopt.files import written_whole
from nqm.archives import Header, open_npz
from nqm.untrusted import quoted, reading

SPLITS = ("train", "test")
KEYS = tuple(f"{split}_{part}" for split in SPLITS for part in ("images", "labels"))


def read_headers(path: Path) -> dict[str, Header]:
    """Shape and dtype of each of the four arrays, from their headers alone.

    Raises
    ------
    ValueError
        Where the file cannot be read, or lacks a key.
    """
    with _reading(path), open_npz(path) as archive:
        return {key: archive.header(key) for key in KEYS}


def check_headers(
    path: Path, headers: Mapping[str, Header], shape: tuple[int, ...], classes: int
) -> None:
    """An error unless the arrays are uint8, images of `shape`, with a label each.

    Checked before anything is read, so that no header makes memory be taken for what is not there.
    """
    for split in SPLITS:
        of_images, of_labels = (headers[f"{split}_{part}"] for part in ("images", "labels"))
        if of_images.dtype != np.uint8 or of_labels.dtype != np.uint8:
            raise ValueError(
                f"{path} must hold uint8; its {split} images are {of_images.dtype}, its {split} "
                f"labels {of_labels.dtype}. {_again(path)}"
            )
        images, labels = of_images.shape, of_labels.shape
        if images[1:] != shape or not images[0] or labels != images[:1]:
            raise ValueError(
                f"{path} must hold {split}_images [n, {', '.join(map(str, shape))}] and "
                f"{split}_labels [n] of {classes} classes; their shapes are "
                f"{quoted(list(images))} and {quoted(list(labels))}. {_again(path)}"
            )


def read_arrays(path: Path, shape: tuple[int, ...], classes: int) -> dict[str, NDArray[np.uint8]]:
    """The four arrays of a data set whose images have this shape.

    Raises
    ------
    ValueError
        Where the file is damaged, or holds something else.
    """
    check_headers(path, read_headers(path), shape, classes)
    with _reading(path), open_npz(path) as archive:
        arrays = {key: archive.read(key, "u") for key in KEYS}
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


def _reading(path: Path) -> AbstractContextManager[None]:
    return reading(path, "cannot be read as a data set", _again(path))


def _again(path: Path) -> str:
    return f"Delete {path.name} there and fetch it again (lopt data list shows how)."
