"""All figures by name. A new figure is a module that defines `FIGURE`, and an entry here."""

import difflib
from importlib import import_module

from figures.engine.figure import Figure

MODULES = {
    "fig1": "figures.quadratic.interventions",
    "fig2a": "figures.quadratic.gradient_variance",
    "fig2bc": "figures.quadratic.nominal_training",
    "regions": "figures.quadratic.regions",
    "every-hessian": "figures.quadratic.every_hessian",
    "momentum": "figures.quadratic.momentum",
    "robust": "figures.quadratic.robust",
    "conservatism": "figures.quadratic.conservatism",
    "full-size": "figures.star.full_size",
    "fig3": "figures.star.fig3",
    "claims": "figures.star.claims",
    "fig4": "figures.generalization.fig4:FIG4",
    "app1": "figures.star.fig3:SEEDS_FIGURE",
    "app2": "figures.star.ablations:APP2",
    "app3": "figures.star.ablations:APP3",
    "app4": "figures.star.ablations:APP4",
    "app5": "figures.generalization.fig4:APP5",
    "app6": "figures.generalization.fig4:APP6",
    "nominal-terms": "figures.star.ablations:TERMS",
    "general": "figures.general.contest",
    "general-curves": "figures.general.curves",
    "edge": "figures.monitor.edge",
    "predictions": "figures.monitor.predictions",
}
"""Modules by figure name, in the order of the page; a module is imported on first use. If a module
has several figures, the name of the figure follows a colon.
"""


def find(name: str) -> Figure:
    """Return the figure of that name.

    Raises
    ------
    ValueError
        If there is none; the message contains the nearest name.
    """
    if name not in MODULES:
        near = difflib.get_close_matches(name.lower(), MODULES, n=1, cutoff=0.0)
        raise ValueError(
            f"no figure is called {name!r}; the nearest is {near[0]!r}. "
            "`python -m figures` lists all figures."
        )
    module, _, attribute = MODULES[name].partition(":")
    figure: Figure = getattr(import_module(module), attribute or "FIGURE")
    return figure
