"""The page docs/figures.md: every figure with its caption and the command that draws it."""

from pathlib import Path

from figures.engine.figure import PICTURES
from figures.engine.registry import MODULES, find

PAGE = PICTURES.with_suffix(".md")
HEAD = """# Figures

The paper's figures computed anew, and what lies beyond them. `make figures` draws all of them from
the results in figures/results; `python -m figures` lists them, `python -m figures NAME` draws one,
`python -m figures NAME --recompute` computes its results anew and, stopped, goes on where it was.
Every picture is in docs/figures as SVG and PNG, with a JSON file that has its configuration, seed
and versions; the pictures carry the same in their metadata. The numbers of the captions are taken
from the results. Another figure is a module with a `FIGURE` and a line in
figures/engine/registry.py.
"""


def page(folder: Path = PICTURES) -> str:
    """The page, from the captions in the folder, in the order of the registry."""
    found = [HEAD]
    for name in MODULES:
        caption = folder / f"{name}.md"
        if caption.exists():
            head, _, rest = caption.read_text("utf-8").partition("\n\n")
            picture = f"![{find(name).seen}]({folder.name}/{name}.png)"
            found.append(f"{head}\n\n{picture}\n\n{rest}")
    return "\n".join(found)
