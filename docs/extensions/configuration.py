"""`train-fields` and `train-presets`: the fields of a meta-training run, and the experiments."""

from dataclasses import fields
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from docs.extensions.nodes import Cell, code, paragraph, section, table
from lopt.meta.config import TrainConfig
from lopt.meta.presets import SHARED, TASKS, UNPRINTED, presets


class TrainFields(SphinxDirective):
    """Every field of `TrainConfig` with its default and the paper's value."""

    def run(self) -> list[nodes.Node]:
        """Read the fields off the dataclass."""
        rows = []
        for field in fields(TrainConfig):
            help, paper, unset = (field.metadata[k] for k in ("help", "paper", "unset"))
            default: Cell = unset if field.default in (None, ()) else code(str(field.default))
            rows.append((code(field.name), help, default, "" if paper is None else str(paper)))
        header = ("field", "meaning", "default", "the paper's")
        return [table(header, rows, (20, 40, 20, 20), "fields")]


class TrainPresets(SphinxDirective):
    """Every preset: what it sets, where the paper has it, what differs."""

    def run(self) -> list[nodes.Node]:
        """Read them off the module."""
        shared = ", ".join(f"{name} = {value}" for name, value in SHARED.items())
        found: list[nodes.Node] = [paragraph("All set ", code(shared), f"; {UNPRINTED}.")]
        for task in TASKS:
            part = section(task, f"presets-{task}")
            self.state.document.note_implicit_target(part, part)
            part += table(
                ("preset", "sets", "where", "differs from the print"),
                [_row(name, task) for name in presets() if name.startswith(f"{task}-")],
                (25, 30, 15, 30),
                "presets",
            )
            found.append(part)
        return found


def _row(name: str, task: str) -> tuple[Cell, ...]:
    preset = presets()[name]
    own = {k: v for k, v in preset.values.items() if k != "task" and SHARED.get(k) != v}
    differs = "; ".join(d for d in preset.differs if d != UNPRINTED)
    sets: list[str | nodes.Node] = []
    for key, value in own.items():
        sets += [", "] * bool(sets) + [code(f"{key} = {value}")]
    return code(name), sets, preset.source, differs


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("train-fields", TrainFields)
    app.add_directive("train-presets", TrainPresets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
