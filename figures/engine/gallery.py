"""The page docs/figures.md: every figure with its caption and the command that draws it."""

from figures.engine.figure import PICTURES
from figures.engine.output import caption_page
from figures.engine.registry import MODULES, find
from figures.engine.store import load

PAGE = PICTURES.with_suffix(".md")
HEAD = """# Figures

This page shows the paper's figures, recomputed, and figures that go beyond the paper. Each caption
says what is seen, what the paper shows, and what differs. All numbers in the captions are taken
from the results in figures/results.

`python -m figures` lists the figures, `python -m figures NAME` draws one from its stored results,
and `python -m figures NAME --recompute` recomputes the results first; after an interruption the
same command resumes. `make figures` draws all of them. The output in build/figures is a PNG, an
SVG, the caption, and a JSON file with the configuration, the seed and the versions, which are also
in the metadata of the pictures. The PNG is copied to docs/figures for this page.
"""


def page() -> str:
    """Return the page, with the figures in the order of the registry."""
    found = [HEAD]
    for name in MODULES:
        figure = find(name)
        head, _, rest = caption_page(figure, load(figure)).partition("\n\n")
        found.append(f"{head}\n\n![{figure.seen}]({PICTURES.name}/{name}.png)\n\n{rest}")
    return "\n".join(found)
