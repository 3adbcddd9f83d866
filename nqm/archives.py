"""Arrays that anyone may have written: ``.npy`` and ``.npz``, never a pickle.

A header is checked before memory is taken for what it claims: its kind of numbers, its size
against a bound and against the length of the file.
"""

import math
import os
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from nqm.untrusted import quoted, regular_size

LARGEST_ARRAYS = 2**31
MOST_MEMBERS = 2**14
LARGEST_HEADER = 10_000
# Booleans, whole numbers, floats and complex numbers, by NumPy's letters.
NUMBERS = "biufc"
_MAGIC = b"\x93NUMPY"
_NAMES = {"b": "bool", "i": "integers", "u": "unsigned", "f": "floats", "c": "complex", "U": "text"}


class Header(NamedTuple):
    """What the beginning of an ``.npy`` says of its array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    start: int
    """Bytes before the first number."""

    @property
    def nbytes(self) -> int:
        """Bytes of the array, without the header."""
        return math.prod(self.shape) * self.dtype.itemsize


class Archive:
    """The arrays of an ``.npz``, read one by one; `open_npz` makes it."""

    def __init__(self, zipped: zipfile.ZipFile, largest: int) -> None:
        members = zipped.infolist()
        if len(members) > MOST_MEMBERS:
            raise ValueError(f"it has {len(members)} members; {MOST_MEMBERS} is the most")
        self._members = {m.filename.removesuffix(".npy"): m for m in members}
        if len(self._members) < len(members):
            counted = Counter(m.filename.removesuffix(".npy") for m in members)
            raise ValueError(f"it has the member {quoted(counted.most_common(1)[0][0])} twice")
        claimed = sum(member.file_size for member in members)
        if claimed > largest:
            raise ValueError(f"it inflates to {claimed} bytes; {largest} is the most")
        for member in members:
            if member.flag_bits & 1:
                raise ValueError(f"its member {quoted(member.filename)} is encrypted")
            # Others let a header say how much memory unpacking takes.
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(
                    f"its member {quoted(member.filename)} is compressed in a way that NumPy "
                    "does not write"
                )
        self._zipped = zipped
        self._largest = largest

    @property
    def names(self) -> list[str]:
        """The names of the arrays, in the order of the file."""
        return list(self._members)

    def header(self, name: str, kinds: str = NUMBERS) -> Header:
        """Shape and dtype of an array, which is as long as they say."""
        with self._open(name) as file:
            return self._checked(name, file, kinds)

    def read(self, name: str, kinds: str = NUMBERS) -> NDArray[Any]:
        """An array in the machine's byte order."""
        with self._open(name) as file:
            return _read_body(file, self._checked(name, file, kinds))

    def read_text(self, name: str) -> str:
        """A text that was saved as an array of no dimension."""
        array = self.read(name, "U")
        if array.ndim:
            raise ValueError(f"{quoted(name)} must be one text; its shape is {list(array.shape)}")
        return str(array)

    def _open(self, name: str) -> IO[bytes]:
        if name not in self._members:
            known = ", ".join(map(quoted, self.names[:6])) or "nothing"
            more = ", …" if len(self.names) > 6 else ""
            raise ValueError(f"it lacks {quoted(name)}; it holds {known}{more}")
        return self._zipped.open(self._members[name])

    def _checked(self, name: str, file: IO[bytes], kinds: str) -> Header:
        try:
            header = _read_header(file, kinds, self._members[name].file_size, self._largest)
        except ValueError as error:
            raise ValueError(f"{quoted(name)}: {error}") from None
        return header


@contextmanager
def open_npz(path: Path, largest: int = LARGEST_ARRAYS) -> Iterator[Archive]:
    """The arrays of an ``.npz`` file, which inflates to at most `largest` bytes.

    Raises
    ------
    ValueError
        Where it is no archive, or one with a member twice, an encrypted one, or too much in it;
        damage can raise whatever `zipfile` and `zlib` raise, which `nqm.untrusted.reading` makes
        one line.
    """
    size = regular_size(path)
    with path.open("rb") as file:
        start = file.read(len(_MAGIC))
        if start == _MAGIC:
            raise ValueError("it is one array (.npy); an archive of arrays (.npz) is meant")
        if not start.startswith(b"PK"):
            raise ValueError("it is empty" if not size else "it is no .npz archive")
        if size > largest:
            raise ValueError(f"it has {size} bytes; {largest} is the most")
        _check_directory(file, size)
        with zipfile.ZipFile(file) as zipped:
            yield Archive(zipped, largest)


def read_npy(path: Path, kinds: str = NUMBERS, largest: int = LARGEST_ARRAYS) -> NDArray[Any]:
    """The array of an ``.npy`` file, in the machine's byte order.

    Parameters
    ----------
    path
        A regular file.
    kinds
        NumPy's letters of the kinds of numbers allowed.
    largest
        Bytes of the array.

    Raises
    ------
    ValueError
        Where it is no ``.npy`` file, or its header claims another kind, more than `largest` bytes
        or another length than the file's.
    """
    regular_size(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        return _read_body(file, _read_header(file, kinds, size, largest))


def _check_directory(file: IO[bytes], size: int) -> None:
    """Raise where the list of members, which `zipfile` reads whole, is long for their number."""
    file.seek(max(0, size - 2**16 - 22))
    tail = file.read()
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or len(tail) < found + 22:
        raise ValueError("it is cut off: the list of its members is missing")
    if int.from_bytes(tail[found + 12 : found + 16], "little") > 256 * MOST_MEMBERS:
        raise ValueError(f"it has more than {MOST_MEMBERS} members")
    # Only a zip64 archive says this elsewhere, and needs to beyond the bounds kept here alone.
    if tail[max(found - 20, 0) :].startswith(b"PK\x06\x07"):
        raise ValueError("it is a zip64 archive, which arrays within the bounds do not need")
    file.seek(0)


def _read_header(file: IO[bytes], kinds: str, size: int, largest: int) -> Header:
    """The header at the beginning of a file of `size` bytes, with a claim that may be believed."""
    start = file.read(8)
    if not start.startswith(_MAGIC) or len(start) < 8:
        kind = {b"PK": "an .npz archive, and one array (.npy) is meant"}
        what = kind.get(start[:2], "no .npy array") if start else "empty"
        raise ValueError(f"it is {what}")
    width = {1: 2, 2: 4, 3: 4}.get(start[6])
    if width is None:
        raise ValueError(f"it is .npy of version {start[6]}; 3 is the last one known here")
    counted = file.read(width)
    length = int.from_bytes(counted, "little")
    if length > LARGEST_HEADER:
        raise ValueError(f"its header claims {length} bytes; {LARGEST_HEADER} is the most")
    text = file.read(length)
    if len(counted) < width or len(text) < length:
        raise ValueError("it ends within its header")
    if sum(text.count(bracket) for bracket in b"([{") > 32:
        raise ValueError("its header is nested")
    whole = BytesIO(counted + text)
    parse = npy.read_array_header_1_0 if start[6] == 1 else npy.read_array_header_2_0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, fortran_order, dtype = parse(whole)
    # The header is Python source, and its values reach NumPy's constructor of dtypes.
    except Exception as error:
        raise ValueError(f"its header cannot be read ({quoted(str(error))})") from None
    if dtype.kind not in kinds or dtype.names or dtype.subdtype:
        allowed = ", ".join(_NAMES[kind] for kind in kinds)
        raise ValueError(f"its entries are of type {quoted(str(dtype))}; allowed are: {allowed}")
    if any(type(n) is not int or n < 0 for n in shape) or len(shape) > 32:
        raise ValueError(f"its header claims the shape {quoted(list(shape))}")
    header = Header(shape, dtype, fortran_order, 8 + width + length)
    if size != header.start + header.nbytes:
        raise ValueError(
            f"it is not as long as its header says: {size} bytes, and {quoted(list(shape))} of "
            f"{dtype} need {quoted(header.start + header.nbytes)}"
        )
    if math.prod(max(n, 1) for n in shape) * dtype.itemsize > largest:
        raise ValueError(
            f"its header claims {quoted(list(shape))} of {dtype}; {largest} bytes are the most"
        )
    return header


def _read_body(file: IO[bytes], header: Header) -> NDArray[Any]:
    data = file.read(header.nbytes)
    # One byte more makes zipfile compare the checksum of an empty array, too.
    if len(data) != header.nbytes or file.read(1):
        raise ValueError("it is not as long as its header says")
    flat = np.frombuffer(data, header.dtype) if data else np.empty(0, header.dtype)
    array = flat.reshape(header.shape, order="F" if header.fortran_order else "C")
    return array.astype(header.dtype.newbyteorder("="), order="K")
