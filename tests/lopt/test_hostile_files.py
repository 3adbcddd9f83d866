"""Every reader either reads a file rightly or says in one line what is wrong with it."""

import gzip
import io
import json
import random
import shutil
import tempfile
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import pytest

import lopt
from lopt.cli import main
from lopt.meta.config import TrainConfig
from lopt.optimizers.linear import LinearConfig
from lopt.tasks.data.cache import KEYS, read_arrays
from lopt.tasks.data.idx import read_idx
from tests.lopt import hostile
from tests.lopt.hostile import COUNT, assert_one_line
from tests.lopt.tasks.idx_files import idx

# Far above what a sound file of these sizes takes, far below what a hostile one asks for.
MOST_MEMORY = 2**27
Made = TypeVar("Made")


def arrays_of(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What sound files of each family hold."""
    path = tmp_path_factory.mktemp("saved") / "a.npz"
    found = []
    for config in (lopt.STAR, lopt.BLACKBOX, LinearConfig(3, 0.1)):
        lopt.save(path, config.init(jax.random.key(0)), config, {"seed": 1})
        found.append(arrays_of(path))
    return found


@pytest.fixture(scope="module")
def released() -> list[dict[str, Any]]:
    """What sound files in the released layout hold."""
    found = []
    for config in (lopt.BLACKBOX, lopt.STAR):
        arrays, layout = lopt.to_released(config.init(jax.random.key(0)), config)
        found.append({"config": np.array(json.dumps(layout)), **arrays})
    return found


@contextmanager
def watched(name: str) -> Iterator[Counter[str]]:
    """Count how often a reader read and how often it refused; bound the memory it takes."""
    seen: Counter[str] = Counter()
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")
        yield seen
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(
        f"{name}: {sum(seen.values())} files, {dict(sorted(seen.items()))}, {peak / 2**20:.0f} MiB"
    )
    assert peak < MOST_MEMORY
    assert min(seen["read"], seen["refused"]) > 0, seen


def each(
    name: str, write: Callable[[random.Random, Path], Made], read: Callable[[Made], None]
) -> None:
    """Call a reader on what was written for it, so many times."""
    with watched(name) as seen:
        for number in range(COUNT):
            folder = Path(tempfile.mkdtemp())
            made = write(random.Random(f"{name} {number}"), folder)
            try:
                read(made)
            except ValueError as error:
                seen["refused"] += 1
                message = str(error)
            except BaseException as error:
                error.add_note(f"{name} {number}")
                raise
            else:
                seen["read"] += 1
                message = "read"
            finally:
                shutil.rmtree(folder)
            assert_one_line(message)


def damaged(rng: random.Random, arrays: dict[str, Any], text: str) -> bytes:
    """An archive whose JSON, arrays or bytes are damaged; one in six is sound."""
    made = dict(arrays)
    if rng.random() < 1 / 6:
        sound = io.BytesIO()
        np.savez(sound, **made)
        return sound.getvalue()
    if rng.random() < 0.5:
        made[text] = np.array(hostile.json_text(rng, json.loads(str(made[text]))))
    return hostile.npz(rng, made)


def assert_usable(theta: Any, config: Any) -> None:
    """What was read fits its configuration, which is finite."""
    for leaf in jax.tree.leaves(theta):
        assert leaf.dtype == np.float32
        assert np.isfinite(leaf).all()
    for name, constant in asdict(config).items():
        for entry in constant if isinstance(constant, tuple) else (constant,):
            assert entry is None or isinstance(entry, str) or np.isfinite(entry), name
    assert config.nominal_step >= 0 or isinstance(config, LinearConfig)


def test_saved_meta_parameters(saved: list[dict[str, Any]]) -> None:
    def write(rng: random.Random, folder: Path) -> Path:
        return hostile.put(rng, folder / "a.npz", damaged(rng, rng.choice(saved), "header"))

    def read(path: Path) -> None:
        found = lopt.load(path)
        assert_usable(found.meta_parameters, found.config)
        assert isinstance(found.origin, dict)

    def use(path: Path) -> None:
        made = lopt.star(str(path))
        assert_usable(made.meta_parameters, made.config)

    each("load", write, read)
    each("star(path)", write, use)


def test_the_released_layout(released: list[dict[str, Any]]) -> None:
    def write(rng: random.Random, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        arrays = dict(rng.choice(released))
        config = hostile.changed(rng, json.loads(str(arrays.pop("config"))))
        for _ in range(rng.randrange(3)):
            name = rng.choice(list(arrays))
            arrays[name] = hostile.array(rng, arrays[name])
        return arrays, config if isinstance(config, dict) else {}

    def read(given: tuple[dict[str, Any], dict[str, Any]]) -> None:
        lopt.from_released(*given)
        assert_usable(lopt.released_meta_parameters(given[0]), lopt.released_config(given[1]))

    each("released layout", write, read)


def test_convert(
    saved: list[dict[str, Any]],
    released: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def write(rng: random.Random, folder: Path) -> tuple[Path, Path]:
        arrays = rng.choice([*saved, *released])
        data = damaged(rng, arrays, "header" if "header" in arrays else "config")
        return hostile.put(rng, folder / "a.npz", data), folder / "out.npz"

    def read(paths: tuple[Path, Path]) -> None:
        code = main(["convert", *map(str, paths)])
        assert paths[1].exists() == (code == 0)
        refuse(code, capsys)

    each("lopt convert", write, read)


@pytest.mark.parametrize("ending", ["json", "toml", "TOML"])
def test_configurations(ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    whole = asdict(TrainConfig(rules=("radius>1: log",)))
    fields = {k: list(v) if isinstance(v, tuple) else v for k, v in whole.items() if v is not None}

    def write(rng: random.Random, folder: Path) -> Path:
        some = dict(rng.sample(sorted(fields.items()), rng.randint(1, len(fields))))
        text = hostile.toml_text(rng, some)
        if ending == "json":
            document = some if rng.random() < 0.7 else {"config": some, "versions": {}}
            text = hostile.json_text(rng, document)
        return hostile.put(rng, folder / f"a.{ending}", hostile.encoded(rng, text))

    def read(path: Path) -> None:
        out = refuse(main(["train", "--config", str(path), "--show-config"]), capsys)
        assert TrainConfig.from_mapping(json.loads(out))

    each(f"configuration .{ending}", write, read)


def refuse(code: int, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command printed; what it refused is raised as the reader's own error is."""
    captured = capsys.readouterr()
    if code:
        assert code == 2
        assert captured.err.count("\n") == 1
        raise ValueError(captured.err[:-1])
    return captured.out


def test_data_sets() -> None:
    draw = np.random.default_rng(0)
    sound = {
        key: draw.integers(0, 10, (4,) if key.endswith("labels") else (4, 3, 3), np.uint8)
        for key in KEYS
    }

    def write(rng: random.Random, folder: Path) -> Path:
        return hostile.put(rng, folder / "a.npz", hostile.npz(rng, sound))

    def read(path: Path) -> None:
        found = read_arrays(path, (3, 3), 10)
        assert set(found) == set(KEYS)
        assert all(x.dtype == np.uint8 for x in found.values())

    each("data set", write, read)


def test_idx_files() -> None:
    sound = gzip.decompress(idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4)))

    def write(rng: random.Random, folder: Path) -> Path:
        header = bytearray(sound)
        if rng.random() < 0.4:
            header[rng.randrange(16)] = rng.choice([0, 1, 8, 255])
        body = gzip.compress(hostile.stirred(rng, bytes(header), 0.4))
        return hostile.put(rng, folder / "a.gz", hostile.stirred(rng, body, 0.4))

    def read(path: Path) -> None:
        assert read_idx(path).dtype == np.uint8

    each("idx", write, read)


def test_a_small_file_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lopt.tasks.data.idx.LARGEST", 2**20)
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(2**21)))
    with pytest.raises(ValueError, match="unpacks to more than 1048576 bytes"):
        read_idx(tmp_path / "a.gz")
