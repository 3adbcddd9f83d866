"""Robust stability over the size of the disturbance: certified, refuted or unknown."""

from collections import Counter
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap

from figures.engine.figure import Data, Figure
from figures.engine.style import BLUE, GREY, ORANGE, PALE, plt, use_style
from figures.quadratic.robust_cases import (
    BOX,
    CONFIG,
    CURVE,
    STATUSES,
    compute,
    fractions,
    problems,
    sizes,
)


def draw(data: Data) -> Any:
    """Draw the example over the size, its disturbances, and random problems."""
    use_style()
    figure, axes = plt.subplots(1, 3, figsize=(7.4, 2.9), width_ratios=(1.1, 0.85, 1.2))
    _curve(axes[0], data[CURVE])
    _square(axes[1], data[BOX])
    _strips(axes[2], data)
    figure.tight_layout(w_pad=1.4)
    return figure


def _curve(axes: Any, rows: list[dict[str, Any]]) -> None:
    radius = np.array([row["worst_radius"] for row in rows])
    for status, colour in (("certified", BLUE), ("refuted", ORANGE)):
        here = np.array([row["status"] == status for row in rows])
        axes.plot(sizes()[here], radius[here], color=colour, lw=2.2)
    last = max(s for s, row in zip(sizes(), rows, strict=True) if row["printed"])
    axes.axvspan(0, last, color=GREY, alpha=0.13, lw=0)
    axes.axhline(1, color="black", lw=0.7)
    axes.text(0.03, 1.018, "certified", color=BLUE, fontsize=8)
    axes.text(0.65, 1.05, "refuted", color=ORANGE, fontsize=8)
    axes.text(0.04, 1.225, "grey: Lemma 3\nas printed holds", color=GREY, fontsize=8, va="top")
    axes.set(title="(a) counterexample", xlabel="size of the disturbance d̄", xlim=(0, 1.3))
    axes.set(ylabel="largest spectral radius found", ylim=(0.99, 1.24))


def _square(axes: Any, found: dict[str, Any]) -> None:
    axis = np.linspace(0, 1, CONFIG["box_points"])
    radii = np.array(found["radius"])
    axes.contourf(axis, axis, radii, levels=[0, 1], colors=[PALE])
    axes.contourf(axis, axis, radii, levels=[1, 9], colors=["#F8D5C2"])
    axes.contour(axis, axis, radii, levels=[1], colors=[ORANGE], linewidths=1.2)
    d = found["witness"]
    axes.plot(*d, marker="*", ms=12, color=ORANGE, markeredgecolor="black", clip_on=False, zorder=5)
    axes.annotate(
        "witness", d, xytext=(0.8, 0.45), fontsize=8, ha="center",
        arrowprops={"arrowstyle": "-", "lw": 0.8, "shrinkB": 6},
    )  # fmt: skip
    axes.text(0.3, 0.72, "stable", color=BLUE, fontsize=8, ha="center")
    axes.annotate(
        "unstable", (0.72, 0.05), xytext=(0.35, 0.3), color=ORANGE, fontsize=8, ha="center",
        arrowprops={"arrowstyle": "-", "color": ORANGE, "lw": 0.8},
    )  # fmt: skip
    axes.set(title="(b) the box d̄ = 1", xlabel="d₁", ylabel="d₂", xticks=[0, 1], yticks=[0, 1])
    axes.set_aspect("equal")


def _strips(axes: Any, data: Data) -> None:
    rows: list[list[float]] = []
    ticks, gap = [], [np.nan] * len(fractions())
    for n, names in problems().items():
        ticks.append((len(rows) + (len(names) - 1) / 2, f"N = {n}"))
        rows += [[STATUSES.index(status) for status, _ in data[name]] for name in names]
        rows.append(gap)
    edges = fractions() - (fractions()[1] - fractions()[0]) / 2
    edges = np.r_[edges, 2 * edges[-1] - edges[-2]]
    axes.pcolormesh(
        edges, np.arange(len(rows)) - 0.5, np.array(rows)[:-1], vmin=0, vmax=2,
        cmap=ListedColormap([BLUE, "#BBBBBB", ORANGE]),
    )  # fmt: skip
    axes.set_yticks(*zip(*ticks, strict=True))
    axes.set_xlim(edges[0], edges[-1])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(rows) - 1.4, -0.6)
    for x, y, text in ((0.7, 2.5, "certified"), (1.1, 2.5, "refuted")):
        axes.text(x, y, text, color="white", fontsize=8, ha="center", va="center")
    axes.annotate(
        "unknown", (0.995, ticks[-1][0]), xytext=(0.7, ticks[-1][0]), color="white", fontsize=8,
        ha="center", va="center", arrowprops={"arrowstyle": "-", "color": "white", "lw": 0.9},
    )  # fmt: skip
    axes.set(title="(c) random problems", xlabel="size / smallest refuted size")


def caption(data: Data) -> str:
    """Describe the picture, the paper's lemma, and the differences."""
    rows = data[CURVE]
    status = np.array([row["status"] for row in rows])
    certified = sizes()[status == "certified"].max()
    printed = max(s for s, row in zip(sizes().tolist(), rows, strict=True) if row["printed"])
    at = next(row for s, row in zip(sizes(), rows, strict=True) if s >= printed)
    d = data[BOX]["witness"]
    answers = {n: np.array([data[name] for name in names]) for n, names in problems().items()}
    unknown = {n: np.sum(found[..., 0] == "unknown") for n, found in answers.items()}
    listed = " and ".join(
        f"{count} of {answers[n][..., 0].size} at N = {n}" for n, count in unknown.items() if count
    )
    every = np.concatenate(list(answers.values()))
    sure = every[..., 0] == "certified"
    below = fractions()[np.logical_and.accumulate(sure.all(axis=0))].max()
    arguments = Counter(by.partition(",")[0] for by in every[sure, 1])
    rests = ", ".join(f"{name} ({count})" for name, count in arguments.most_common())
    return f"""
**Seen.** Is I - αH - Δ P̃ H stable for every Δ = diag(d), 0 < dᵢ ≤ d̄ᵢ, of (15)? The answer is
certified, refuted or, rarely, unknown. (a) The counterexample of docs/errata.md with P̃ ≥ 0 is
certified up to d̄ = {certified:.2f} and refuted from {sizes()[status == "refuted"].min():.2f} on;
in the grey range (16) and (17) hold. (b) The box of disturbances with d̄ = 1: the unstable region,
and the witness that the search found, d = ({d[0]:.3g}, {d[1]:.1g}), whose instability is proved in
rational arithmetic. (c) {CONFIG["problems"]} random problems for each N, a row each, over the size
of d̄ in units of the smallest that is refuted: blue is certified, grey unknown, orange refuted. Up
to {below:.3g} of the smallest refuted size every problem is certified; the answer is unknown for
{listed}.

**Paper.** Lemma 3: (16) and (17) suffice if P̃ commutes with every Δ, that is, for diagonal P̃.
There is no figure.

**Differs.** In (a) the matrices do not commute, and (16) and (17) hold up to d̄ = {printed:.2f},
where the radius reaches {at["worst_radius"]:.3f}. This is {printed / certified:.1f} times the
largest certified size. The answers in (c) need no commutation. They rest on these arguments, with
the number of answers: {rests}.
"""


FIGURE = Figure(
    name="robust",
    title="Robust stability: certified, refuted with a witness, or unknown",
    seen="The counterexample to Lemma 3 is refuted at a quarter of the size at which the lemma as "
    "printed still holds; random problems are certified almost up to where they are refuted",
    config=CONFIG,
    parts=(CURVE, BOX, *(name for names in problems().values() for name in names)),
    compute=compute,
    draw=draw,
    caption=caption,
)
