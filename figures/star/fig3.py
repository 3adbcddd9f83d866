"""Figures 3 and App.1: STAR, Blackbox and Hyperparam on Fashion-MNIST, meta-trained and used."""

from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from figures.engine.figure import Data, Figure
from figures.engine.style import BLUE, GREEN, GREY, ORANGE, PURPLE, plt, use_style
from figures.star.curves import FINE, Curve, cut, draw, plain
from figures.star.experiments import collect
from figures.star.inner_runs import DRAWS, FINALISTS, HORIZON, LONG, SEEDS, STEPS
from figures.star.meta_runs import BUDGET, experiments
from figures.star.outcomes import described, events, happened

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
    """What the results of these runs depend on."""
    known = experiments()
    return {
        "runs": {run: asdict(known[run]) if run in known else None for run in runs},
        "seeds": SEEDS,
        "steps": STEPS,
        "long": LONG,
        "search": [DRAWS, FINALISTS],
    }


def setting() -> str:
    """The budget and the constants, in words."""
    return (
        f"28x28 Fashion-MNIST, 784-128-128-10 ReLU MLP, batch 128, horizon {HORIZON:,}, PES with "
        f"truncation 50 and σ = 0.01, AdamW, clip 1, {BUDGET['outer_steps']} outer steps of "
        f"{BUDGET['pairs']} antithetic pairs each"
    )


DIFFERS = (
    "The paper prints neither outer steps nor particles; ours are few. The learning rate of "
    f"meta-training is {BUDGET['learning_rate']:g} falling to a tenth, not 1e-4; β₁ = 0.003 and, "
    "where v divides the blackbox term, β₃ = 1e-5, not 1e-3; the network's last layer starts at "
    "zero. Meta-losses are smoothed as the paper's (0.98); training losses are means over 50 steps "
    "and more."
)


def caption(data: Data) -> str:
    """What is seen, what the paper shows, what differs."""
    parts = [
        f"{described(data, curve.label, curve.runs)}, diverges in "
        f"{events(happened(data, curve.runs, 'diverges'))}"
        for curve in CURVES
    ]
    return f"""
**Seen.** {setting()}. Left, the meta-loss, three meta-training seeds each (thin) and their median;
the baselines' lines are their mean loss over the horizon. Right, training losses of {SEEDS}
held-out seeds to {STEPS:,} inner steps, ten horizons; of one seed of each optimizer to {LONG:,}
where the line goes on. {"; ".join(parts)}.

**Paper.** Figure 3a, c: STAR meta-trains faster and to a lower meta-loss than Blackbox and
Hyperparam and stays stable beyond the horizon, where Blackbox diverges.

**Differs.** {DIFFERS} Adam's rate is the best of eight half-decades on the evaluation seeds, NAdamW
the best of {DRAWS} random draws (the paper has 1,000), judged on one seed and the best {FINALISTS}
on all.
"""


FIGURE = Figure(
    name="fig3",
    title="STAR against Blackbox and Hyperparam, on Fashion-MNIST",
    seen="Meta-loss over outer steps and training loss over inner steps of four learned optimizers",
    config=config(RUNS),
    parts=RUNS,
    compute=collect,
    draw=partial(draw, curves=CURVES, title="784-128-128-10 MLP"),
    caption=caption,
)


LEARNED = tuple(curve for curve in CURVES if len(curve.runs) > 1)
LEARNED_RUNS = tuple(run for curve in LEARNED for run in curve.runs)
SHADES = (1.0, 0.65, 0.35)


def draw_seeds(data: Data) -> Any:
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


def seeds_caption(data: Data) -> str:
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
