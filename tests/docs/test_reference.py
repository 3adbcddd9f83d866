"""The reference describes every public name of nqm and lopt, and every command, once."""

import argparse
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import lopt
import lopt.cli
import nqm
import nqm.cli
from docs.extensions.docstrings import PERIOD, escaped
from docs.extensions.presets import TrainPresets
from docs.extensions.public import homes, value
from lopt.meta.config import TrainConfig
from lopt.meta.presets import presets

REFERENCE = Path(__file__).resolve().parents[2] / "docs/reference"
PAGES = sorted(REFERENCE.glob("*.rst"))
DESCRIBED = re.compile(r"^\.\. (autoclass|autofunction|py:data):: (\S+)$((?:\n\n? {3}.+)*)", re.M)
PROGRAMS = {"nqm": nqm.cli.build_parser, "lopt": lopt.cli.build_parser}


def absolute(page: str, name: str) -> str:
    """Return the full path of a name on a page."""
    module = re.search(r"^\.\. currentmodule:: (\S+)$", page, re.M)
    return name if "." in name or module is None else f"{module[1]}.{name}"


def described(page: str) -> list[tuple[str, str, str]]:
    """Return the directive, the path and the text of each description on a page."""
    return [
        (kind, absolute(page, name), text.strip()) for kind, name, text in DESCRIBED.findall(page)
    ]


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers of all subcommands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield inner
                yield from commands(inner)


def test_every_public_name_is_described_once() -> None:
    found = Counter(path for page in PAGES for _, path, _ in described(page.read_text()))
    assert found == Counter(set(homes().values()))
    exports = [f"nqm.{name}" for name in nqm.__all__]
    exports += [
        f"lopt.{name}" for name in lopt.__all__ if not inspect.ismodule(value(f"lopt.{name}"))
    ]
    assert {homes()[path] for path in exports} <= set(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_table_of_a_page_has_what_the_page_describes(page: Path) -> None:
    text = page.read_text()
    table = re.findall(r"^\.\. autosummary::\n   :nosignatures:\n\n((?: {3}\S+\n)+)", text, re.M)
    listed = [absolute(text, name) for block in table for name in block.split()]
    assert listed == [path for kind, path, _ in described(text) if kind != "py:data"]


def test_a_class_is_described_as_a_class_and_a_constant_with_a_text() -> None:
    for page in PAGES:
        for kind, path, text in described(page.read_text()):
            if kind == "py:data":
                assert len(text) > 20, f"{path} has no text"
            else:
                assert inspect.isclass(value(path)) == (kind == "autoclass"), path


def test_every_page_is_in_the_contents() -> None:
    contents = (REFERENCE / "index.rst").read_text()
    for page in PAGES:
        if page.stem != "index":
            assert f"\n   {page.stem}\n" in contents, page.name


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_has_its_section(program: str) -> None:
    page = (REFERENCE / f"command-{program}.rst").read_text()
    blocks = page.split(".. argparse::\n")[1:]
    assert all(f"   :module: {program}.cli\n   :func: build_parser\n" in b for b in blocks)
    paths = [re.findall(r"^   :path: (.+)$", block, re.M) for block in blocks]
    (choices,) = (
        action.choices
        for action in PROGRAMS[program]()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    assert paths == [[name] for name in choices]
    assert [f"\n{program} {name}\n---" in page for name in choices] == [True] * len(paths)


def test_every_option_of_the_programs_has_a_text() -> None:
    for build in PROGRAMS.values():
        found = list(commands(build()))
        assert len(found) >= 5
        for command in found:
            for action in command._actions:
                if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
                    where = f"{command.prog} {action.dest}"
                    assert action.help, where
                    silent = action.default in (None, False, argparse.SUPPRESS)
                    assert silent or "default" in action.help, f"{where} does not say its default"


def test_every_field_of_a_configuration_is_a_flag_with_its_default() -> None:
    (train,) = (c for c in commands(lopt.cli.build_parser()) if c.prog == "lopt train")
    shown = {action.dest: action.help or "" for action in train._actions}
    for field in fields(TrainConfig):
        assert field.metadata["help"].replace("%", "%%") in shown[field.name]
        assert "(default: " in shown[field.name]
    assert "0.1 and 0.5; elsewhere 0" in " ".join(shown.values())


def test_the_table_of_presets_has_every_one() -> None:
    shown = TrainPresets.run(TrainPresets.__new__(TrainPresets))[1].astext()
    for name, preset in presets().items():
        assert name in shown
        assert preset.source in shown


def test_a_summary_ends_with_its_sentence_and_not_within_a_formula() -> None:
    for formula in ("log |J_T ... J_1| / T", "tokens 1 .. T of a row", "sum_t s_t . H phi_t"):
        assert PERIOD.split(f"{formula}, in short. The rest.") == [
            f"{formula}, in short",
            "The rest.",
        ]


def test_formulas_are_escaped_and_code_is_not() -> None:
    assert escaped(["|x|_2 of phi_ and P* g", ">>> a * b", "`P*` and ``|x|``"]) == [
        r"\|x\|_2 of phi\_ and P\* g",
        ">>> a * b",
        "`P*` and ``|x|``",
    ]
    assert escaped(["see [1]_", "", ".. [1] Someone,", "   1951."]) == [
        "see [1]",
        "",
        "* [1] Someone,",
        "  1951.",
    ]
    assert escaped(["    m. Default: zero.", "(9) and (10)"]) == [
        r"    \m. Default: zero.",
        r"\(9) and (10)",
    ]
    assert escaped(["* *strong*: a * b"]) == [r"* *strong*: a \* b"]
