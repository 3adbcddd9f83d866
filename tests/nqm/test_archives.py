"""Arrays from anyone: read as NumPy wrote them, or refused before memory is taken."""

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nqm.archives import open_npz, read_npy
from nqm.untrusted import LONGEST_LINE, reading


def _npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _header(text: str, version: int = 1) -> bytes:
    width = "<H" if version == 1 else "<I"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack(width, len(text)) + text.encode()


def _zip(path: Path, *members: tuple[str, bytes], deflate: bool = False) -> Path:
    kind = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as zipped:
        for name, data in members:
            zipped.writestr(name, data)
    return path


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(3, dtype=">i2"),
        np.array(1 + 2j),
        np.empty((0, 4), np.float32),
        np.array([True]),
    ],
)
def test_arrays_come_back_in_the_byte_order_of_the_machine(tmp_path: Path, array: Any) -> None:
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", a=array)
    with open_npz(tmp_path / "a.npz") as archive:
        found = [archive.read("a"), read_npy(tmp_path / "a.npy")]
        assert archive.names == ["a"]
        assert archive.header("a").shape == array.shape
    for one in found:
        np.testing.assert_array_equal(one, array)
        assert one.dtype == array.dtype.newbyteorder("=")
        assert one.flags.writeable


def test_a_text_comes_back(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", note=np.array("größer"), two=np.array(["a", "b"]), x=np.ones(1))
    with open_npz(tmp_path / "a.npz") as archive:
        assert archive.read_text("note") == "größer"
        with pytest.raises(ValueError, match="must be one text"):
            archive.read_text("two")
        with pytest.raises(ValueError, match="allowed are: text"):
            archive.read_text("x")
        with pytest.raises(ValueError, match="it lacks 'y'; it holds 'note', 'two', 'x'"):
            archive.read("y")


DATA = _npy(np.arange(100.0))
BAD_NPY = {
    "empty": (b"", "it is empty"),
    "token": (b"hello", "no .npy array"),
    "archive": (b"PK\x03\x04" + b"0" * 30, "an .npz archive"),
    "cut magic": (DATA[:7], "no .npy array"),
    "cut header": (DATA[:40], "ends within its header"),
    "cut": (DATA[:-1], "not as long as its header says: 927 bytes"),
    "longer": (DATA + b"0", "not as long as its header says: 929 bytes"),
    "object": (_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"), "object"),
    "void": (_npy(np.zeros(2, "V8")), "V8"),
    "text": (_npy(np.array(["a"])), "U1"),
    "dates": (_npy(np.zeros(2, "M8[s]")), "datetime64"),
    "records": (_npy(np.zeros(2, [("a", float)])), "of type"),
    "claim": (
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }"),
        r"\[1099511627776\] of float64 need 8796093022",
    ),
    "negative": (
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
        "the shape",
    ),
    "zero times huge": (
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 4611686018427387904), }"),
        "claims",
    ),
    "no header": (_header("the moon"), "header cannot be read"),
    "long header": (_header(" " * 20_000, 2), "claims 20000 bytes"),
    "nested header": (_header("(" * 5000, 2), "nested"),
    "version": (b"\x93NUMPY\x09\x00" + b"0" * 50, "version 9"),
}


@pytest.mark.parametrize("name", BAD_NPY)
def test_an_array_that_is_none_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    data, complaint = BAD_NPY[name]
    alone, inside = tmp_path / "a.npy", _zip(tmp_path / "a.npz", ("a.npy", data))
    alone.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(ValueError, match=complaint) as caught, reading(alone):
        read_npy(alone)
    with (
        pytest.raises(ValueError, match=complaint) as again,
        reading(inside),
        open_npz(inside) as archive,
    ):
        archive.read("a")
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    for error in (caught, again):
        assert len(str(error.value)) <= LONGEST_LINE
        assert str(error.value).isprintable()


def test_an_archive_that_inflates_beyond_the_bound_is_refused_unread(tmp_path: Path) -> None:
    bomb = _zip(tmp_path / "a.npz", ("a.npy", _npy(np.zeros(2**20))), deflate=True)
    assert bomb.stat().st_size < 2**15
    with (
        pytest.raises(ValueError, match="inflates to 8388736 bytes; 1048576 is the most"),
        open_npz(bomb, largest=2**20),
    ):
        pass


@pytest.mark.parametrize("names", [("a.npy", "a.npy"), ("a", "a.npy")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_twice_is_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    path = _zip(tmp_path / "a.npz", *((name, DATA) for name in names))
    with pytest.raises(ValueError, match="the member 'a' twice"), open_npz(path):
        pass


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.npz", ("a.npy", DATA))
    data = bytearray(path.read_bytes())
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is encrypted"), open_npz(path):
        pass


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_compression_that_numpy_does_not_write_is_refused(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", method) as zipped:
        zipped.writestr("a.npy", DATA)
    with pytest.raises(ValueError, match="compressed in a way"), open_npz(path):
        pass


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "it is empty"),
        (DATA, "it is one array"),
        (b"hello", "no .npz archive"),
        (b"PK\x03\x04hello", "cut off"),
    ],
)
def test_what_is_no_archive_is_named(tmp_path: Path, data: bytes, complaint: str) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=complaint), open_npz(path):
        pass


def test_damage_anywhere_in_an_archive_is_one_line_or_leaves_the_array_whole(
    tmp_path: Path,
) -> None:
    whole = _zip(tmp_path / "whole.npz", ("a.npy", DATA), deflate=True).read_bytes()
    path = tmp_path / "a.npz"
    refused = []
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 0xFF
        path.write_bytes(data)
        try:
            with reading(path), open_npz(path) as archive:
                np.testing.assert_array_equal(archive.read("a"), np.arange(100.0))
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > len(whole) // 2
    assert max(map(len, refused)) <= LONGEST_LINE
