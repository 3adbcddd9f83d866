"""Every public name is documented with an example, and every example runs."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import nqm

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(nqm.__path__, "nqm.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module)
    assert result.failed == 0


@pytest.mark.parametrize("name", [name for name in nqm.__all__ if name != "__version__"])
def test_every_exported_name_is_documented(name: str) -> None:
    value = getattr(nqm, name)
    text = inspect.getdoc(value) or ""
    assert "Examples\n--------\n" in text, f"{name} has no Examples section"
    assert ">>> " in text
    first = text.splitlines()[0]
    assert first.endswith((".", ":", "?")), f"{name}: the first line must be a sentence"
    if inspect.isfunction(value):
        for parameter in inspect.signature(value).parameters:
            assert parameter in text, f"{name} does not document {parameter}"
        assert "Returns\n-------\n" in text, f"{name} does not say what it returns"
        assert "Parameters\n----------\n" in text


def test_every_module_says_what_it_is_for() -> None:
    for name in MODULES:
        assert importlib.import_module(name).__doc__


def test_the_names_are_listed_in_order_and_no_others_are_found() -> None:
    assert dir(nqm) == nqm.__all__ == sorted(nqm.__all__)
    assert len(nqm.__all__) == len(set(nqm.__all__))
    with pytest.raises(AttributeError, match="nqm attribute nonsense"):
        nqm.nonsense  # noqa: B018
