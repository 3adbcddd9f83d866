"""Text, JSON and TOML from anyone: what is read, what is refused, in what words."""

import json
import os
import time
from pathlib import Path

import pytest

from nqm.untrusted import (
    LONGEST_LINE,
    as_object,
    decode,
    format_number,
    one_line,
    parse_json,
    quoted,
    read_bytes,
    read_toml,
    reading,
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_is_read_in_the_encoding_that_its_byte_order_mark_names(encoding: str) -> None:
    assert decode("größer\n".encode(encoding)) == "größer\n"


def test_text_without_a_mark_is_utf_8_or_refused() -> None:
    with pytest.raises(ValueError, match=r"no UTF-8 text \(byte 2"):
        decode(b"ab\xff")
    with pytest.raises(ValueError, match="no UTF-16 text"):
        decode(b"\xff\xfea")
    with pytest.raises(ValueError, match="zero bytes"):
        decode("[1]".encode("utf-16-le"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[" * 100_000, "nested more than 64"),
        ('{"a":' * 100_000, "nested more than 64"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' twice"),
        ("[" + "9" * 100_000 + "]", "100000 digits"),
        ("[1, NaN]", "NaN, which is not finite"),
        ("[-Infinity]", "not finite"),
        ("1e999", "too large"),
        ("", "no JSON"),
        ("[1, 2", "no JSON: Expecting ',' delimiter, line 1 column 6"),
    ],
)
def test_json_that_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        parse_json(text)
    assert len(str(caught.value)) <= LONGEST_LINE


def test_json_that_is_read_as_the_standard_library_reads_it() -> None:
    value = {"a": [1, 2.5, -3e4, None, True, 'a ] "quoted" [ text\\'], "b": {"c": 10**300}}
    text = json.dumps(value)
    assert parse_json(text) == value
    assert parse_json("[" * 64 + "]" * 64) == json.loads("[" * 64 + "]" * 64)
    assert str(parse_json("[NaN, Infinity]", finite=False)) == "[nan, inf]"


def test_brackets_inside_a_string_are_no_levels() -> None:
    assert parse_json(json.dumps("[" * 1000)) == "[" * 1000


def test_quotes_that_never_end_are_scanned_once() -> None:
    start = time.perf_counter()
    with pytest.raises(ValueError, match="no JSON"):
        parse_json('"' + '\\"' * 300_000)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a = " + "[" * 100_000, "nested"),
        (".".join(["a"] * 100) + " = 1", "nested more than 64"),
        ("a = " + "9" * 1000, r"a whole number of some 100\d digits"),
        ("a = nan", "not finite"),
        ("a = 1\na = 2", "no TOML"),
    ],
)
def test_toml_that_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint) as caught, reading(path):
        read_toml(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= LONGEST_LINE


def test_toml_behind_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbfhorizon = 3\n")
    assert read_toml(path) == {"horizon": 3}


def test_files_larger_than_the_bound_and_files_that_are_none_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match="more than 16777216 bytes"):
        read_bytes(path)
    with pytest.raises(ValueError, match="folder"):
        read_bytes(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        read_bytes(tmp_path / "pipe")


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x" * 10_000),
        RecursionError(),
        MemoryError(),
        ValueError("many\nlines\x1b[31m" * 5000),
        ValueError(),
        OSError(13, "Permission denied"),
    ],
)
def test_every_failure_is_one_line_that_names_the_file(error: Exception) -> None:
    path = "/some/" + "folder/" * 500
    with (
        pytest.raises(ValueError, match=r"^/some/folder/.*… ?.*/ cannot be read: ") as caught,
        reading(path, remedy="Write it again."),
    ):
        raise error
    line = str(caught.value)
    assert len(line) <= LONGEST_LINE
    assert line.isprintable()
    assert line.endswith("Write it again.")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ({"a": 1}, "an object of 1"),
        ([[1]], "a list of 1"),
        ([1, None], "[1, null]"),
        (float("nan"), "nan"),
        ("a\nb", "'a\\nb'"),
    ],
)
def test_a_message_quotes_a_value_briefly(value: object, text: str) -> None:
    assert quoted(value) == text
    assert quoted(10**5000) == "a whole number of some 5001 digits"
    assert len(quoted("x" * 10**6)) <= 60
    assert len(one_line("x y " * 10**5)) <= LONGEST_LINE


@pytest.mark.parametrize("value", [True, 0, -1, 1.0, float("nan"), None, "1", [1]])
def test_a_format_is_a_whole_number_from_1(value: object) -> None:
    with pytest.raises(ValueError, match="whole number from 1 to 4"):
        format_number(value, 4)
    assert format_number(3, 4) == 3
    with pytest.raises(ValueError, match="5 is later than 4"):
        format_number(5, 4)


def test_an_object_is_told_from_a_list() -> None:
    assert as_object({"a": 1}, "it") == {"a": 1}
    with pytest.raises(ValueError, match="it must be an object with keys; it is a list of 9"):
        as_object([0] * 9, "it")
