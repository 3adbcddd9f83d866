"""Every public name of lopt says what it is, and every example in it runs."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import lopt

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(lopt.__path__, "lopt.")
    if not info.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_module_and_its_public_names_are_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    for public, value in vars(module).items():
        own = getattr(value, "__module__", None) == name
        if own and not public.startswith("_") and callable(value):
            assert inspect.getdoc(value), f"{name}.{public} has no docstring"


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_export_exists() -> None:
    assert len(set(lopt.__all__)) == len(lopt.__all__)
    for name in lopt.__all__:
        assert inspect.getdoc(getattr(lopt, name))
