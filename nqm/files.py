"""Matrices from files: .npy, .npz, .csv, .json; never a pickle."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nqm.archives import NUMBERS, open_npz, read_npy
from nqm.untrusted import quoted, read_json, read_text, reading

SUFFIXES = (".npy", ".npz", ".csv", ".json")
KINDS = NUMBERS + "U"
"""Text is read, too, so that `nqm.validate` can name what is wrong with it."""
LARGEST_TEXT = 2**28
"""Bytes of a .csv or .json file, enough for a few thousand rows."""


def is_file_name(text: str, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Whether the text ends in one of these suffixes, in capitals or not.

    Examples
    --------
    >>> is_file_name("H.CSV"), is_file_name("paper"), is_file_name("s.PNG", (".png", ".svg"))
    (True, False, True)
    """
    return text.lower().endswith(suffixes)


def _from_npz(path: Path, name: str) -> NDArray[Any]:
    with open_npz(path) as archive:
        keys = archive.names
        key = name if name in keys else keys[0] if len(keys) == 1 else None
        if key is None:
            raise ValueError(f"it holds the arrays {quoted(keys[:4])}; name one of them {name!r}")
        return archive.read(key, KINDS)


def _from_json(path: Path, name: str) -> NDArray[Any]:
    value = read_json(path, finite=False, largest=LARGEST_TEXT)
    if isinstance(value, dict):
        if name not in value:
            raise ValueError(f"it is an object without the key {name!r}")
        value = value[name]
    if not isinstance(value, list):
        raise ValueError(f"it must hold a list of numbers or of rows, not {quoted(value)}")
    _check_numbers(value)
    return np.array(value, dtype=np.float64)


def _check_numbers(value: Any) -> None:
    """Raise unless a nested list holds numbers alone."""
    if isinstance(value, list):
        for entry in value:
            _check_numbers(entry)
    elif isinstance(value, bool):
        raise ValueError("true and false are not numbers")
    elif not isinstance(value, int | float):
        raise ValueError(f"it must hold numbers alone; one entry is {quoted(value)}")


def _from_csv(path: Path) -> NDArray[Any]:
    """Numbers between commas, or between semicolons where there are no commas."""
    text = read_text(path, LARGEST_TEXT)
    if ";" in text and "," in text:
        raise ValueError(
            "it has semicolons and commas; write decimal points, and one of the two between numbers"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.loadtxt(text.splitlines(), delimiter=";" if ";" in text else ",", ndmin=2)


def _read(path: Path, name: str) -> NDArray[Any]:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return read_npy(path, KINDS)
    if suffix == ".npz":
        return _from_npz(path, name)
    return _from_json(path, name) if suffix == ".json" else _from_csv(path)


def holds(path: str, names: tuple[str, ...]) -> bool:
    """Whether a .npz or .json file holds arrays by all these names; False where it is unreadable.

    >>> holds("none.json", ("lower", "upper"))
    False
    """
    try:
        if is_file_name(path, (".npz",)):
            with reading(path), open_npz(Path(path)) as archive:
                return set(names) <= set(archive.names)
        if is_file_name(path, (".json",)):
            with reading(path):
                found = read_json(Path(path), finite=False, largest=LARGEST_TEXT)
            return isinstance(found, dict) and set(names) <= set(found)
    except ValueError:
        pass  # the reader of the array says what is wrong
    return False


def read_array(path: str, name: str) -> NDArray[Any]:
    """The array in a file; `name` is the argument it is for and the key in .npz and .json.

    Parameters
    ----------
    path : str
        A file whose name ends in .npy, .npz, .csv or .json. A CSV has no header, and commas or
        semicolons between numbers with decimal points. Text is UTF-8, or what its byte order mark
        says.
    name : str
        The key to read where the file holds several arrays.

    Returns
    -------
    array

    Raises
    ------
    ValueError
        If there is no such file or it cannot be read as numbers, or is larger than
        `nqm.archives.LARGEST_ARRAYS` or `LARGEST_TEXT` bytes; one line.

    Examples
    --------
    >>> import json, os, tempfile
    >>> from nqm import read_array
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "h.json")
    ...     with open(path, "w") as file:
    ...         json.dump([[2, 1], [1, 2]], file)
    ...     read_array(path, "hessian").tolist()
    [[2.0, 1.0], [1.0, 2.0]]
    """
    if not is_file_name(path):
        raise ValueError(f"{name}: {quoted(path)} must end in one of {', '.join(SUFFIXES)}.")
    with reading(f"{name}: cannot read", quoted(path)):
        return _read(Path(path), name)
