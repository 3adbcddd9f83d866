"""Figures App.2 to App.4 and the nominal terms: STAR with one change."""

from functools import partial

from figures.engine.figure import Data, Figure
from figures.engine.style import BLUE, GREEN, GREY, ORANGE, PLUM, PURPLE
from figures.star.curves import Curve, draw, panels, runs_of
from figures.star.evidence.experiments import collect
from figures.star.fig3 import config, tables

STAR = Curve("STAR, weight decay 0.1", "star-wd0.1", BLUE)
ADAM = Curve("tuned Adam", "adam", GREY, "--")
BLACKBOX = Curve("Blackbox", "blackbox", ORANGE, ":")


def _figure(
    name: str, topic: str, variants: str, message: str, paper: str, curves: tuple[Curve, ...]
) -> Figure:
    shown = panels(curves)
    runs = runs_of(shown)
    first, second = ("Above", "Below") if len(shown) > 1 else ("Left", "Right")

    uneven = [
        one.label
        for one, own in shown.items()
        if len({len(runs) for curve, runs in own if curve.kind in one.kinds}) > 1
    ]

    def caption(data: Data) -> str:
        return f"""
**Seen.** {message} The setting is that of Figure 3 (`fig3`). {first}: the meta-loss. {second}:
training losses to ten horizons, means over the held-out seeds.

{tables(data, shown)}

**Paper.** {paper}

**Differs.** As in Figure 3 (`fig3`). On {" and ".join(uneven)} a variant with a single line has one
seed of meta-training, the first of the others; docs/experiments.md compares them on that seed.
"""

    return Figure(
        name=name,
        title=f"{topic}: {variants}",
        seen=f"Meta-loss over outer steps and training loss over inner steps. {message}",
        config=config(runs),
        parts=runs,
        compute=collect,
        draw=partial(draw, shown=shown, title=topic),
        caption=caption,
    )


APP2 = _figure(
    "app2",
    "Weight decay",
    "0, 0.1, 0.5 and 1.0",
    "Weight decay makes less difference than the seed of meta-training.",
    "Figure App.2: values from 0.1 to 0.5 are good, 1.0 over-damps, and 0 has an outlier.",
    (
        Curve("weight decay 0", "star-wd0", ORANGE),
        STAR._replace(label="weight decay 0.1"),
        Curve("weight decay 0.5", "star-wd0.5", GREEN),
        Curve("weight decay 1.0", "star-wd1.0", PURPLE),
        ADAM,
    ),
)
APP3 = _figure(
    "app3",
    "Preconditioner",
    "with and without",
    "Within the horizon the preconditioner makes little difference; beyond, STAR without it ends "
    "lower.",
    "Figure App.3: meta-losses are better with the preconditioner; otherwise the benefit is mixed.",
    (STAR, Curve("STAR without preconditioner", "star-no-preconditioner", PURPLE), ADAM),
)
APP4 = _figure(
    "app4",
    "Nominal term",
    "with and without",
    "Without the nominal term STAR is no better than Blackbox: the outcome depends on the seed of "
    "meta-training, and with one of three it stays at the loss of chance on Fashion-MNIST.",
    "Figure App.4: without the nominal term meta-training is slower and ends worse; used on this "
    "task, all variants seem comparable.",
    (STAR, Curve("STAR without nominal term", "star-no-nominal", PURPLE), BLACKBOX, ADAM),
)
TERMS = _figure(
    "nominal-terms",
    "Nominal terms",
    "SGD, SGDM, AggMo, Adam and AdamAggMo",
    "Only AdamAggMo takes STAR below tuned Adam. With Adam it is level with tuned Adam at momentum "
    "0.9, and far above it at 0.999.",
    "Section 5.1 names the terms and chooses AdamAggMo; there is no figure. It does not say which "
    "momentum SGDM and Adam have: here it is the slowest of STAR's three, 0.999 before "
    "meta-training, or the fastest, 0.9.",
    (
        Curve("SGD", "star-sgd", ORANGE),
        Curve("SGDM, momentum 0.999", "star-sgdm", PURPLE),
        Curve("SGDM, momentum 0.9", "star-sgdm-0.9", PURPLE, ":"),
        Curve("AggMo", "star-aggmo", PLUM),
        Curve("Adam, momentum 0.999", "star-adam", GREEN),
        Curve("Adam, momentum 0.9", "star-adam-0.9", GREEN, ":"),
        STAR._replace(label="AdamAggMo"),
        ADAM,
    ),
)
