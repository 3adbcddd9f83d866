"""The examples in the modules of the figures hold, and their imports are allowed."""

import doctest
import importlib
import pkgutil

import pytest

import figures
from tests.test_layering import imports, modules

NAMES = sorted(info.name for info in pkgutil.walk_packages(figures.__path__, "figures."))


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("__main__")])
def test_examples(name: str) -> None:
    assert not doctest.testmod(importlib.import_module(name)).failed


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    for name in (
        "engine.figure",
        "engine.markdown",
        "engine.output",
        "engine.store",
        "quadratic.certified",
    ):
        found = finder.find(importlib.import_module(f"figures.{name}"))
        assert any(test.examples for test in found), name


def test_no_figure_depends_on_a_benchmark_or_the_demo() -> None:
    own = [(name, path) for name, path in modules() if name.split(".")[0] == "figures"]
    assert len(own) == len(NAMES) + 1  # the package itself
    for name, path in own:
        for target in imports(name, path):
            assert not target.startswith(("benchmarks", "figures.demo")), f"{name}: {target}"
