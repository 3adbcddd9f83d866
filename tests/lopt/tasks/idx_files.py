"""IDX files as MNIST publishes them, of any array."""

import gzip
import struct

import numpy as np


def idx(array: np.ndarray) -> bytes:
    """The gzipped IDX file of a uint8 array."""
    header = struct.pack(">4B", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)
