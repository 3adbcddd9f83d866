"""The common style of the figures: colours for the colour-blind, sizes, plain axes."""

from typing import Any

import matplotlib.pyplot as plt

# Okabe and Ito's palette.
BLUE, ORANGE, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#777777"
GREEN, PLUM, PALE = "#007A5A", "#8A3D6B", "#DCEAF4"
"""A darker bluish green and purple for lines and labels, and a light blue for stable regions."""


def use_style() -> None:
    """Set fonts and lines for print."""
    plt.rcParams.update(
        {
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "figure.dpi": 150,
            "savefig.bbox": "tight",
        }
    )


def unit_circle(axes: Any) -> None:
    """Draw the unit circle and shade its inside, where eigenvalues are stable."""
    axes.add_patch(plt.Circle((0, 0), 1, facecolor="#EEF4F8", edgecolor=GREY, lw=1, zorder=0))
    axes.axhline(0, color=GREY, lw=0.5, zorder=0)
    axes.axvline(0, color=GREY, lw=0.5, zorder=0)
    axes.set_aspect("equal")


def level_line(
    axes: Any, height: float, text: str, colour: str, *, right: bool = False, above: int = 3
) -> None:
    """Draw a dashed horizontal line with a label at its left or right end, so many points above."""
    axes.axhline(height, color=colour, ls="--", lw=1.2)
    axes.annotate(
        text, (int(right), height), xycoords=("axes fraction", "data"), color=colour, fontsize=8,
        xytext=(0 if right else 2, above), textcoords="offset points",
        ha="right" if right else "left",
    )  # fmt: skip
