"""`train-presets`: the experiments of the paper that `lopt train` knows by name."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from docs.extensions.nodes import Cell, code, paragraph, table
from lopt.meta.presets import SHARED, UNPRINTED, presets


class TrainPresets(SphinxDirective):
    """Every preset: what it sets, where the paper has it, what differs."""

    def run(self) -> list[nodes.Node]:
        """Read them off the module."""
        shared = ", ".join(f"{name} = {value}" for name, value in SHARED.items())
        header = ("preset", "sets", "where", "differs from the print")
        return [
            paragraph("All set ", code(shared), f"; {UNPRINTED}."),
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
