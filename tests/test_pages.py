"""README and the pages of docs are run: their Python as doctests, their commands as shown."""

import doctest
import re
import shlex
from pathlib import Path

import pytest

from nqm.cli import main

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("data", "lopt", "monitor", "nqm", "nqm-moments", "switched", "tasks", "tutorial")
PAGES = [
    ROOT / "README.md",
    *(ROOT / f"docs/{name}.md" for name in NAMES),
]


def shown() -> list[tuple[str, str]]:
    """(command, output) of every console block of every page."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                found.append((command, output))
    return found


def visible(output: str, filters: list[str]) -> str:
    """What `head -N` or `sed -n Np` leaves of the output."""
    lines = output.splitlines(keepends=True)
    for item in filters:
        match shlex.split(item):
            case ["head", count]:
                lines = lines[: int(count[1:])]
            case ["sed", "-n", line]:
                lines = lines[int(line[:-1]) - 1 : int(line[:-1])]
            case _:
                raise ValueError(f"unknown filter {item}")
    return "".join(lines)


@pytest.mark.parametrize(("command", "expected"), shown(), ids=lambda v: v[:40])
def test_commands_print_what_the_pages_show(
    command: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call, *filters = [part.strip() for part in command.split("|")]
    program, *argv = shlex.split(call)
    assert program == "nqm"
    assert main(argv) in (0, 1, 3)
    printed = visible(capsys.readouterr().out, filters)
    # Sizes of rounding errors differ between machines.
    rounding = re.compile(r"\d+e-1\d")
    checker = doctest.OutputChecker()
    assert checker.check_output(
        rounding.sub("tiny", expected), rounding.sub("tiny", printed), doctest.ELLIPSIS
    ), printed


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_examples(page: Path) -> None:
    result = doctest.testfile(str(page), module_relative=False)
    assert result.failed == 0
    assert result.attempted == page.read_text("utf-8").count(">>> ")


def test_a_task_of_ones_own_takes_20_lines() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/tasks.md").read_text(), re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        assert len(re.findall(r"^(?:>>>|\.\.\.) ", block, re.MULTILINE)) <= 20


def test_readme_names_files_and_targets_that_exist() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for link in re.findall(r"\]\(([\w./-]+)\)", text):
        assert (ROOT / link).exists(), link
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"^make (\w+)", text, re.MULTILINE):
        assert f"\n{target}:" in makefile, target
