"""docs/nqm-moments.md is run: its Python as doctests, its commands against their output."""

import doctest
import re
import shlex
from pathlib import Path

import pytest

from nqm.cli import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "nqm-moments.md"
CONSOLE = re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
COMMANDS = [
    tuple(block.split("\n", 1)) for text in CONSOLE for block in text.split("$ nqm ") if block
]


def test_the_python_examples() -> None:
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.attempted > 15
    assert result.failed == 0


@pytest.mark.parametrize(("command", "expected"), COMMANDS)
def test_the_commands(command: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(command)) == 0
    found = capsys.readouterr().out
    checker = doctest.OutputChecker()
    assert checker.check_output(expected, found, doctest.ELLIPSIS), found
