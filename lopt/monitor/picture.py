"""Pictures of eigenvalues; matplotlib is imported when one is drawn."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lopt.monitor.eigen import EigenEstimate

__all__ = ["complex_plane", "pyplot"]

# Okabe and Ito's palette.
COLOURS, MARKERS = ("#0072B2", "#D55E00", "#CC79A7"), ("o", "s", "^")


def pyplot() -> Any:
    """matplotlib.pyplot, or an error that says how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ValueError(
            "a picture needs matplotlib; install it with: pip install 'nqm-lopt[figures]'."
        ) from None
    return plt


def complex_plane(estimates: Mapping[str, EigenEstimate], axes: Any = None) -> Any:
    """Eigenvalues by name, filled where converged, over the unit circle; returns the axes."""
    plt = pyplot()
    if axes is None:
        _, axes = plt.subplots(figsize=(4.2, 4.2), layout="constrained")
    axes.add_patch(plt.Circle((0, 0), 1, facecolor="#EEF4F8", edgecolor="#777777", zorder=0))
    axes.axhline(0, color="#777777", lw=0.5, zorder=0)
    axes.axvline(0, color="#777777", lw=0.5, zorder=0)
    reach = 1.1
    for (name, found), colour, marker in zip(estimates.items(), COLOURS, MARKERS, strict=False):
        values = np.asarray(found.values, complex)
        faces = [colour if sure else "none" for sure in found.converged]
        axes.scatter(
            values.real, values.imag, s=26, marker=marker, label=name, c=faces, edgecolors=colour
        )
        reach = max(reach, 1.05 * float(np.nanmax(np.abs(values), initial=0.0)))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="real", ylabel="imaginary")
    axes.set_aspect("equal")
    axes.legend(loc="lower left", fontsize=8, frameon=False)
    return axes
