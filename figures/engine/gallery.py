"""The page docs/figures.md: every figure with its caption and the command that draws it."""

from figures.engine.figure import PICTURES
from figures.engine.output import caption_page
from figures.engine.registry import MODULES, find
from figures.engine.store import load

PAGE = PICTURES.with_suffix(".md")
HEAD = """# Figures

The paper's figures, recomputed, and figures that go beyond the paper. `make figures` draws all of
them from the results in figures/results; `python -m figures` lists them, `python -m figures NAME`
draws one, and `python -m figures NAME --recompute` first computes its results again; if it is
interrupted, the same command resumes where it stopped. The pictures are drawn as PNG and SVG in
build/figures, with the caption and a JSON file that has the configuration, the seed and the
versions; the pictures carry the same in their metadata. The PNG is copied to docs/figures, which
this page shows. The numbers of the captions are taken from the results. Another figure is a module
with a `FIGURE` and a line in figures/engine/registry.py.
"""


def page() -> str:
    """The page, from the results, in the order of the registry."""
    found = [HEAD]
    for name in MODULES:
        figure = find(name)
        head, _, rest = caption_page(figure, load(figure)).partition("\n\n")
        found.append(f"{head}\n\n![{figure.seen}]({PICTURES.name}/{name}.png)\n\n{rest}")
    return "\n".join(found)
