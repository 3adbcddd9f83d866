"""Figures 3 and App.1: meta-training and use of STAR, Blackbox and Hyperparam."""

from functools import partial
from typing import Any

import numpy as np

from figures.engine.figure import Data, Figure
from figures.engine.markdown import table
from figures.engine.style import BLUE, GREEN, GREY, ORANGE, PURPLE, plt, use_style
from figures.star.curves import FINE, Curve, cut, draw, mark_horizon, plain
from figures.star.experiments import collect
from figures.star.inner_runs import DRAWS, FINALISTS, HORIZON, LONG, SEEDS, STEPS
from figures.star.meta_runs import BUDGET, experiments, recorded
from figures.star.outcomes import brief_table, events, happened

KINDS = {
    kind: tuple(f"{kind}-{seed}" for seed in range(3))
    for kind in ("star-wd0.1", "star-wd0.5", "blackbox", "hyperparam")
}
CURVES = (
    Curve("STAR, weight decay 0.1", KINDS["star-wd0.1"], BLUE),
    Curve("STAR, weight decay 0.5", KINDS["star-wd0.5"], GREEN),
    Curve("Blackbox", KINDS["blackbox"], ORANGE),
    Curve("Hyperparam", KINDS["hyperparam"], PURPLE),
    Curve("tuned Adam", ("adam",), GREY, "--"),
    Curve("tuned NAdamW", ("nadamw",), "black", ":"),
)
RUNS = tuple(run for curve in CURVES for run in curve.runs)


def config(runs: tuple[str, ...]) -> dict[str, Any]:
    """The configuration of the results of these runs."""
    known = experiments()
    return {
        "runs": {run: recorded(known[run]) if run in known else None for run in runs},
        "seeds": SEEDS,
        "steps": STEPS,
        "long": LONG,
        "search": [DRAWS, FINALISTS],
    }


def caption(data: Data) -> str:
    """Describe the picture, the paper's figure, and the differences."""
    return f"""
**Seen.** STAR and Hyperparam stay stable beyond the horizon; Blackbox rises for some seeds. The
task is 28x28 Fashion-MNIST with a 784-128-128-10 ReLU MLP, batch 128 and horizon {HORIZON:,};
meta-training uses PES with truncation 50 and σ = 0.01, AdamW, clip 1, and {BUDGET["outer_steps"]}
outer steps of {BUDGET["pairs"]} antithetic pairs. Left: the meta-loss of three seeds of
meta-training each (thin) and their median; the lines of the baselines are their mean loss over the
horizon. Right: training losses of {SEEDS} held-out seeds to {STEPS:,} inner steps, ten horizons,
and for one seed of STAR to {LONG:,}. The table gives mean ± standard deviation over all seeds;
docs/experiments.md defines rises.

{brief_table(data, {curve.label: curve.runs for curve in CURVES})}

**Paper.** Figure 3a, c: STAR meta-trains faster and to a lower meta-loss than Blackbox and
Hyperparam, and stays stable beyond the horizon, where Blackbox diverges.

**Differs.** Blackbox diverges in {events(happened(data, KINDS["blackbox"], "diverges"))} uses. The
paper prints neither outer steps nor particles; ours are few. The learning rate of meta-training is
{BUDGET["learning_rate"]:g} and falls to a tenth, instead of 1e-4. β₁ is 0.003 and, if v divides the
blackbox term, β₃ is 1e-5, instead of 1e-3. The last layer of the network starts at zero.
Meta-losses are smoothed as in the paper (0.98); training losses are means over 50 or more steps.
Adam's rate is the best of eight half-decades on the evaluation seeds. NAdamW is the best of {DRAWS}
random draws (the paper has 1,000), which were judged on one seed, and the best {FINALISTS} of them
on all.
"""


FIGURE = Figure(
    name="fig3",
    title="Figure 3: STAR, Blackbox and Hyperparam on Fashion-MNIST",
    seen="Meta-loss over outer steps and training loss over inner steps of four learned optimizers",
    config=config(RUNS),
    parts=RUNS,
    compute=collect,
    draw=partial(draw, curves=CURVES, title="Meta-training, 784-128-128-10 MLP"),
    caption=caption,
)


LEARNED = tuple(curve for curve in CURVES if len(curve.runs) > 1)
LEARNED_RUNS = tuple(run for curve in LEARNED for run in curve.runs)
SHADES = (1.0, 0.65, 0.35)


def draw_seeds(data: Data) -> Any:
    """Draw a column for each optimizer: meta-training above, use below."""
    use_style()
    figure, rows = plt.subplots(2, len(LEARNED), figsize=(9.4, 4.6), sharex="row", sharey="row")
    for above, below, curve in zip(*rows, LEARNED, strict=True):
        for run, alpha in zip(curve.runs, SHADES, strict=True):
            meta = data[run]["outer"]
            above.plot(10 * np.arange(1, len(meta) + 1), meta, color=curve.colour, alpha=alpha)
            losses = cut(data[run], data[run]["ceiling"])
            below.plot(data[run]["at"], losses.T, color=curve.colour, alpha=alpha, lw=0.7)
        above.set_title(curve.label)
        above.set(yscale="log", xlabel="outer step of meta-training")
        below.set(xscale="log", yscale="log", xlabel="inner step of use")
        mark_horizon(below, data[curve.runs[0]]["ceiling"])
        plain(above.yaxis, FINE)
        plain(below.yaxis)
    rows[0][0].set_ylabel("meta-loss")
    rows[1][0].set_ylabel("training loss")
    figure.tight_layout()
    return figure


def seeds_caption(data: Data) -> str:
    """Describe the picture, the paper's figure, and the differences."""
    ranges = table(
        ("optimizer", "range of the final meta-loss", "rises for good"),
        [(c.label, worst(data, c.runs), events(happened(data, c.runs, "rises"))) for c in LEARNED],
    )
    return f"""
**Seen.** The seeds of Blackbox differ widely; those of STAR and Hyperparam hardly differ within the
horizon. The setting is that of Figure 3 (`fig3`). Above: the meta-loss of three seeds of
meta-training, a shade each. Below: the training losses of {SEEDS} held-out seeds for each of them
to {STEPS:,} inner steps; the dashed line is the horizon.

{ranges}

**Paper.** Figure App.1a, c: seeds that do badly often do very badly, and diverge or oscillate.

**Differs.** As in Figure 3 (`fig3`).
"""


def worst(data: Data, runs: tuple[str, ...]) -> str:
    """Format the least and the largest final meta-loss."""
    ends = [data[run]["level"][-1] for run in runs]
    return f"{min(ends):.3f} to {max(ends):.3f}"


SEEDS_FIGURE = Figure(
    name="app1",
    title="Every seed behind Figure 3",
    seen="A column for each optimizer: meta-losses of three seeds above, training losses below",
    config=config(LEARNED_RUNS),
    parts=LEARNED_RUNS,
    compute=collect,
    draw=draw_seeds,
    caption=seeds_caption,
)
