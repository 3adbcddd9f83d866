"""An import may only point down the list of layers; nqm knows no JAX and theory only SymPy."""

import ast
import re
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
# From the top layer to the bottom: a module may import its own layer and those below it.
LAYERS = tuple(tuple(line.split()) for line in ARCHITECTURE.split("```")[1].strip().splitlines())
OUTSIDE_ALLOWED = {
    "nqm": {"numpy", "scipy", "array_api_compat", "flint", "lazy_loader", "matplotlib"},
    "theory": {"sympy"},
}


ROOMS = ("figures", "lopt", "nqm", "theory")
MODULES_OF_A_ROOM = 12
# The rooms of nqm from the top to the bottom; the modules beside them are below all but the
# command line.
LADDER = (
    *("cli", "verdict", "gradients", "moments", "switching"),
    *("robust", "rules", "conditions", "spectra"),
)


def layer(module: str) -> int | None:
    """The index of the layer of a dotted module name, None outside the project."""
    for index, names in enumerate(LAYERS):
        if any(module == name or module.startswith(name + ".") for name in names):
            return index
    return None


def modules() -> list[tuple[str, Path]]:
    """Every Python module of the layers and every stub, as (dotted name, file)."""
    found = []
    for top in ("figures", "notebooks", "benchmarks", "lopt", "nqm", "theory"):
        for path in sorted((ROOT / top).rglob("*.py*")):
            if path.suffix not in (".py", ".pyi"):
                continue
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(p for p in parts if p != "__init__"), path))
    return found


def imports(name: str, path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    result = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            result |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            result |= {f"{origin}.{alias.name}" for alias in node.names}
    return result


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda v: v if isinstance(v, str) else "")
def test_imports_point_down(name: str, path: Path) -> None:
    own = layer(name)
    for target in imports(name, path):
        other = layer(target)
        if own is not None and other is not None:
            assert own <= other, f"{name} imports {target}, which lies above it"
        if name.startswith(("nqm", "theory")) and target.split(".")[0] == "lopt":
            pytest.fail(f"{name} imports {target}")


@pytest.mark.parametrize("top", sorted(OUTSIDE_ALLOWED))
def test_outside_imports(top: str) -> None:
    allowed = OUTSIDE_ALLOWED[top] | {top}
    for name, path in modules():
        if name == top or name.startswith(top + "."):
            roots = {target.split(".")[0] for target in imports(name, path)}
            foreign = roots - allowed - set(sys.stdlib_module_names)
            assert not foreign, f"{name} imports {sorted(foreign)}; allowed: {sorted(allowed)}"


def test_the_walk_sees_the_stubs() -> None:
    stubs = {name: path for name, path in modules() if path.suffix == ".pyi"}
    assert {"nqm", "lopt", "lopt.meta", "lopt.monitor"} <= set(stubs)
    assert "lopt.monitor.inspection.inspection.inspect" in imports(
        "lopt.monitor", stubs["lopt.monitor"]
    )


def test_the_walk_sees_relative_imports(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("from . import a\nfrom ..b import c\ndef f():\n    import d.e\n")
    assert imports("x.y.module", path) == {"x.y.a", "x.b.c", "d.e"}


@pytest.mark.parametrize("top", ROOMS)
def test_no_import_circle(top: str) -> None:
    """Also none that an import inside a function hides; a package does not count for its own."""
    own = {name: path for name, path in modules() if name.split(".")[0] == top}
    graph: dict[str, set[str]] = {name: set() for name in own}
    for name, path in own.items():
        for target in imports(name, path):
            while target and target not in own:
                target = target.rpartition(".")[0]
            if target and not f"{name}.".startswith(f"{target}."):
                graph[name].add(target)
    assert any(graph.values())
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_the_rooms_of_nqm_form_a_ladder() -> None:
    rank = {f"nqm.{room}": place for place, room in enumerate(LADDER)}
    found = [(name, path) for name, path in modules() if name.startswith("nqm.")]
    seen = {room for name, _ in found for room in rank if f"{name}.".startswith(f"{room}.")}
    assert seen == set(rank)
    for name, path in found:
        own = rank.get(".".join(name.split(".")[:2]), len(rank))
        for target in imports(name, path):
            other = rank.get(".".join(target.split(".")[:2]), len(rank))
            assert own <= other or name == "nqm.__main__", f"{name} imports {target}"


@pytest.mark.parametrize("top", ROOMS)
def test_no_room_has_too_many_modules(top: str) -> None:
    rooms = Counter(path.parent for _, path in modules() if path.stem != "__init__")
    sizes = {str(room.relative_to(ROOT)): count for room, count in rooms.items()}
    assert top in sizes
    crowded = {
        room: count
        for room, count in sizes.items()
        if room.split("/")[0] == top and count > MODULES_OF_A_ROOM
    }
    assert not crowded


def test_the_layers_are_those_of_the_architecture() -> None:
    assert len(LAYERS) == 9
    assert {name for names in LAYERS for name in names} == {
        *("figures", "notebooks", "benchmarks", "theory", "nqm"),
        *(f"lopt.{room}" for room in ("cli", "meta", "monitor", "tasks", "optimizers")),
        *("lopt.arrays", "lopt.checks", "lopt.files"),
    }


def test_every_room_and_file_of_the_architecture_exists() -> None:
    found = []
    for section in ARCHITECTURE.split("\n## ")[1:]:
        heading, _, rest = section.partition("\n")
        folder = ROOT / heading.partition(":")[0] if ":" in heading else ROOT
        column = -1 if heading.startswith("Where") else 0
        for line in rest.splitlines():
            if line.startswith("|"):
                cell = line.strip("| ").split("|")[column]
                found += [folder / name for name in re.findall(r"`([^`]+)`", cell)]
    assert len(found) > 40
    missing = [p for p in found if not (p.exists() or p.with_suffix(".py").exists())]
    assert not missing
