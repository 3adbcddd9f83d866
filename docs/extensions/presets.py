"""The directive `train-presets`: the paper's experiments as presets of `lopt train`."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from docs.extensions.nodes import Cell, code, paragraph, table
from lopt.meta.presets import SHARED, UNPRINTED, presets


class TrainPresets(SphinxDirective):
    """A table of all presets, with their settings, sources and differences."""

    def run(self) -> list[nodes.Node]:
        """Make the table."""
        shared = ", ".join(f"{name} = {value}" for name, value in SHARED.items())
        header = ("preset", "settings", "in the paper", "differences from the paper")
        return [
            paragraph("All presets set ", code(shared), f"; {UNPRINTED}."),
            table(header, map(_row, presets()), (30, 30, 15, 25), "presets"),
        ]


def _row(name: str) -> tuple[Cell, ...]:
    preset = presets()[name]
    own = {key: value for key, value in preset.values.items() if SHARED.get(key) != value}
    sets = ", ".join(f"{key} = {value}" for key, value in own.items() if key != "task")
    differs = "; ".join(text for text in preset.differs if text != UNPRINTED)
    return code(name), code(sets), preset.source, differs


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("train-presets", TrainPresets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
