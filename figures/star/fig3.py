"""Figures 3 and App.1: meta-training and use of STAR, Blackbox and Hyperparam."""

from functools import partial
from typing import Any

import numpy as np

from figures.engine.figure import Data, Figure
from figures.engine.markdown import table
from figures.engine.style import BLUE, GREEN, GREY, ORANGE, PURPLE, plt, use_style
from figures.star.curves import FINE, Curve, Panels, cut, draw, mark_horizon, panels, plain, runs_of
from figures.star.evidence.experiments import collect
from figures.star.evidence.outcomes import brief_table, events, happened
from figures.star.inner_runs import RATES
from figures.star.meta_runs import experiments, recorded
from figures.star.search import FINALISTS
from figures.star.settings import BUDGET, CIFAR, FASHION, SETTINGS, Setting
from lopt.optimizers.baselines import RANDOM_SEARCH

CURVES = (
    Curve("STAR, weight decay 0.1", "star-wd0.1", BLUE),
    Curve("STAR, weight decay 0.5", "star-wd0.5", GREEN),
    Curve("Blackbox", "blackbox", ORANGE),
    Curve("Hyperparam", "hyperparam", PURPLE),
    Curve("tuned Adam", "adam", GREY, "--"),
    Curve("tuned NAdamW", "nadamw", "black", ":"),
)
SHOWN = panels(CURVES)


def config(runs: tuple[str, ...]) -> dict[str, Any]:
    """The configuration of the results of these runs."""
    known = experiments()
    return {
        "runs": {run: recorded(known[run]) if run in known else None for run in runs},
        "seeds": {one.label: one.seeds for one in SETTINGS},
        "steps": {one.label: [one.steps, one.long] for one in SETTINGS},
        "search": [len(RATES), RANDOM_SEARCH, FINALISTS],
    }


def sizes() -> str:
    """Say what is run at which size."""
    return f"""Fashion-MNIST is run as the paper has it: 28x28 images, a 784-128-128-10 ReLU MLP,
batch 128 and horizon {FASHION.horizon:,}, with {FASHION.budget["outer_steps"]} outer steps. For
CIFAR-10, which the paper runs on 32x32 images with a ConvNet of 32, 64 and 64 channels, batch 128
and horizon 2,000, a smaller form stands in: 16x16 images, 16, 32 and 32 channels, batch 64, horizon
{CIFAR.horizon:,}, with {CIFAR.budget["outer_steps"]} outer steps. Both are meta-trained by PES with
truncation 50, σ = 0.01 and {BUDGET["pairs"]} antithetic pairs, AdamW and clip 1."""


def seeds() -> str:
    """Say how many held-out seeds there are.

    Examples
    --------
    >>> seeds()
    '5 held-out seeds'
    """
    (count,) = {one.seeds for one in SETTINGS}  # the same on all tasks
    return f"{count} held-out seeds"


def tables(data: Data, shown: Panels) -> str:
    """A table of outcomes for each task, with its name where there are two."""
    parts = []
    for one, curves in shown.items():
        found = brief_table(data, {curve.label: runs for curve, runs in curves})
        parts.append(f"{one.label}, {one.network}:\n\n{found}" if len(shown) > 1 else found)
    return "\n\n".join(parts)


def caption(data: Data) -> str:
    """Describe the picture, the paper's figure, and the differences."""
    away = "; ".join(
        f"{events(happened(data, one.runs('blackbox'), 'diverges'))} on {one.label}"
        for one in SETTINGS
    )
    far = events(data[FASHION.runs("blackbox")[0]]["far"]["diverges"])
    least = " and ".join(
        f"{data[one.runs('nadamw')[0]]['constants']['least']:.1%} on {one.label}"
        for one in SETTINGS
    )
    return f"""
**Seen.** {MESSAGE} {sizes()} Above: the meta-loss of three seeds of meta-training each (thin) and
their median; the lines of the baselines are their mean loss over the horizon. Below: training
losses of {seeds()} to ten horizons, and on Fashion-MNIST for one seed each of STAR, Blackbox and
Hyperparam, and for Adam, to fifty. The tables give mean ± standard deviation over all seeds;
docs/experiments.md defines rises.

{tables(data, SHOWN)}

**Paper.** Figure 3: on both tasks STAR meta-trains faster and to a lower meta-loss than Blackbox
and Hyperparam, and stays stable beyond the horizon, where Blackbox diverges.

**Differs.** Uses of Blackbox that diverge within ten horizons: {away}; within fifty, on
Fashion-MNIST: {far}. The paper prints neither outer steps nor
particles; ours are few. The learning rate of meta-training is {BUDGET["learning_rate"]:g} and falls
to a tenth, instead of 1e-4. β₁ is 0.003, the best rate of Adam on both tasks, and, if v divides the
blackbox term, β₃ is 1e-5, instead of 1e-3. The last layer of the network starts at zero.
Meta-losses are smoothed as in the paper (0.98); training losses are means over 50 or more steps.
Adam's rate is the best of {len(RATES)} half-decades on the evaluation seeds. NAdamW is, as in the
authors' package, the best of {RANDOM_SEARCH:,} random draws with schedules, judged by the loss at
the end of the horizon, on one seed, and the best {FINALISTS} of them on all. Its schedule ends at
the horizon and it hardly moves beyond: its rate is then, in shares of the largest, {least}.
{archive(data)}
"""


def archive(data: Data) -> str:
    """Compare tuned Adam on Fashion-MNIST with what the authors' package keeps of it."""
    found, at = data["adam"], np.array(data["adam"]["at"])
    losses = np.array(found["curves"], float).mean(axis=0)
    ours = [losses[np.abs(at - step).argmin()] for step in ARCHIVE]
    return (
        "On this MLP the archive of the authors' package has "
        f"{_listed(ARCHIVE.values())} for Adam at {_listed(ARCHIVE, ',')} steps, the least over "
        "constant rates of losses that are smoothed and thereby delayed; tuned Adam here, at the "
        f"rate that is best over the horizon, has {_listed(ours)}."
    )


def _listed(values: Any, form: str = ".3f") -> str:
    *some, last = (format(value, form) for value in values)
    return f"{', '.join(some)} and {last}"


# Losses of learned_optimization's Adam on the Fashion-MNIST MLP by inner step.
ARCHIVE = {1000: 0.376, 2000: 0.302, 10_000: 0.150}
MESSAGE = """STAR and Hyperparam stay stable beyond the horizon; Blackbox rises for some seeds, and
diverges in the long run. STAR is below tuned Adam on Fashion-MNIST, and above it on CIFAR-10, whose
horizon is short."""

FIGURE = Figure(
    name="fig3",
    title="Figure 3: STAR, Blackbox and Hyperparam on Fashion-MNIST and CIFAR-10",
    seen="Meta-loss over outer steps and training loss over inner steps of four learned "
    "optimizers, a column for each of two tasks",
    config=config(runs_of(SHOWN)),
    parts=runs_of(SHOWN),
    compute=collect,
    draw=partial(draw, shown=SHOWN, title="Meta-training"),
    caption=caption,
)


LEARNED = tuple(curve for curve in CURVES if curve.kind in FASHION.kinds)
LEARNED_RUNS = tuple(run for one in SETTINGS for c in LEARNED for run in one.runs(c.kind))
SHADES = (1.0, 0.65, 0.35)


def draw_seeds(data: Data) -> Any:
    """Draw a column for each optimizer; for each task, meta-training above and use below."""
    use_style()
    rows = 2 * len(SETTINGS)
    figure, axes = plt.subplots(
        rows, len(LEARNED), figsize=(9.4, 2.3 * rows), sharex="row", sharey="row"
    )
    for place, one in enumerate(SETTINGS):
        _draw_seeds(data, one, axes[2 * place : 2 * place + 2])
    figure.tight_layout()
    return figure


def _draw_seeds(data: Data, setting: Setting, rows: Any) -> None:
    for above, below, curve in zip(*rows, LEARNED, strict=True):
        runs = setting.runs(curve.kind)
        for run, alpha in zip(runs, SHADES, strict=True):
            meta = data[run]["outer"]
            above.plot(10 * np.arange(1, len(meta) + 1), meta, color=curve.colour, alpha=alpha)
            losses = cut(data[run], data[run]["ceiling"])
            below.plot(data[run]["at"], losses.T, color=curve.colour, alpha=alpha, lw=0.7)
        above.set_title(f"{curve.label}\n{setting.label}")
        above.set(yscale="log", xlabel="outer step of meta-training")
        below.set(xscale="log", yscale="log", xlabel="inner step of use")
        mark_horizon(below, setting.horizon)
        plain(above.yaxis, FINE)
        plain(below.yaxis)
    rows[0][0].set_ylabel("meta-loss")
    rows[1][0].set_ylabel("training loss")


def seeds_caption(data: Data) -> str:
    """Describe the picture, the paper's figure, and the differences."""
    ranges = table(
        ("optimizer", "task", "range of the final meta-loss", "rises for good"),
        [
            (curve.label, one.label, worst(data, runs), events(happened(data, runs, "rises")))
            for one in SETTINGS
            for curve in LEARNED
            for runs in (one.runs(curve.kind),)
        ],
    )
    return f"""
**Seen.** {SEEDS_MESSAGE} The settings are those of Figure 3 (`fig3`). For each task, above: the
meta-loss of three seeds of meta-training, a shade each; below: the training losses of
{seeds()} for each of them to ten horizons; the dashed line is the horizon.

{ranges}

**Paper.** Figure App.1: seeds that do badly often do very badly, and diverge or oscillate.

**Differs.** As in Figure 3 (`fig3`).
"""


SEEDS_MESSAGE = """The seeds of Blackbox differ widely and those of Hyperparam hardly; those of STAR
hardly differ within the horizon on Fashion-MNIST, and do on CIFAR-10."""


def worst(data: Data, runs: tuple[str, ...]) -> str:
    """Format the least and the largest final meta-loss."""
    ends = [data[run]["level"][-1] for run in runs]
    return f"{min(ends):.3f} to {max(ends):.3f}"


SEEDS_FIGURE = Figure(
    name="app1",
    title="Figure App.1: every seed behind Figure 3",
    seen="A column for each optimizer and two rows for each of two tasks: meta-losses of three "
    "seeds above, training losses below",
    config=config(LEARNED_RUNS),
    parts=LEARNED_RUNS,
    compute=collect,
    draw=draw_seeds,
    caption=seeds_caption,
)
