"""The examples in the docstrings of the package hold."""

import doctest
import importlib
import pkgutil

import pytest

import theory

MODULES = [
    info.name
    for info in pkgutil.walk_packages(theory.__path__, "theory.")
    if not info.name.endswith("__main__")
]


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    found = [t for m in MODULES for t in finder.find(importlib.import_module(m))]
    assert sum(bool(test.examples) for test in found) >= 4
