"""Pages are text with numbers filled in; paragraphs are wrapped, and the rest is unchanged."""

from figures.engine.markdown import filled, table, wrapped

LONG = "a sentence of words " * 12


def test_paragraphs_and_items_are_wrapped_and_the_rest_is_left() -> None:
    verbatim = ["# " + LONG.strip(), "    python -m figures " + LONG.strip(), "| " + LONG + "|"]
    page = wrapped("\n\n".join([LONG, *verbatim, f"* {LONG}\n* short"]))
    paragraph, *left, items = page.split("\n\n")
    assert left == verbatim
    assert paragraph.split() == LONG.split()
    assert max(map(len, paragraph.splitlines())) <= 100
    first, *hanging, last = items.splitlines()
    assert first.startswith("* a sentence")
    assert hanging
    assert all(line.startswith("  ") and len(line) <= 100 for line in hanging)
    assert last == "* short"


def test_code_stays_on_one_line() -> None:
    code = "`python -m figures fig1 --recompute`"
    for width in range(60, 100):
        text = wrapped("x" * width + f" {code} and more")
        assert code in text
        assert max(map(len, text.splitlines())) <= 100


def test_numbers_are_filled_in_before_the_text_is_wrapped() -> None:
    page = filled("{many} and {share:.0%} of {found[all]}.", many="m " * 60, share=0.25,
                  found={"all": 8})  # fmt: skip
    assert page.endswith("and 25% of 8.\n")
    assert max(map(len, page.splitlines())) <= 100


def test_a_table_has_a_line_for_each_row() -> None:
    assert table(("a", "b"), [("1", "2"), ("3", "")]).splitlines() == [
        "| a | b |", "|---|---|", "| 1 | 2 |", "| 3 |  |",
    ]  # fmt: skip
