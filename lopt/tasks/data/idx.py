"""IDX, the format in which MNIST and Fashion-MNIST are published: a header and uint8 numbers."""

import gzip
import hashlib
import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nqm.untrusted import reading, regular_size

# Bytes that a file unpacks to; MNIST's training images are 47 million.
LARGEST, BLOCK = 2**28, 2**20
# The four files of either data set, by the name of the array that they hold.
FILES = {
    "train_images": "train-images-idx3-ubyte.gz",
    "train_labels": "train-labels-idx1-ubyte.gz",
    "test_images": "t10k-images-idx3-ubyte.gz",
    "test_labels": "t10k-labels-idx1-ubyte.gz",
}
# Of what Fashion-MNIST's files unpack to: they are published under more than one compression.
FASHION_MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",  # noqa: E501
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",  # noqa: E501
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def read_idx(path: Path, sha256: str | None = None) -> NDArray[np.uint8]:
    """The uint8 array of one gzipped IDX file, whose unpacked SHA-256 must be `sha256` if given.

    Raises
    ------
    ValueError
        Where the file cannot be read or unpacked, has another checksum, or is not IDX.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels.gz"
    >>> _ = path.write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 2, 5, 7])))
    >>> read_idx(path).tolist()
    [5, 7]
    """
    with reading(path, "cannot be unpacked", "Fetch the file again."):
        data = _unpacked(path)
    found = hashlib.sha256(data).hexdigest() if sha256 else None
    if found != sha256:
        raise ValueError(
            f"{path} unpacks to SHA-256 {found}; the canonical file to {sha256}. "
            "Fetch the file again."
        )
    rank = data[3] if data[:3] == b"\0\0\x08" and len(data) > 3 else 0
    start = 4 + 4 * rank
    if rank and len(data) >= start:
        shape = struct.unpack(f">{rank}I", data[4:start])
        if len(data) == start + math.prod(shape):
            return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
    raise ValueError(
        f"{path} is no IDX file of uint8 numbers, or its size is not what its header says. "
        "Fetch the file again."
    )


def _unpacked(path: Path) -> bytes:
    """What a gzipped file unpacks to, of at most `LARGEST` bytes."""
    regular_size(path)
    data = bytearray()
    with gzip.open(path) as file:
        while block := file.read(BLOCK):
            data += block
            if len(data) > LARGEST:
                raise ValueError(
                    f"it unpacks to more than {LARGEST} bytes, the most that are read here"
                )
    return bytes(data)


def read_idx_folder(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """Fashion-MNIST's four arrays by name, from a folder with the canonical files."""
    return {
        array: read_idx(folder / file, FASHION_MNIST_SHA256[file]) for array, file in FILES.items()
    }
