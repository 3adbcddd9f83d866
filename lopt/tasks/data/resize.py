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
