"""Pictures of eigenvalues; matplotlib is imported when one is drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lopt.monitor.eigen import EigenEstimate

__all__ = ["complex_plane", "pyplot", "spectra_over_time"]

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
    if estimates:
        axes.legend(loc="lower left", fontsize=8, frameon=False)
    return axes


def spectra_over_time(measurements: Sequence[Mapping[str, Any]]) -> Any:
    """The measurements of a meta-training run, one row of panels for each probed inner step, the
    earlier ones first.

    Left: the converged joint eigenvalues in the complex plane, the later the darker. Right: the
    largest modulus, and that of oscillating eigenvalues, over the outer steps.

    Parameters
    ----------
    measurements : sequence
        Lines of ``metrics.jsonl``: ``outer_step`` and ``monitor``, what `ProbeReport.to_json` gave.
    """
    plt = pyplot()
    count = max(len(line["monitor"]["points"]) for line in measurements)
    outer = [line["outer_step"] for line in measurements]
    figure, rows = plt.subplots(
        count, 2, figsize=(8, 3.4 * count), layout="constrained", squeeze=False
    )
    colours = plt.get_cmap("viridis_r")
    for index, (plane, radii) in enumerate(rows):
        held = [line for line in measurements if len(line["monitor"]["points"]) > index]
        points = [line["monitor"]["points"][index] for line in held]
        complex_plane({}, plane)
        reach = 1.1
        for line, point in zip(held, points, strict=True):
            values = converged_values(point["joint"])
            colour = colours((line["outer_step"] - outer[0]) / max(1, outer[-1] - outer[0]))
            plane.scatter(values.real, values.imag, s=12, color=colour, alpha=0.8)
            reach = max(reach, 1.05 * float(np.abs(values).max(initial=0.0)))
        plane.set(xlim=(-reach, reach), ylim=(-reach, reach))
        inner = sorted({point["inner_step"] for point in points})
        where = f"step {inner[0]}" if len(inner) == 1 else f"steps {inner[0]} to {inner[-1]}"
        plane.set_title(f"Eigenvalues at inner {where}", loc="left", fontsize=10)
        for name, colour in zip(("radius", "oscillatory_radius"), COLOURS, strict=False):
            heights = [np.nan if p[name] is None else p[name] for p in points]
            label = name.replace("_", " ")
            radii.plot(
                [line["outer_step"] for line in held],
                heights,
                color=colour,
                marker=".",
                label=label,
            )
        radii.axhline(1.0, color="#777777", lw=0.8)
        radii.set(xlabel="outer step", ylabel="largest |eigenvalue|")
        radii.legend(fontsize=8, frameon=False)
    span = plt.Normalize(outer[0], max(outer[-1], outer[0] + 1))
    shades = plt.cm.ScalarMappable(span, colours)
    figure.colorbar(shades, ax=rows[:, 0].tolist(), label="outer step", location="left", shrink=0.8)
    return figure


def converged_values(estimate: Mapping[str, Any]) -> np.ndarray:
    """The converged eigenvalues of what `EigenEstimate.to_json` gave, complex."""
    pairs = [
        complex(*value) if isinstance(value, list) else complex(value)
        for value, sure in zip(estimate["values"], estimate["converged"], strict=True)
        if sure
    ]
    return np.asarray(pairs, complex)
