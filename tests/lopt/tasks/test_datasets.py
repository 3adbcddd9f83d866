"""Data sets are looked for in their order, and a damaged file is one clear line."""

import gc
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy

from lopt.tasks.data import datasets
from lopt.tasks.data.cache import KEYS, read_arrays, write_arrays
from lopt.tasks.data.datasets import DATASETS, cache_folder, dataset, load_dataset

SHAPE, CLASSES = (32, 32, 3), 10


def made(train: int = 3, test: int = 2, shape: tuple[int, ...] = SHAPE) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = {"train": train, "test": test}
    return {
        key: rng.integers(0, 10 if key.endswith("labels") else 256, (n, *rest), np.uint8)
        for key in KEYS
        for n, rest in [(sizes[key.split("_")[0]], () if key.endswith("labels") else shape)]
    }


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Neither a data directory nor a cache nor Debian's files, but folders that could be them."""
    monkeypatch.setenv("LOPT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets, "DEBIAN_FASHION_MNIST", tmp_path / "debian")
    (tmp_path / "data").mkdir()
    (tmp_path / "cache" / "lopt").mkdir(parents=True)
    return tmp_path


def test_the_data_directory_comes_first_and_falls_through(home: Path) -> None:
    cached, own = made(), made(train=5)
    write_arrays(home / "cache" / "lopt" / "cifar10.npz", cached)
    found = load_dataset("cifar10")
    np.testing.assert_array_equal(found.train.images, cached["train_images"])
    np.testing.assert_array_equal(found.test.labels, cached["test_labels"])
    write_arrays(home / "data" / "cifar10.npz", own)
    np.testing.assert_array_equal(load_dataset("cifar10").train.images, own["train_images"])


def test_the_cache_is_in_the_home_folder_unless_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_folder() == home / "cache" / "lopt"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == home / ".cache" / "lopt"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("LOPT_DATA_DIR")
    assert dataset("mnist").places == (home / ".cache" / "lopt" / "mnist.npz",)


@pytest.mark.parametrize("name", [n for n in DATASETS if n != "fashion-mnist-8x8"])
def test_what_is_missing_is_named_with_what_brings_it(home: Path, name: str) -> None:
    with pytest.raises(ValueError, match=name) as error:
        load_dataset(name)
    remedy = "no canonical download" if name == "imagenet32-tiny200" else f"lopt data fetch {name}"
    assert remedy in str(error.value)
    assert str(home / "data") in str(error.value)


def test_an_unknown_name_says_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no data set is called 'cifar'; the nearest is cifar10"):
        load_dataset("cifar")


def changed(**arrays: np.ndarray | None) -> dict[str, np.ndarray]:
    return {k: v for k, v in (made() | arrays).items() if v is not None}


BAD = {
    "a missing key": (changed(test_labels=None), r"test_labels"),
    "floats": (changed(train_images=np.zeros((3, *SHAPE))), r"must hold uint8.*float64"),
    "wide labels": (changed(test_labels=np.zeros(2, np.int64)), r"must hold uint8.*int64"),
    "another shape": (changed(train_images=np.zeros((3, 8, 8), np.uint8)), r"\[3, 8, 8\]"),
    "too few labels": (changed(train_labels=np.zeros(2, np.uint8)), r"\[2\]"),
    "empty": (made(train=0), r"\[0, 32, 32, 3\]"),
    "a label too large": (changed(test_labels=np.array([0, 10], np.uint8)), r"label 10 in test"),
    "objects": (changed(train_labels=np.array([1, "a", None], object)), r"cannot be read|uint8"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_arrays_are_one_line_that_names_the_file(case: str, tmp_path: Path) -> None:
    arrays, message = BAD[case]
    path = tmp_path / "cifar10.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message) as error:
        read_arrays(path, SHAPE, CLASSES)
    assert str(path) in str(error.value)
    assert "fetch it again" in str(error.value)
    assert "\n" not in str(error.value)


def test_every_damage_is_one_line_or_harmless(tmp_path: Path) -> None:
    """Cut anywhere the file is refused; a changed byte is refused or changes no array."""
    arrays, path = made(train=2, test=1, shape=(2, 2)), tmp_path / "x.npz"
    memory = io.BytesIO()
    np.savez_compressed(memory, **arrays)  # type: ignore[arg-type]
    whole = memory.getvalue()
    lines = []
    for position in range(0, len(whole), 4):
        path.write_bytes(whole[:position])
        with pytest.raises(ValueError, match=r"x\.npz"):
            read_arrays(path, (2, 2), CLASSES)
        flipped = bytearray(whole)
        flipped[position] ^= 0x55
        path.write_bytes(flipped)
        try:
            found = read_arrays(path, (2, 2), CLASSES)
        except ValueError as error:
            lines.append(str(error))
        else:
            for key in KEYS:
                np.testing.assert_array_equal(found[key], arrays[key])
    assert len(lines) > len(whole) / 16
    assert not any("\n" in line for line in lines)
    gc.collect()  # a handle left open would warn here, and a warning is an error


def test_no_memory_is_taken_for_what_a_header_only_claims(tmp_path: Path) -> None:
    path, many = tmp_path / "cifar10.npz", 10**12
    with zipfile.ZipFile(path, "w") as archive:
        for key in KEYS:
            shape = (many,) if key.endswith("labels") else (many, *SHAPE)
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            with archive.open(f"{key}.npy", "w") as member:
                npy.write_array_header_1_0(member, header)
                member.write(b"few")
    with pytest.raises(ValueError, match="not as long as its header says"):
        read_arrays(path, SHAPE, CLASSES)


def test_a_folder_in_place_of_the_file_or_the_directory_is_passed_over(home: Path) -> None:
    (home / "data" / "cifar10.npz").mkdir()
    with pytest.raises(ValueError, match="lopt data fetch cifar10"):
        load_dataset("cifar10")


def test_debians_files_are_found_last_and_verified(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian = Path("/usr/share/datasets/fashion-mnist")
    if not debian.is_dir():
        pytest.skip("Fashion-MNIST's IDX files are not installed (Debian: dataset-fashion-mnist)")
    monkeypatch.setattr(datasets, "DEBIAN_FASHION_MNIST", debian)
    data = load_dataset("fashion-mnist")
    assert data.train.images.shape == (60_000, 28, 28)
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    own = made(shape=(28, 28))
    write_arrays(home / "data" / "fashion_mnist.npz", own)
    found = load_dataset("fashion-mnist")
    np.testing.assert_array_equal(found.train.images, own["train_images"])


REAL = ("mnist", "cifar10", "cifar100", "imagenet32-tiny200")


@pytest.mark.parametrize("name", REAL)
def test_real_data(name: str) -> None:
    """Every class occurs in both splits, and the pixels use the whole range."""
    wanted = dataset(name)
    if wanted.find() is None:
        pytest.skip(f"{name} is not here ({os.environ.get('LOPT_DATA_DIR', 'no LOPT_DATA_DIR')})")
    data = load_dataset(name)
    for images, labels in data:
        assert images.shape == (len(labels), *wanted.shape)
        assert images.dtype == labels.dtype == np.uint8
        assert set(labels.tolist()) == set(range(wanted.classes))
        assert images[:500].min() == 0
        assert images[:500].max() == 255
