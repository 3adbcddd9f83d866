"""The public names of nqm and lopt, and links to them from other paths."""

import importlib
import inspect
from functools import cache
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

# A name that is public in several packages is described under the first of them.
PACKAGES = ("nqm", "lopt", "lopt.optimizers", "lopt.tasks", "lopt.meta", "lopt.monitor")


def value(path: str) -> Any:
    """Return the object of a dotted path."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


@cache
def homes() -> dict[str, str]:
    """Map every path of a public name to the path under which the reference describes it."""
    first: dict[tuple[str, int], str] = {}
    found: dict[str, str] = {}
    for package in PACKAGES:
        for name in importlib.import_module(package).__all__:
            thing = value(f"{package}.{name}")
            if not inspect.ismodule(thing):
                home = first.setdefault((name, id(thing)), f"{package}.{name}")
                defined = f"{getattr(thing, '__module__', package)}.{name}"
                found |= {f"{package}.{name}": home, defined: home}
    return found


def resolve(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """Resolve the path of a defining module to the public name."""
    home = homes().get(node["reftarget"])
    if node.get("refdomain") != "py" or home in (None, node["reftarget"]):
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", home, node, content)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the event."""
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
