"""Every figure by its name. Another one is a module with a `FIGURE`, and a line here."""

import difflib
from importlib import import_module

from figures.figure import Figure

MODULES = {
    "fig1": "figures.interventions",
    "fig2a": "figures.gradient_variance",
    "fig2bc": "figures.nominal_training",
    "regions": "figures.regions",
    "momentum": "figures.momentum",
    "robust": "figures.robust",
    "conservatism": "figures.conservatism",
    "full-size": "figures.full_size",
    "fig3": "figures.fig3",
    "claims": "figures.claims",
    "app1": "figures.seeds",
    "app2": "figures.ablations:APP2",
    "app3": "figures.ablations:APP3",
    "app4": "figures.ablations:APP4",
    "nominal-terms": "figures.ablations:TERMS",
    "edge": "figures.edge",
    "predictions": "figures.predictions",
}
"""Name -> module, in the order of the page; a module is imported when its figure is asked for. One
with several figures names them after a colon.
"""


def find(name: str) -> Figure:
    """The figure of that name.

    Raises
    ------
    ValueError
        If there is none; the message has the nearest name.
    """
    if name not in MODULES:
        near = difflib.get_close_matches(name.lower(), MODULES, n=1, cutoff=0.0)
        raise ValueError(
            f"no figure is called {name!r}; the nearest is {near[0]!r}. "
            "`python -m figures` lists all of them."
        )
    module, _, attribute = MODULES[name].partition(":")
    figure: Figure = getattr(import_module(module), attribute or "FIGURE")
    return figure
