"""`members`: the public names of modules, as a table and one by one."""

import importlib
import inspect
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from docs.extensions.docstrings import escaped
from docs.extensions.public import defined_in, entries, homes, modules


class Members(SphinxDirective):
    """Describe modules: those of nqm by what the package exports, those of lopt in full."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Write the description as reStructuredText and read it."""
        lines: list[str] = []
        for module in self.content:
            lines += of_nqm(module) if module.startswith("nqm.") else of_lopt(module)
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def of_nqm(module: str) -> list[str]:
    """The names that nqm exports from a module."""
    names = [f"nqm.{name}" for name in defined_in(module.removeprefix("nqm."))]
    return [*titled(module, importlib.import_module(module)), *described(names, names)]


def of_lopt(module: str) -> list[str]:
    """The public names of a module; those that have their home elsewhere are only listed."""
    source = importlib.import_module(module)
    found = entries(module)
    here = [e.home for e in found if e.home == e.path]
    # `lopt.monitor.growth` is a function of the package, too, and that is what the name leads to.
    target = [] if module in homes().values() else [f".. py:module:: {module}", ""]
    return [
        *titled(module, source, [*target, ".. py:currentmodule:: None", ""]),
        *described([e.home for e in found], here),
    ]


def titled(module: str, source: ModuleType, target: Sequence[str] = ()) -> list[str]:
    """A heading, what links lead to, and the module's own description."""
    text = inspect.cleandoc(source.__doc__ or "")
    return [module, "-" * len(module), "", *target, *escaped(text.splitlines()), ""]


def described(listed: list[str], full: list[str]) -> list[str]:
    """A table of names with their first lines, then the full descriptions."""
    lines = []
    summed = [path for path in listed if described_by_autodoc(value(path))]
    if summed:
        lines += [".. autosummary::", "   :nosignatures:", ""]
        lines += [f"   {path}" for path in summed] + [""]
    for path in full:
        lines += [*one(path), ""]
    return lines


def described_by_autodoc(thing: Any) -> bool:
    """Whether it is a class or a function of ours, and not a constant or an alias."""
    ours = str(getattr(thing, "__module__", "")).partition(".")[0] in ("nqm", "lopt")
    return ours and (inspect.isclass(thing) or inspect.isroutine(thing))


def one(path: str) -> list[str]:
    """The directive that describes one name."""
    thing = value(path)
    if described_by_autodoc(thing):
        return [f".. auto{'class' if inspect.isclass(thing) else 'function'}:: {path}"]
    shown = " ".join(repr(thing).split())
    text = comment(path) or [""]
    return [
        f".. py:data:: {path}",
        *([f"   :value: {shown}"] if len(shown) <= 60 else []),
        "",
        *(f"   {line}" for line in text),
    ]


def value(path: str) -> Any:
    """The object of a dotted path."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def comment(path: str) -> list[str]:
    """The comment `#:` above a constant, in whichever module below its home defines it."""
    module, _, name = path.rpartition(".")
    candidates = [module, *(m for m in modules() if m.startswith(f"{module}."))]
    for candidate in candidates:
        if getattr(importlib.import_module(candidate), name, None) is value(path):
            documented = ModuleAnalyzer.for_module(candidate).find_attr_docs()
            if ("", name) in documented:
                return documented["", name]
    return []


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("members", Members)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
