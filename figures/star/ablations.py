"""Figures App.2 to App.4 and the nominal terms: STAR with one change."""

from functools import partial

from figures.engine.figure import Data, Figure
from figures.engine.style import BLUE, GREEN, GREY, ORANGE, PLUM, PURPLE
from figures.star.curves import Curve, draw
from figures.star.experiments import collect
from figures.star.fig3 import KINDS, config
from figures.star.inner_runs import SEEDS, STEPS
from figures.star.outcomes import brief_table

STAR = Curve("STAR, weight decay 0.1", KINDS["star-wd0.1"], BLUE)
ADAM = Curve("tuned Adam", ("adam",), GREY, "--")
BLACKBOX = Curve("Blackbox", KINDS["blackbox"], ORANGE, ":")


def _figure(
    name: str, topic: str, variants: str, message: str, paper: str, curves: tuple[Curve, ...]
) -> Figure:
    runs = tuple(run for curve in curves for run in curve.runs)

    def caption(data: Data) -> str:
        return f"""
**Seen.** {message} The setting is that of Figure 3 (`fig3`). Left: the meta-loss. Right: training
losses to {STEPS:,} inner steps, means over {SEEDS} held-out seeds.

{brief_table(data, {curve.label: curve.runs for curve in curves})}

**Paper.** {paper}

**Differs.** As in Figure 3 (`fig3`). Variants with a single line have one seed of meta-training.
"""

    return Figure(
        name=name,
        title=f"{topic}: {variants}",
        seen=f"Meta-loss over outer steps and training loss over inner steps. {message}",
        config=config(runs),
        parts=runs,
        compute=collect,
        draw=partial(draw, curves=curves, title=f"Meta-training: {topic.lower()}"),
        caption=caption,
    )


APP2 = _figure(
    "app2",
    "Weight decay",
    "0, 0.1, 0.5 and 1.0",
    "Weight decay makes little difference within the horizon; beyond it, 0 and 1.0 are lowest.",
    "Figure App.2: values from 0.1 to 0.5 are good, 1.0 over-damps, and 0 has an outlier.",
    (
        Curve("weight decay 0", ("star-wd0-0",), ORANGE),
        STAR._replace(label="weight decay 0.1"),
        Curve("weight decay 0.5", KINDS["star-wd0.5"], GREEN),
        Curve("weight decay 1.0", ("star-wd1.0-0",), PURPLE),
        ADAM,
    ),
)
APP3 = _figure(
    "app3",
    "Preconditioner",
    "with and without",
    "The preconditioner makes little difference within the horizon.",
    "Figure App.3: meta-losses are better with the preconditioner; otherwise the benefit is mixed.",
    (STAR, Curve("STAR without preconditioner", ("star-no-preconditioner-0",), PURPLE), ADAM),
)
APP4 = _figure(
    "app4",
    "Nominal term",
    "with and without",
    "Without the nominal term STAR is hardly better than Blackbox.",
    "Figure App.4: without the nominal term meta-training is slower and ends worse; used on this "
    "task, all variants seem comparable.",
    (STAR, Curve("STAR without nominal term", ("star-no-nominal-0",), PURPLE), BLACKBOX, ADAM),
)
TERMS = _figure(
    "nominal-terms",
    "Nominal terms",
    "SGD, SGDM, AggMo, Adam and AdamAggMo",
    "Only AdamAggMo takes STAR below tuned Adam, and only with it does no run rise for good.",
    "Section 5.1 names the terms and chooses AdamAggMo; there is no figure. It does not say which "
    "momentum SGDM and Adam have: here it is the slowest of STAR's three, 0.999 before "
    "meta-training.",
    (
        Curve("SGD", ("star-sgd-0",), ORANGE),
        Curve("SGDM", ("star-sgdm-0",), PURPLE),
        Curve("AggMo", ("star-aggmo-0",), PLUM),
        Curve("Adam", ("star-adam-0",), GREEN),
        STAR._replace(label="AdamAggMo"),
        ADAM,
    ),
)
