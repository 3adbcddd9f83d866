"""The table of the paper is complete, its names exist, and their docstrings cite the number."""

import inspect
import re

import pytest

from docs.extensions.equations import FOLDER, Row, errata_anchors, rows
from docs.extensions.public import homes, value

# The numbers as the paper prints them.
EQUATIONS = [*(str(n) for n in range(1, 23)), *(f"A.{n}" for n in range(1, 34))]
RESULTS = ["Theorem 1", *(f"Lemma {n}" for n in range(2, 6))]
FOOTNOTES = [f"footnote {n}" for n in range(1, 7)]
FIGURES = [*(f"Figure {n}" for n in range(1, 5)), *(f"Figure App.{n}" for n in range(1, 7))]
SECTIONS = [
    "section 3",
    *(f"section 4{part}" for part in ("", ".1", ".2", ".3", ".4")),
    *(f"section 5.{n}" for n in range(1, 4)),
    *(f"section A.{n}" for n in range(1, 5)),
    *(f"section B{part}" for part in ("", ".1", ".2", ".3")),
    *(f"section C.{n}" for n in range(1, 4)),
]
CITED = [(row, path) for row in rows("equation") for path in row.by]
NAMED = [
    (row, path) for kind in ("result", "figure", "section") for row in rows(kind) for path in row.by
]


@pytest.mark.parametrize(
    ("kind", "printed"),
    [
        ("equation", EQUATIONS),
        ("result", RESULTS + FOOTNOTES),
        ("figure", FIGURES),
        ("section", SECTIONS),
    ],
)
def test_every_number_of_the_paper_is_there_in_its_order(kind: str, printed: list[str]) -> None:
    assert [row.number for row in rows(kind)] == printed


@pytest.mark.parametrize(("row", "path"), CITED, ids=lambda x: getattr(x, "number", x))
def test_what_implements_an_equation_cites_its_number(row: Row, path: str) -> None:
    assert path in homes().values(), f"{path} is not a public name, or not its shortest"
    assert row.printed in (inspect.getdoc(value(path)) or ""), f"{path} does not cite {row.printed}"


def test_what_the_other_rows_name_is_public() -> None:
    for row, path in NAMED:
        assert path in homes().values(), f"{row.number} names {path}"


def test_a_row_names_a_function_or_says_where_it_is_used() -> None:
    for kind in ("equation", "result", "figure", "section"):
        for row in rows(kind):
            assert row.what
            assert row.by or row.note, row.number


def test_code_in_notes_names_what_exists() -> None:
    for kind in ("equation", "result", "figure", "section"):
        for row in rows(kind):
            for name in re.findall(r"`((?:nqm|lopt)\.[\w.]+)", row.note):
                assert value(name) is not None


def test_every_statement_of_theory_about_an_equation_is_found() -> None:
    stated = {number for number in EQUATIONS if number not in ("1", "2", "3", "20", "21", "22")}
    stated -= {"A.30", "A.31", "A.32", "A.33"}  # matrix, horizons and estimates: nothing to prove
    assert {row.number for row in rows("equation") if row.statements()} == stated
    assert [s.name for s in rows("result")[0].statements()] == ["theorem-1"]


def test_statements_that_do_not_hold_have_a_heading_in_the_errata() -> None:
    for row in rows("equation"):
        for statement in row.statements():
            if statement.status.name in ("FALSE", "CORRECTED"):
                assert statement.name in errata_anchors()


def test_docstrings_cite_no_number_beyond_the_papers() -> None:
    for path in homes().values():
        for number in re.findall(r"\((A\.\d+)\)", inspect.getdoc(value(path)) or ""):
            assert number in EQUATIONS, f"{path} cites ({number})"


def test_the_page_shows_every_kind() -> None:
    text = (FOLDER / "equations.md").read_text("utf-8")
    assert re.findall(r"```\{paper-table\} (\w+)", text) == [
        "equation",
        "result",
        "figure",
        "section",
    ]
