"""Every public name of nqm and lopt stands in the reference, once."""

import argparse
import re
from collections import Counter
from dataclasses import fields
from pathlib import Path

import lopt
import lopt.cli
import nqm
import nqm.cli
from docs.extensions.commands import commands, signature, text
from docs.extensions.configuration import TrainFields
from docs.extensions.docstrings import escaped
from docs.extensions.members import comment, of_lopt, of_nqm
from docs.extensions.public import homes, modules
from lopt.meta.config import TrainConfig

REFERENCE = Path(__file__).resolve().parents[2] / "docs/reference"


def listed() -> list[str]:
    """The modules that the pages of the reference describe."""
    found = []
    for page in sorted(REFERENCE.glob("*.rst")):
        for block in re.findall(r"^\.\. members::\n\n((?: {3}\S+\n)+)", page.read_text(), re.M):
            found += block.split()
    return found


def test_every_module_is_on_one_page() -> None:
    wanted = {f"nqm.{module}" for module in nqm.EXPORTS.values()}
    wanted |= {module for module in modules() if module != "nqm"}
    assert Counter(listed()) == Counter(wanted)


def test_every_public_name_is_described_once() -> None:
    described: Counter[str] = Counter()
    for module in listed():
        lines = of_nqm(module) if module.startswith("nqm.") else of_lopt(module)
        described.update(
            re.findall(r"^\.\. (?:autoclass|autofunction|py:data):: (\S+)$", "\n".join(lines), re.M)
        )
    assert described == Counter(set(homes().values()))
    exports = [f"nqm.{name}" for name in nqm.__all__] + [f"lopt.{name}" for name in lopt.__all__]
    assert set(exports) <= set(described)


def test_every_constant_and_alias_has_a_text() -> None:
    for module in listed():
        if not module.startswith("nqm."):
            for path in re.findall(r"^\.\. py:data:: (\S+)$", "\n".join(of_lopt(module)), re.M):
                assert comment(path), f"{path} has no comment #:"


def test_every_page_is_in_the_contents() -> None:
    contents = (REFERENCE / "index.rst").read_text()
    for page in REFERENCE.glob("*.rst"):
        if page.stem != "index":
            assert f"\n   {page.stem}\n" in contents, page.name


def test_every_option_of_the_programs_has_a_text() -> None:
    for parser in (nqm.cli.build_parser(), lopt.cli.build_parser()):
        found = list(commands(parser))
        assert len(found) >= 5
        for command in found:
            for action in command._actions:
                if not isinstance(action, argparse._HelpAction):
                    assert text(command, action), f"{command.prog} {signature(action).astext()}"


def test_signatures_of_options() -> None:
    parser = argparse.ArgumentParser("p")
    shown = [
        signature(parser.add_argument("--steps", "-s", nargs="+", metavar="N", help="h")),
        signature(parser.add_argument("--kind", choices=("a", "b"), help="h")),
        signature(parser.add_argument("--flag", action="store_true", help="h")),
        signature(parser.add_argument("--on", action=argparse.BooleanOptionalAction, help="h")),
        signature(parser.add_argument("file", metavar="FILE", help="h")),
    ]
    assert [node.astext() for node in shown] == [
        "--steps, -s N [N ...]",
        "--kind {a,b}",
        "--flag",
        "--on, --no-on",
        "FILE",
    ]


def test_the_table_of_fields_has_every_field_with_its_default() -> None:
    directive = TrainFields.__new__(TrainFields)
    shown = directive.run()[0].astext()
    for field in fields(TrainConfig):
        assert field.name in shown
        assert field.metadata["help"] in shown
    assert "0.1 and 0.5; elsewhere 0" in shown


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
