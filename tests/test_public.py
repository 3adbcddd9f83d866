"""Each package lists its public names once, in its stub; they load when they are first used."""

import ast
import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("nqm", "lopt", "lopt.optimizers", "lopt.tasks", "lopt.meta", "lopt.monitor")
NAMES = [(p, name) for p in PACKAGES for name in importlib.import_module(p).__all__]


def stub(package: str) -> list[ast.ImportFrom]:
    """The imports of a package's stub, which holds nothing else but its docstring."""
    text = (ROOT / package.replace(".", "/") / "__init__.pyi").read_text("utf-8")
    first, *rest = ast.parse(text).body
    assert isinstance(first, ast.Expr)
    assert all(isinstance(node, ast.ImportFrom) for node in rest)
    return [node for node in rest if isinstance(node, ast.ImportFrom)]


def python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_the_stub_is_the_only_list_of_names(package: str) -> None:
    module = importlib.import_module(package)
    found = Counter(alias.name for node in stub(package) for alias in node.names)
    assert set(found.values()) == {1}
    assert module.__all__ == sorted(found) == dir(module)
    source = inspect.getsource(module)
    assert not [name for name in found if f'"{name}"' in source]


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_a_public_name_is_what_its_module_defines(package: str, name: str) -> None:
    value = getattr(importlib.import_module(package), name)
    (home,) = (n.module for n in stub(package) if name in {alias.name for alias in n.names})
    if home is None:
        assert value is importlib.import_module(f"{package}.{name}")
    else:
        assert value is getattr(importlib.import_module(f"{package}.{home}"), name)
        assert not isinstance(value, ModuleType)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_submodule_hides_a_public_name(package: str) -> None:
    """A name may be that of a submodule only where it is defined there, which the loader guards."""
    submodules = {m.name for m in pkgutil.iter_modules(importlib.import_module(package).__path__)}
    for node in stub(package):
        for alias in node.names:
            if node.module is not None and alias.name in submodules:
                assert node.module.partition(".")[0] == alias.name, f"{package}.{alias.name}"
    assert package != "lopt.monitor" or "inspect" not in submodules


def test_a_function_wins_over_its_module_whatever_is_imported_first() -> None:
    code = """
import importlib, types
taken = ["monitor.growth", "meta.presets", "optimizers.star", "optimizers.linear"]
for path in taken:
    importlib.import_module(f"lopt.{path}")
import lopt.monitor.growth
from lopt.monitor.growth import Growth
for path in taken:
    package, _, name = path.rpartition(".")
    value = getattr(importlib.import_module(f"lopt.{package}"), name)
    assert isinstance(value, types.FunctionType), (path, value)
from lopt.monitor import growth, inspect
assert callable(growth) and callable(inspect)
"""
    assert python(code) == ""


def test_importing_a_package_imports_nothing_heavy() -> None:
    code = """
import sys
import nqm, lopt, lopt.meta, lopt.monitor, lopt.optimizers, lopt.tasks
heavy = {"numpy", "scipy", "jax", "jaxlib", "optax", "flax", "orbax", "matplotlib", "sympy"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""
    assert python(code).strip() == "[]"


def test_using_star_imports_neither_the_trainer_nor_the_monitor() -> None:
    code = """
import sys
import lopt
lopt.star, lopt.STAR, lopt.MetaParameters
print(sorted(n for n in sys.modules if n.startswith(("lopt.meta", "lopt.monitor", "lopt.tasks"))))
"""
    assert python(code).strip() == "[]"


def test_every_name_can_be_loaded_at_once() -> None:
    code = "import nqm, lopt, lopt.meta, lopt.monitor, lopt.optimizers, lopt.tasks"
    assert python(code, EAGER_IMPORT="1") == ""


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        importlib.import_module(package).nonsense  # noqa: B018


def test_the_version_is_that_of_the_distribution() -> None:
    import lopt
    import nqm

    assert nqm.__version__ == lopt.__version__ == importlib.metadata.version("nqm-lopt")
    assert python("from nqm.cli import main; main(['--version'])") == f"nqm {nqm.__version__}\n"
    assert python("from lopt.cli import main; main(['--version'])") == f"lopt {nqm.__version__}\n"


def test_a_checkout_that_is_not_installed_says_that_its_version_is_unknown() -> None:
    code = """
import importlib.metadata as metadata
def version(name):
    raise metadata.PackageNotFoundError(name)
metadata.version = version
import lopt, nqm
print(nqm.__version__, lopt.__version__)
"""
    assert python(code) == "0+unknown 0+unknown\n"


def test_the_packages_are_marked_as_typed_and_carry_their_stubs() -> None:
    for package in PACKAGES:
        folder = ROOT / package.replace(".", "/")
        assert (folder / "__init__.pyi").is_file()
        assert (ROOT / package.partition(".")[0] / "py.typed").is_file()


@pytest.mark.slow
def test_mypy_sees_every_public_name(tmp_path: Path) -> None:
    lines = [f"from {package} import {name} as seen_{i}" for i, (package, name) in enumerate(NAMES)]
    lines += [f"reveal_type(seen_{i})" for i in range(len(NAMES))]
    program = tmp_path / "program.py"
    program.write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", str(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    revealed = [line for line in done.stdout.splitlines() if "Revealed type is" in line]
    assert len(revealed) == len(NAMES)
    assert not [line for line in revealed if line.endswith('"Any"')]
