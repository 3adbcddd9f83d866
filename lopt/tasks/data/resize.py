"""Images averaged to a smaller size."""

import numpy as np
from numpy.typing import NDArray


def box_average(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Images ``[n, s, s(, channels)]`` averaged over boxes to ``[n, side, side(, channels)]``,
    rounded half up.

    Raises
    ------
    ValueError
        Where `side` does not divide s.

    Examples
    --------
    >>> box_average(np.array([[[0, 1], [1, 0]]], np.uint8), 1).tolist()   # the mean is 1/2
    [[[1]]]
    """
    own = images.shape[1]
    if side < 1 or own % side:
        raise ValueError(f"side must divide {own}; it is {side}.")
    box = own // side
    if box == 1:
        return images
    total = np.zeros((images.shape[0], side, side, *images.shape[3:]), np.uint32)
    for row in range(box):
        for column in range(box):
            total += images[:, row::box, column::box]
    return ((2 * total + box**2) // (2 * box**2)).astype(np.uint8)


def box_filter(images: NDArray[np.uint8], size: int = 8) -> NDArray[np.uint8]:
    """Images ``[n, s, s(, channels)]`` averaged over ``size x size`` equal boxes, which may cut
    pixels, rounded half up; the same as `box_average` where the size divides s.

    Examples
    --------
    Three pixels on two: each new one covers one pixel and a half.

    >>> box_filter(np.array([[[0, 30, 60]] * 3], np.uint8), 2)[0].tolist()
    [[10, 50], [10, 50]]
    """
    side = images.shape[1]
    if side % size == 0:
        return box_average(images, size)
    # In units of 1/size pixel, pixel j covers [size j, size (j+1)] and box i covers [side i, side
    # (i+1)].
    pixel = size * np.arange(side)
    box = side * np.arange(size)[:, None]
    overlap = np.minimum(box + side, pixel + size) - np.maximum(box, pixel)
    weight = np.maximum(overlap, 0)  # [size, side], rows sum to side
    total = np.einsum(
        "ir,nrc...,jc->nij...", weight, images.astype(np.int64), weight, optimize=True
    )
    return ((2 * total + side * side) // (2 * side * side)).astype(np.uint8)
