"""Make the embedded 8x8 Fashion-MNIST from the four canonical IDX files.

    python -m lopt.tasks.make_fashion_mnist_8x8 FOLDER [OUTPUT]

FOLDER holds the ``.gz`` files as the authors publish them
(https://github.com/zalandoresearch/fashion-mnist, MIT licence, copyright 2017 Zalando SE);
Debian's package ``dataset-fashion-mnist`` puts them into ``/usr/share/datasets/fashion-mnist``.
The SHA-256 of what they unpack to is checked first (the same data is published under more than one
compression). Every image is averaged over 8 x 8 boxes of 3.5 x 3.5 pixels, exactly (in integers),
and rounded half up to uint8.
"""

import gzip
import hashlib
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHA256 = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",  # noqa: E501
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",  # noqa: E501
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The uint8 array of one gzipped IDX file, whose unpacked SHA-256 must be that in `SHA256`."""
    data = gzip.decompress(path.read_bytes())
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256[path.name]:
        raise ValueError(
            f"{path} unpacks to SHA-256 {found}; the canonical file to {SHA256[path.name]}. "
            "Fetch the file again."
        )
    rank = data[3]
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def box_filter(images: NDArray[np.uint8], size: int = 8) -> NDArray[np.uint8]:
    """Images ``[n, s, s]`` averaged over ``size x size`` equal boxes, which may cut pixels,
    rounded half up.
    """
    side = images.shape[-1]
    # In units of 1/size pixel, pixel j covers [size j, size (j+1)] and box i covers [side i, side
    # (i+1)].
    pixel = size * np.arange(side)
    box = side * np.arange(size)[:, None]
    overlap = np.minimum(box + side, pixel + size) - np.maximum(box, pixel)
    weight = np.maximum(overlap, 0)  # [size, side], rows sum to side
    total = np.einsum("ir,nrc,jc->nij", weight, images.astype(np.int64), weight, optimize=True)
    return ((2 * total + side * side) // (2 * side * side)).astype(np.uint8)


def main(arguments: list[str]) -> None:
    """Read the IDX files in ``arguments[0]`` and write the array file."""
    folder = Path(arguments[0])
    output = Path(
        arguments[1] if len(arguments) > 1 else Path(__file__).parent / "fashion_mnist_8x8.npz"
    )
    arrays: dict[str, Any] = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        arrays[f"{split}_images"] = box_filter(read_idx(folder / f"{prefix}-images-idx3-ubyte.gz"))
        arrays[f"{split}_labels"] = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
    np.savez_compressed(output, **arrays)
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
