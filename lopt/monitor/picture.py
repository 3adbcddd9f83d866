"""Pictures of eigenvalues; matplotlib is imported when one is drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lopt.monitor.krylov.eigenvalues import EigenEstimate

__all__ = [
    "complex_plane",
    "complex_values",
    "converged_values",
    "deciding_eigenvalue",
    "largest_possible",
    "pyplot",
    "spectra_over_time",
]

# Okabe and Ito's palette.
COLOURS, MARKERS = ("#0072B2", "#D55E00", "#CC79A7"), ("o", "s", "^")
DECIDED = "#000000"
CURVES = {"radius": "largest converged", "oscillatory_radius": "largest converged, oscillating"}


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
    """Eigenvalues by name over the unit circle, filled where converged, else hollow with a bar for
    the error; returns the axes.
    """
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
        _draw_bars(axes, values[~found.converged], found.errors[~found.converged], colour)
        reach = max(reach, 1.05 * float(np.nanmax(np.abs(values), initial=0.0)))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="real", ylabel="imaginary")
    axes.set_aspect("equal")
    if estimates:
        axes.legend(loc="lower left", fontsize=8, frameon=False)
    return axes


def spectra_over_time(measurements: Sequence[Mapping[str, Any]]) -> Any:
    """The measurements of a meta-training run, one row of panels for each probed inner step of
    each task, the earlier steps first.

    Left: the joint eigenvalues in the complex plane, the later the darker, filled where converged
    and else hollow with a bar for the error; starred those that decided a verdict. Right, over the
    outer steps: the largest modulus of the converged ones, and of those that oscillate; hollow the
    larger ones that have not converged; the bound on what was missed.

    Parameters
    ----------
    measurements : sequence
        Lines of ``metrics.jsonl``: ``outer_step`` and ``monitor``, what `ProbeReport.to_json` gave.
    """
    plt = pyplot()
    found = dict.fromkeys(kind for line in measurements for kind in _points(line))
    tasks = list(dict.fromkeys(task for task, _ in found))
    kinds = sorted(found, key=lambda kind: (tasks.index(kind[0]), kind[1]))
    count = len(kinds)
    outer = [line["outer_step"] for line in measurements]
    figure, rows = plt.subplots(
        count, 2, figsize=(8, 3.4 * count), layout="constrained", squeeze=False
    )
    span = plt.Normalize(outer[0], max(outer[-1], outer[0] + 1))
    shades = plt.cm.ScalarMappable(span, plt.get_cmap("viridis_r"))
    for kind, (plane, radii) in zip(kinds, rows, strict=True):
        held = [line for line in measurements if kind in _points(line)]
        steps = [line["outer_step"] for line in held]
        points = [_points(line)[kind] for line in held]
        _draw_plane(plane, points, [shades.to_rgba(step) for step in steps])
        _draw_radii(radii, points, steps)
    figure.colorbar(shades, ax=rows[:, 0].tolist(), label="outer step", location="left", shrink=0.8)
    return figure


def _points(line: Mapping[str, Any]) -> dict[tuple[str, int], Mapping[str, Any]]:
    """The points of a measurement by task, if there are several, and by their order."""
    found: dict[tuple[str, int], Mapping[str, Any]] = {}
    for point in line["monitor"]["points"]:
        task = str(point.get("task") or "")
        found[task, sum(name == task for name, _ in found)] = point
    return found


def _draw_plane(axes: Any, points: Sequence[Mapping[str, Any]], colours: Sequence[Any]) -> None:
    """The joint eigenvalues of the points in the complex plane, and those that decided."""
    complex_plane({}, axes)
    reach, first = 1.1, True
    for point, colour in zip(points, colours, strict=True):
        found = complex_values(point["joint"])
        sure = np.asarray(point["joint"]["converged"], bool)
        axes.scatter(found[sure].real, found[sure].imag, s=12, color=colour, alpha=0.8)
        axes.scatter(
            found[~sure].real, found[~sure].imag, s=12, facecolors="none", edgecolors=[colour]
        )
        errors = _numbers(point["joint"]["errors"])
        _draw_bars(axes, found[~sure], errors[~sure], colour)
        reach = max(reach, 1.05 * float(np.nanmax(np.abs(found), initial=0.0)))
        one = deciding_eigenvalue(point)
        if one is not None:
            label = "decided" if first else None
            axes.scatter(one.real, one.imag, s=70, marker="*", c=DECIDED, label=label, zorder=3)
            reach, first = max(reach, 1.05 * abs(one)), False
    if not first:
        axes.legend(loc="lower left", fontsize=8, frameon=False)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    inner = sorted({point["inner_step"] for point in points})
    where = f"step {inner[0]}" if len(inner) == 1 else f"steps {inner[0]} to {inner[-1]}"
    task = points[0].get("task")
    place = f"{where}, {task}" if task else where
    axes.set_title(f"Eigenvalues at inner {place}", loc="left", fontsize=10)


def _draw_radii(axes: Any, points: Sequence[Mapping[str, Any]], steps: Sequence[int]) -> None:
    """Moduli over the outer steps: converged, not converged, and the bound."""
    for (name, label), colour in zip(CURVES.items(), COLOURS, strict=False):
        heights = _numbers([point[name] for point in points])
        axes.plot(steps, heights, color=colour, marker=".", label=label)
    open_values = [_largest_open(point) for point in points]
    heights, errors = (np.array(part) for part in zip(*open_values, strict=True))
    if np.isfinite(heights).any():
        axes.errorbar(
            steps, heights, yerr=np.where(np.isfinite(errors), errors, 0.0), fmt="o", ms=4,
            mfc="none", color=COLOURS[2], elinewidth=0.8, label="not converged",
        )  # fmt: skip
    decided = [deciding_eigenvalue(point) for point in points]
    if any(one is not None for one in decided):
        moduli = [np.nan if one is None else abs(one) for one in decided]
        axes.plot(steps, moduli, "*", color=DECIDED, ms=8, ls="none", label="decided")
    bounds = np.array([largest_possible(point) for point in points])
    axes.plot(steps, bounds, color="#777777", ls=":", label="bound")
    axes.axhline(1.0, color="#777777", lw=0.8)
    shown = np.concatenate([line.get_ydata() for line in axes.lines if line.get_label() != "bound"])
    top = float(np.nanmax(np.append(shown[np.isfinite(shown)], 1.0)))
    # A bound far above everything would leave nothing else to see.
    axes.set_ylim(top=1.1 * max([top, *bounds[bounds <= 2 * top]]))
    axes.set(xlabel="outer step", ylabel="|eigenvalue|")
    axes.legend(fontsize=8, frameon=False)


def _draw_bars(axes: Any, values: np.ndarray, errors: np.ndarray, colour: Any) -> None:
    """A horizontal and a vertical bar of the length of the error about each value."""
    for value, error in zip(values, errors, strict=True):
        if np.isfinite(error) and np.isfinite(value):
            for end in (error, 1j * error):
                ends = np.array([value - end, value + end])
                axes.plot(ends.real, ends.imag, color=colour, lw=0.6, alpha=0.6)


def largest_possible(point: Mapping[str, Any]) -> float:
    """The bound on |eigenvalue| of a measured point; of what an earlier version wrote, what the
    errors of its values allow.
    """
    if "bound" in point:
        return float(_numbers([point["bound"]])[0])
    reach = np.abs(complex_values(point["joint"])) + _numbers(point["joint"]["errors"])
    return float(reach.max()) if reach.size else float("nan")


def deciding_eigenvalue(point: Mapping[str, Any]) -> complex | None:
    """The eigenvalue that decided the verdict of a measured point; None where none did.

    Of what an earlier version wrote, the one of the modulus that is told.
    """
    direction = point.get("direction")
    if direction and point.get("eigenvalue"):
        return complex(*point["eigenvalue"])
    names = {"oscillation": "oscillatory_radius", "ascent": "ascent_radius", "growth": "growth"}
    modulus = point.get(names[direction]) if direction in names else None
    estimate = point.get("frozen" if direction == "ascent" else "joint")
    values = complex_values(estimate) if estimate else np.zeros(0)
    if modulus is None or not values.size:
        return None
    return complex(values[np.abs(np.abs(values) - modulus).argmin()])


def _largest_open(point: Mapping[str, Any]) -> tuple[float, float]:
    """Modulus and error of the largest eigenvalue that is not converged and larger than those that
    are; NaN where there is none.
    """
    values, sure = complex_values(point["joint"]), np.asarray(point["joint"]["converged"], bool)
    size, errors = np.abs(values), _numbers(point["joint"]["errors"])
    larger = ~sure & (size > size[sure].max(initial=0.0))
    if not larger.any():
        return float("nan"), float("nan")
    i = int(np.flatnonzero(larger)[size[larger].argmax()])
    return float(size[i]), float(errors[i])


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    """The values, NaN for None."""
    return np.array([np.nan if value is None else value for value in values], float)


def complex_values(estimate: Mapping[str, Any]) -> np.ndarray:
    """All eigenvalues of what `EigenEstimate.to_json` gave, complex; NaN for None."""
    pairs = [value if isinstance(value, list) else [value, 0.0] for value in estimate["values"]]
    return np.asarray([complex(*_numbers(pair)) for pair in pairs], complex)


def converged_values(estimate: Mapping[str, Any]) -> np.ndarray:
    """The converged eigenvalues of what `EigenEstimate.to_json` gave, complex."""
    return complex_values(estimate)[np.asarray(estimate["converged"], bool)]
