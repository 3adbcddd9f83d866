"""The published archives become the arrays, and their pickles can run nothing."""

import gzip
import io
import os
import pickle
import struct
import tarfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from lopt.tasks.data.canonical import from_cifar10, from_cifar100, from_idx, unpickle_arrays
from lopt.tasks.data.idx import FILES, read_idx
from tests.lopt.tasks.idx_files import idx


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Writes byte strings and NumPy's names as Python 2 and the NumPy of its time did."""

    dispatch: ClassVar[dict] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_bytes(self, data: bytes) -> None:
        self.write(b"T" + struct.pack("<i", len(data)) + data)
        self.memoize(data)

    def save_global(self, value: object, name: str | None = None) -> None:
        if getattr(value, "__name__", "") == "_reconstruct":
            self.write(b"cnumpy.core.multiarray\n_reconstruct\n")
            self.memoize(value)
        else:
            super().save_global(value, name)

    dispatch[bytes] = save_bytes
    dispatch[type(np.array)] = save_global
    dispatch[type(lambda: 0)] = save_global


def python2_pickle(value: object) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, 2).dump(value)
    return file.getvalue()


def tar(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def batch(images: np.ndarray, labels: list[int], key: bytes) -> bytes:
    """A batch as CIFAR's page describes it: rows of the red, the green, the blue plane."""
    rows = [b"".join(image[:, :, c].tobytes() for c in range(3)) for image in images]
    data = np.frombuffer(b"".join(rows), np.uint8).reshape(len(images), 3072).copy()
    return python2_pickle({b"data": data, key: labels, b"batch_label": b"a batch"})


def cifar10_archive(seed: int = 0) -> tuple[bytes, np.ndarray]:
    """An archive with two images a batch, and its twelve images in order."""
    images = np.random.default_rng(seed).integers(0, 256, (12, 32, 32, 3), np.uint8)
    names = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    # Out of order in the archive: the names decide.
    members = {
        f"cifar-10-batches-py/{name}": batch(images[2 * k : 2 * k + 2], [k, k + 1], b"labels")
        for k, name in reversed(list(enumerate(names)))
    }
    return tar(members), images


def test_cifar10(tmp_path: Path) -> None:
    data, images = cifar10_archive()
    (tmp_path / "x.tar.gz").write_bytes(data)
    arrays = from_cifar10([tmp_path / "x.tar.gz"])
    np.testing.assert_array_equal(arrays["train_images"], images[:10])
    np.testing.assert_array_equal(arrays["test_images"], images[10:])
    assert arrays["train_labels"].tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert arrays["test_labels"].tolist() == [5, 6]
    assert all(array.dtype == np.uint8 for array in arrays.values())


def test_cifar100_takes_the_fine_labels(tmp_path: Path) -> None:
    image = np.arange(3072, dtype=np.uint16).astype(np.uint8).reshape(1, 32, 32, 3)
    members = {f"cifar-100-python/{s}": batch(image, [99], b"fine_labels") for s in ("train",)}
    members["cifar-100-python/test"] = batch(image, [42], b"fine_labels")
    (tmp_path / "x.tar.gz").write_bytes(tar(members))
    arrays = from_cifar100([tmp_path / "x.tar.gz"])
    assert (arrays["train_labels"].tolist(), arrays["test_labels"].tolist()) == ([99], [42])
    np.testing.assert_array_equal(arrays["train_images"], image)


class Runs:
    """A pickle of it calls os.mkdir when it is read without care."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_runs_nothing(tmp_path: Path, protocol: int) -> None:
    evil = pickle.dumps({b"data": Runs(tmp_path / "made")}, protocol)
    with pytest.raises(ValueError, match=r"mkdir is not allowed"):
        unpickle_arrays(evil)
    assert not (tmp_path / "made").exists()
    nested = b"cnumpy\nndarray.tofile\n."  # an attribute of an allowed name
    with pytest.raises(ValueError, match="not allowed"):
        unpickle_arrays(nested)


@pytest.mark.parametrize("protocol", range(5))  # the archives have protocol 2
def test_arrays_of_every_protocol_are_read(protocol: int) -> None:
    value = {b"data": np.arange(6, dtype=np.uint8).reshape(2, 3), b"labels": [1, 2]}
    found = unpickle_arrays(pickle.dumps(value, protocol))
    np.testing.assert_array_equal(found[b"data"], value[b"data"])
    assert found[b"labels"] == [1, 2]


WRONG = {
    "no archive": b"no archive",
    "no member": tar({"cifar-10-batches-py/data_batch_1": b""}),
    "no pickle": tar({f"cifar-10-batches-py/data_batch_{k}": b"?" for k in range(1, 6)}),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_archive_is_one_line(case: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    path.write_bytes(WRONG[case])
    with pytest.raises(ValueError, match=r"x\.tar\.gz") as error:
        from_cifar10([path])
    assert "\n" not in str(error.value)


def test_idx_files_become_the_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    expected = {
        "train_images": rng.integers(0, 256, (4, 3, 2), np.uint8),
        "train_labels": rng.integers(0, 10, 4, np.uint8),
        "test_images": rng.integers(0, 256, (1, 3, 2), np.uint8),
        "test_labels": rng.integers(0, 10, 1, np.uint8),
    }
    for name, array in expected.items():
        (tmp_path / FILES[name]).write_bytes(idx(array))
    found = from_idx([tmp_path / file for file in FILES.values()])
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no gzip",
        gzip.compress(b""),
        gzip.compress(b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0"),  # floats
        gzip.compress(b"\0\0\x08\x02\0\0\0\x01"),  # half a header
        gzip.compress(b"\0\0\x08\x01\0\0\0\x02\x01"),  # half the data
        gzip.compress(b"\0\0\x08\x01\0\0\0\x02\x01\x02")[:-3],  # half the file
    ],
    ids=["empty", "no gzip", "no header", "floats", "half header", "half data", "half file"],
)
def test_a_wrong_idx_file_is_one_line(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "labels.gz"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"labels\.gz .* Fetch the file again") as error:
        read_idx(path)
    assert "\n" not in str(error.value)
