"""What anyone may have written, read without trust: bounded bytes, text, JSON and TOML.

Sizes, nesting and numbers are bounded before memory is taken for them, and `reading` turns whatever
a parser raises into one ValueError of one line. `nqm.archives` reads arrays with the same care.
"""

import json
import math
import re
import stat
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LONGEST_LINE = 300
LONGEST_QUOTE = 60
LARGEST_TEXT = 2**24
DEEPEST = 64
# A float64 has at most 309 digits before its point.
MOST_DIGITS = 400

_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
# Strings, whole ones and one that never ends, and what opens and closes a level outside of them.
_LEVELS = re.compile(r'"(?:[^"\\]|\\.?)*+"?|[\[{]|[\]}]', re.DOTALL)


def one_line(text: str, longest: int = LONGEST_LINE) -> str:
    r"""The text on one line of printable characters, shortened in its middle.

    Examples
    --------
    >>> one_line("two\nlines\x1b[31m")
    'two lines\\x1b[31m'
    >>> one_line("abcdefghij", 5)
    'ab…ij'
    """
    if len(text) > 8 * longest:
        text = text[: 4 * longest] + "…" + text[-4 * longest :]
    line = " ".join(text.split())
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    if len(line) <= longest:
        return line
    kept = longest - 1
    return line[: kept - kept // 2] + "…" + line[len(line) - kept // 2 :]


def quoted(value: object, longest: int = LONGEST_QUOTE) -> str:
    """A value as a message quotes it: its type where it is a container, else its shortened repr.

    Examples
    --------
    >>> quoted("a name"), quoted([1, [2]]), quoted(10**500)
    ("'a name'", 'a list of 2', 'a whole number of some 501 digits')
    """
    if isinstance(value, Mapping):
        return f"an object of {len(value)}"
    if isinstance(value, list | tuple) and (
        len(value) > 4 or not all(isinstance(v, str | int | float | None) for v in value)
    ):
        return f"a list of {len(value)}"
    if isinstance(value, list | tuple):
        return one_line("[" + ", ".join(quoted(v, longest // 2) for v in value) + "]", longest)
    if isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
        return f"a whole number of some {int(value.bit_length() * math.log10(2)) + 1} digits"
    if isinstance(value, str):
        value = value if len(value) <= 4 * longest else value[: 2 * longest] + value[-2 * longest :]
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return one_line(repr(value), longest)


def reason(error: BaseException) -> str:
    """What an exception says, without a full stop at its end."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    if isinstance(error, KeyError) and error.args:
        return f"it lacks {quoted(error.args[0])}"
    return one_line(str(error)).rstrip(".") or type(error).__name__


@contextmanager
def reading(path: object, complaint: str = "cannot be read", remedy: str = "") -> Iterator[None]:
    """Turn whatever is raised inside into a ValueError of one line: ``PATH COMPLAINT: REASON.``

    Examples
    --------
    >>> with reading("h.json", remedy="Write it again."):
    ...     parse_json("[1")
    Traceback (most recent call last):
    ValueError: h.json cannot be read: it is no JSON: Expecting ',' delimiter, line 1 column 3. \
Write it again.
    """
    try:
        yield
    # A damaged file can raise nearly anything in a parser; to the caller it is one bad file.
    except Exception as error:
        place = one_line(str(path), 90)
        room = LONGEST_LINE - len(place) - len(complaint) - len(remedy) - 5
        line = f"{place} {complaint}: {one_line(reason(error), max(room, 40))}."
        raise ValueError(one_line(f"{line} {remedy}".rstrip())) from None


def regular_size(path: Path) -> int:
    """The bytes of a regular file; a pipe, a device or a folder is refused before it is opened."""
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise ValueError("it is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no regular file")
    return found.st_size


def read_bytes(path: Path, largest: int = LARGEST_TEXT) -> bytes:
    """The bytes of a regular file, at most `largest` of them.

    Raises
    ------
    ValueError
        Where it is no regular file, or larger.
    OSError
        Where it cannot be opened.
    """
    size = regular_size(path)
    if size > largest:
        raise ValueError(f"it has more than {largest} bytes, the most that are read here")
    with path.open("rb") as file:
        data = file.read(min(size, largest) + 1)
    if len(data) > largest:
        raise ValueError(f"it has more than {largest} bytes, the most that are read here")
    return data


def decode(data: bytes) -> str:
    """Text in UTF-8, or in the encoding that its byte order mark names.

    Examples
    --------
    >>> decode("ä".encode("utf-16")), decode("ä".encode("utf-8-sig")), decode("ä".encode())
    ('ä', 'ä', 'ä')
    """
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise ValueError(f"it is no {name} text (byte {error.start}: {error.reason})") from None
    if "\0" in text:
        raise ValueError("it is no text: it has zero bytes, as binary files and UTF-16 have")
    return text


def read_text(path: Path, largest: int = LARGEST_TEXT) -> str:
    """The text of a file; see `read_bytes` and `decode`."""
    return decode(read_bytes(path, largest))


def parse_json(text: str, *, finite: bool = True, deepest: int = DEEPEST) -> Any:
    """The value of a JSON text whose nesting and whole numbers are bounded.

    Parameters
    ----------
    text
        JSON, in which no object may have a key twice.
    finite
        Refuse NaN, Infinity and numbers too large for a float64; otherwise they are read as
        floats that are not finite.
    deepest
        Levels of lists and objects.

    Raises
    ------
    ValueError
        One line.
    """
    _check_levels(text, deepest)
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_whole_number,
            parse_float=_finite_number if finite else None,
            parse_constant=_not_finite if finite else None,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise ValueError(f"it is no JSON: {error.msg.rstrip(':')}, {where}") from None


def read_json(path: Path, *, finite: bool = True, largest: int = LARGEST_TEXT) -> Any:
    """The value of a JSON file; see `parse_json`."""
    return parse_json(read_text(path, largest), finite=finite)


def read_toml(path: Path, *, finite: bool = True, largest: int = 2**20) -> dict[str, Any]:
    """The table of a TOML file, with the bounds of `parse_json`; dates stay dates."""
    text = read_text(path, largest)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"it is no TOML: {error}") from None
    except RecursionError:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep") from None
    _check_values(table, finite)
    return table


def as_object(value: object, what: str) -> dict[str, Any]:
    """The value, where it is a JSON object.

    Raises
    ------
    ValueError
        Otherwise; `what` begins the message.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be an object with keys; it is {quoted(value)}")
    return value


def format_number(value: object, last: int, what: str = "format") -> int:
    """The value, where it is a whole number from 1 to the last format known.

    Raises
    ------
    ValueError
        Otherwise; a later format is named as such.

    Examples
    --------
    >>> format_number(True, 4)
    Traceback (most recent call last):
    ValueError: format must be a whole number from 1 to 4; it is true
    """
    if type(value) is not int or value < 1:
        rule = f"a whole number from 1 to {last}" if last > 1 else "1"
        raise ValueError(f"{what} must be {rule}; it is {quoted(value)}")
    if value > last:
        raise ValueError(
            f"{what} {quoted(value)} is later than {last}, the last one known here; take a newer "
            "release"
        )
    return value


def _check_levels(text: str, deepest: int) -> None:
    level = 0
    for match in _LEVELS.finditer(text):
        first = text[match.start()]
        level += (first in "[{") - (first in "]}")
        if level > deepest:
            raise ValueError(f"it is nested more than {deepest} levels deep")


def _check_values(table: dict[str, Any], finite: bool) -> None:
    waiting: list[tuple[Any, int]] = [(table, 1)]
    while waiting:
        value, level = waiting.pop()
        if isinstance(value, dict | list):
            if level > DEEPEST:
                raise ValueError(f"it is nested more than {DEEPEST} levels deep")
            inner = value.values() if isinstance(value, dict) else value
            waiting += [(entry, level + 1) for entry in inner]
        elif isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
            raise ValueError(f"it has {quoted(value)}; the most are {MOST_DIGITS}")
        elif finite and isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"it has the number {value}, which is not finite")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"an object has the key {quoted(twice)} twice")
    return made


def _whole_number(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(
            f"it has a whole number of {len(digits)} digits; {MOST_DIGITS} is the most"
        )
    return int(digits)


def _finite_number(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"it has the number {one_line(digits, 40)}, too large for a float64")
    return value


def _not_finite(name: str) -> float:
    raise ValueError(f"it has the number {name}, which is not finite")
