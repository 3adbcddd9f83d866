"""The public names of nqm and lopt, and the one place of the reference where each stands."""

import importlib
import inspect
import pkgutil
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import nqm

PACKAGES = ("lopt.optimizers", "lopt.tasks", "lopt.meta", "lopt.monitor")


class Entry(NamedTuple):
    """A public name, the module it is public in, and where the reference describes it."""

    module: str
    name: str
    home: str

    @property
    def path(self) -> str:
        """The dotted path in its module."""
        return f"{self.module}.{self.name}"


@cache
def modules() -> tuple[str, ...]:
    """The public modules: the two packages, and everything within lopt but its command line."""
    found = ["nqm", "lopt"]
    for name in PACKAGES:
        package = importlib.import_module(name)
        inner = pkgutil.walk_packages(package.__path__, f"{name}.")
        found += [name, *(m.name for m in inner if not m.name.rpartition(".")[2].startswith("_"))]
    return tuple(found)


def names(module: ModuleType) -> list[str]:
    """What a module exports, or else the functions and classes that it defines."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    ]


def origin(module: str, name: str) -> str:
    """Where a name was defined; constants and aliases do not know, and go by identity."""
    value = getattr(importlib.import_module(module), name)
    if inspect.isfunction(value) or inspect.isclass(value):
        path = f"{value.__module__}.{value.__qualname__}"
        if path.startswith(("nqm.", "lopt.")):
            return path
    return f"constant.{name}.{id(value)}"


@cache
def homes() -> dict[str, str]:
    """Defining path -> the shortest public path, under which the reference has it."""
    found: dict[str, str] = {}
    for module in modules():
        for name in names(importlib.import_module(module)):
            path, home = origin(module, name), f"{module}.{name}"
            found[path] = min(found.get(path, home), home, key=lambda p: (p.count("."), p))
    return found


def entries(module: str) -> list[Entry]:
    """The public names of one module."""
    found = names(importlib.import_module(module))
    return [Entry(module, name, homes()[origin(module, name)]) for name in found]


def defined_in(module: str) -> list[str]:
    """The names that nqm exports from one of its modules, in the order of the source."""
    source = importlib.import_module(f"nqm.{module}")
    exported = [name for name, home in nqm.EXPORTS.items() if home == module]
    lines = {name: _line(getattr(source, name)) for name in exported}
    return sorted(exported, key=lines.__getitem__)


def _line(value: Any) -> int:
    return inspect.getsourcelines(value)[1]
