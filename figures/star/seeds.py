"""Figure App.1a and c: every seed behind Figure 3."""

from typing import Any

import numpy as np

from figures.engine.figure import Data, Figure
from figures.engine.style import plt, use_style
from figures.star.curves import FINE, cut, plain
from figures.star.experiments import collect
from figures.star.fig3 import CURVES, DIFFERS, HORIZON, config, setting
from figures.star.inner_runs import SEEDS, STEPS
from figures.star.outcomes import events, happened

LEARNED = tuple(curve for curve in CURVES if len(curve.runs) > 1)
RUNS = tuple(run for curve in LEARNED for run in curve.runs)
SHADES = (1.0, 0.65, 0.35)


def draw(data: Data) -> Any:
    """A column for each optimizer: meta-training above, use below."""
    use_style()
    figure, rows = plt.subplots(2, len(LEARNED), figsize=(9.4, 4.6), sharex="row", sharey="row")
    for above, below, curve in zip(*rows, LEARNED, strict=True):
        for run, alpha in zip(curve.runs, SHADES, strict=True):
            meta = data[run]["outer"]
            above.plot(10 * np.arange(1, len(meta) + 1), meta, color=curve.colour, alpha=alpha)
            losses = cut(data[run], data[run]["ceiling"])
            below.plot(data[run]["at"], losses.T, color=curve.colour, alpha=alpha, lw=0.7)
        above.set_title(curve.label)
        above.set(yscale="log", xlabel="outer step")
        below.set(xscale="log", yscale="log", xlabel="inner step")
        below.axvline(HORIZON, color="black", ls="--", lw=0.8)
        plain(above.yaxis, FINE)
        plain(below.yaxis)
    rows[0][0].set_ylabel("meta-loss")
    rows[1][0].set_ylabel("training loss")
    figure.tight_layout()
    return figure


def caption(data: Data) -> str:
    """What is seen, what the paper shows, what differs."""
    apart = "; ".join(
        f"{curve.label}: {worst(data, curve.runs)}, rises for good in "
        f"{events(happened(data, curve.runs, 'rises'))}"
        for curve in LEARNED
    )
    return f"""
**Seen.** {setting()}. Above, the meta-loss of three meta-training seeds, a shade each; below, the
training losses of {SEEDS} held-out seeds of each to {STEPS:,} inner steps, the dashed line at the
horizon. The spread of the meta-loss at the end over the seeds of meta-training: {apart}.

**Paper.** Figure App.1a, c: seeds that do badly often do very badly, and diverge or oscillate.

**Differs.** {DIFFERS}
"""


def worst(data: Data, runs: tuple[str, ...]) -> str:
    """The least and the largest final meta-loss."""
    ends = [data[run]["level"][-1] for run in runs]
    return f"{min(ends):.3f} to {max(ends):.3f}"


FIGURE = Figure(
    name="app1",
    title="Every seed behind Figure 3",
    seen="A column for each optimizer: meta-losses of three seeds above, training losses below",
    config=config(RUNS),
    parts=RUNS,
    compute=collect,
    draw=draw,
    caption=caption,
)
