"""The command line: the table, one proof, the documents, bad input."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from theory.__main__ import main
from theory.catalogue import STATEMENTS
from theory.engine.statement import Proof, Statement
from theory.errata import Latex, document
from theory.text import page

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_lists_every_statement(capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    assert main([]) == 0
    assert time.monotonic() - start < 120
    lines = capsys.readouterr().out.splitlines()
    for statement, line in zip(STATEMENTS, lines, strict=False):
        assert line.startswith(statement.name)
        assert statement.status.value in line
    assert f"{len(STATEMENTS)} statements, 0 not proved" in lines[-1]
    assert max(map(len, lines[:-1])) <= 150


def test_a_page_has_statement_proof_and_counterexample(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["theorem-1"]) == 0
    out = capsys.readouterr().out
    for part in (
        "false as printed",
        "assume: P symmetric",
        "Proof",
        "[ok] A is similar",
        "Counterexample to what was printed",
        "P = [[0, 2], [0, 1/2]]",
        "z^2 + z - 2 = (z - 1)*(z + 2)",
    ):
        assert part in out
    assert max(map(len, out.splitlines())) <= 100
    assert "FAILS" not in out


@pytest.fixture(scope="module", autouse=True)
def proved_once() -> Iterator[None]:
    """Every statement is proved once; all of the tests read the same proofs."""
    proofs: dict[str, Proof] = {}
    prove = Statement.prove

    def once(self: Statement) -> Proof:
        if self.name not in proofs:
            proofs[self.name] = prove(self)
        return proofs[self.name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Statement, "prove", once)
        yield


@pytest.fixture(scope="module")
def proved() -> list[tuple[Statement, Proof]]:
    return [(statement, statement.prove()) for statement in STATEMENTS]


def test_every_page_is_readable(proved: list[tuple[Statement, Proof]]) -> None:
    for statement, proof in proved:
        lines = page(statement, proof)
        assert lines[0].startswith(f"{statement.name}: {statement.title}")
        assert len(lines) < 120
        assert max(map(len, lines)) <= 100
        assert "\n".join(lines).isascii()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["theorm-1"], "no statement is called 'theorm-1'; nearest: theorem-1, theorem-1-prime"),
        (["theorem-1", "--latex"], "leave out the name"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


def test_the_module_runs_without_numpy() -> None:
    script = (
        "import sys, theory.__main__ as m; code = m.main(['theorem-1']); sys.exit(code or "
        "('numpy' in sys.modules) or ('jax' in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    gone = subprocess.run(
        [sys.executable, "-m", "theory", "lema-2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert gone.returncode == 2
    assert "lemma-2" in gone.stderr
    assert "Traceback" not in gone.stderr


def test_the_errata_are_not_stale(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--markdown"]) == 0
    kept = (ROOT / "docs" / "errata.md").read_text()
    assert capsys.readouterr().out == kept, (
        "docs/errata.md is stale; write it again: python -m theory --markdown > docs/errata.md"
    )


def test_the_latex_is_balanced(proved: list[tuple[Statement, Proof]]) -> None:
    out = document(Latex(), proved)
    assert out.startswith(r"\documentclass")
    for opening, closing in (
        (r"\begin{itemize}", r"\end{itemize}"),
        (r"\left[", r"\right]"),
        (r"\begin{matrix}", r"\end{matrix}"),
    ):
        assert out.count(opening) == out.count(closing) > 0
    assert out.replace(r"\$", "").count("$") % 2 == 0
    assert out.isascii()
    for statement in STATEMENTS:
        assert statement.name in out
