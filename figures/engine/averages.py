"""Running means of noisy curves."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# The paper's coefficient.
SMOOTHING = 0.98


def smooth(values: NDArray[Any], width: int) -> NDArray[np.float64]:
    """Return the running mean over the last axis, with a shorter window at the beginning."""
    sums = np.cumsum(np.asarray(values, np.float64), axis=-1)
    sums[..., width:] = sums[..., width:] - sums[..., :-width]
    counts = np.minimum(np.arange(1, sums.shape[-1] + 1), width)
    return np.asarray(sums / counts)


def moving_average(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the bias-corrected exponential moving average with the paper's coefficient.

    Examples
    --------
    >>> bool(np.allclose(moving_average(np.full(5, 2.0)), 2.0))
    True
    """
    mean, found = 0.0, np.empty(len(values))
    for k, value in enumerate(values):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        found[k] = mean / (1 - SMOOTHING ** (k + 1))
    return found
