"""Matrices from files: .npy, .npz, .csv, .json; never a pickle."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

SUFFIXES = (".npy", ".npz", ".csv", ".json")


def _from_npz(path: Path, name: str) -> Any:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        keys = list(archive.keys())
        key = name if name in keys else keys[0] if len(keys) == 1 else None
        if key is None:
            raise ValueError(f"it holds the arrays {keys}; name one of them {name!r}")
        return archive[key]


def _from_json(path: Path, name: str) -> Any:
    value = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(value, dict):
        if name not in value:
            raise ValueError(f"it is an object without the key {name!r}")
        value = value[name]
    if not isinstance(value, list):
        raise ValueError("it must hold a list of numbers or of rows")
    if any(isinstance(entry, bool) for row in value for entry in np.atleast_1d(row).tolist()):
        raise ValueError("true and false are not numbers")
    return np.array(value)


def _read(path: Path, name: str) -> Any:
    if path.suffix == ".npy":
        with path.open("rb") as file:
            return np.load(file, allow_pickle=False)
    if path.suffix == ".npz":
        return _from_npz(path, name)
    if path.suffix == ".json":
        return _from_json(path, name)
    return np.loadtxt(path, delimiter=",", ndmin=2, encoding="utf-8")


def read_array(path: str, name: str) -> Any:
    """The array in a file; `name` is the argument it is for and the key in .npz and .json.

    Parameters
    ----------
    path : str
        A file whose name ends in .npy, .npz, .csv or .json. A CSV has commas and no header.
    name : str
        The key to read where the file holds several arrays.

    Returns
    -------
    array

    Raises
    ------
    ValueError
        If there is no such file or it cannot be read as numbers; one line.

    Examples
    --------
    >>> import json, os, tempfile
    >>> from nqm import read_array
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "h.json")
    ...     with open(path, "w") as file:
    ...         json.dump([[2, 1], [1, 2]], file)
    ...     read_array(path, "hessian").tolist()
    [[2, 1], [1, 2]]
    """
    file = Path(path)
    if file.suffix not in SUFFIXES:
        raise ValueError(f"{name}: {path!r} must end in one of {', '.join(SUFFIXES)}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read(file, name)
    # A damaged file can raise nearly anything in a parser; to the caller it is one bad argument.
    except Exception as error:
        detail = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        detail = " ".join(detail.split())[:200].rstrip(".") or type(error).__name__
        raise ValueError(f"{name}: cannot read {path!r}: {detail}.") from None
