"""Make the embedded 8x8 Fashion-MNIST from the four canonical IDX files.

    python -m lopt.tasks.data.make_fashion_mnist_8x8 FOLDER [OUTPUT]

FOLDER holds the ``.gz`` files as the authors publish them
(https://github.com/zalandoresearch/fashion-mnist, MIT licence, copyright 2017 Zalando SE);
Debian's package ``dataset-fashion-mnist`` puts them into ``/usr/share/datasets/fashion-mnist``.
The SHA-256 of what they unpack to is checked first (the same data is published under more than one
compression). Every image is averaged over 8 x 8 boxes of 3.5 x 3.5 pixels, exactly (in integers),
and rounded half up to uint8.
"""

import sys
from pathlib import Path

import numpy as np

from lopt.tasks.data.idx import read_idx_folder
from lopt.tasks.data.resize import box_filter


def main(arguments: list[str]) -> None:
    """Read the IDX files in ``arguments[0]`` and write the array file."""
    folder = Path(arguments[0])
    output = Path(
        arguments[1] if len(arguments) > 1 else Path(__file__).parent / "fashion_mnist_8x8.npz"
    )
    arrays = {
        name: box_filter(array) if name.endswith("images") else array
        for name, array in read_idx_folder(folder).items()
    }
    np.savez_compressed(output, **arrays)  # type: ignore[arg-type]
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
