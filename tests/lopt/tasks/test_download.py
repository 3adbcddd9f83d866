"""A data set is fetched whole or not at all, whatever the server and the disk do."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from lopt.cli import main
from lopt.tasks.data import sources
from lopt.tasks.data.cache import read_arrays
from lopt.tasks.data.canonical import from_idx
from lopt.tasks.data.datasets import DATASETS, load_dataset
from lopt.tasks.data.download import ATTEMPTS, RemoteFile, download
from lopt.tasks.data.idx import FILES
from lopt.tasks.data.sources import SOURCES, Source, fetch
from tests.lopt.tasks.idx_files import idx

BODY = bytes(range(256)) * 2
ONE = RemoteFile("one.bin", hashlib.md5(BODY).hexdigest())
FASHION = DATASETS["fashion-mnist"]


@dataclass
class Served:
    """What the server has and how it behaves; `cuts` are the bytes of the next bodies."""

    files: dict[str, bytes]
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""


@pytest.fixture(scope="module")
def one_server() -> Iterator[Served]:
    served = Served({})

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            served.requests.append((self.path, asked))
            body = served.files.get(self.path.lstrip("/"))
            if body is None:
                self.send_error(404)
                return
            start = int(asked[len("bytes=") : -1]) if asked and served.ranges else 0
            if start and start >= len(body):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            left = body[start:]
            self.wfile.write(left[: served.cuts.pop(0)] if served.cuts else left)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def server(one_server: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """The server, with one good file."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    one_server.files, one_server.ranges = {"one.bin": BODY}, True
    one_server.cuts, one_server.requests = [], []
    return one_server


def small_fashion_mnist() -> tuple[dict[str, np.ndarray], dict[str, bytes]]:
    """Arrays of the right shapes and few images, and the four files of them."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 3), ("test", 2)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, 28, 28), np.uint8)
        arrays[f"{split}_labels"] = rng.integers(0, 10, count, np.uint8)
    return arrays, {FILES[name]: idx(array) for name, array in arrays.items()}


def source_of(server: Served, files: dict[str, bytes]) -> Source:
    server.files = files
    named = [RemoteFile(name, hashlib.md5(files[name]).hexdigest()) for name in FILES.values()]
    return Source(server.address, tuple(named), from_idx)


def test_a_full_fetch_leaves_the_data_set_and_nothing_else(server: Served, tmp_path: Path) -> None:
    arrays, files = small_fashion_mnist()
    path, new = fetch(FASHION, tmp_path / "new", source=source_of(server, files))
    assert new
    assert list((tmp_path / "new").iterdir()) == [path]
    found = read_arrays(path, (28, 28), 10)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    requests = len(server.requests)
    assert fetch(FASHION, tmp_path / "new", source=source_of(server, files)) == (path, False)
    assert len(server.requests) == requests == 4


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_at_any_byte_is_taken_up_again(server: Served, tmp_path: Path, ranges: bool) -> None:
    """By the same call where it can be, and asking only for what is missing."""
    server.ranges = ranges
    for cut in (0, 1, 2, 100, len(BODY) // 2, len(BODY) - 2, len(BODY) - 1):
        server.cuts, server.requests = [cut], []
        folder = tmp_path / str(cut)
        if cut == 0:  # without progress the call gives up
            with pytest.raises(ValueError, match=r"ended after 0 of 512 bytes"):
                download(server.address, ONE, folder)
        assert download(server.address, ONE, folder).read_bytes() == BODY
        asked = f"bytes={cut}-" if cut else None
        assert server.requests == [("/one.bin", None), ("/one.bin", asked)]
        assert [p.name for p in folder.iterdir()] == ["one.bin"]


@pytest.mark.parametrize("begun", range(0, len(BODY) + 1, 64))
def test_an_earlier_call_is_gone_on_with(server: Served, tmp_path: Path, begun: int) -> None:
    (tmp_path / "one.bin.part").write_bytes(BODY[:begun])
    assert download(server.address, ONE, tmp_path).read_bytes() == BODY
    missing = begun < len(BODY)
    assert len(server.requests) == missing  # a part that is complete is not asked for
    assert [p.name for p in tmp_path.iterdir()] == ["one.bin"]


def test_a_part_that_is_too_long_is_fetched_anew(server: Served, tmp_path: Path) -> None:
    (tmp_path / "one.bin.part").write_bytes(BODY + b"more")
    assert download(server.address, ONE, tmp_path).read_bytes() == BODY


def test_a_truncated_body_leaves_the_part_and_no_data_set(server: Served, tmp_path: Path) -> None:
    _, files = small_fashion_mnist()
    source = source_of(server, files)
    server.cuts = [10] * ATTEMPTS
    with pytest.raises(ValueError, match=r"ended after 30 of \d+ bytes\. Run the same command"):
        fetch(FASHION, tmp_path, source=source)
    assert [p.name for p in tmp_path.iterdir()] == ["fashion_mnist.download"]
    (part,) = (tmp_path / "fashion_mnist.download").iterdir()
    assert part.read_bytes() == files[FILES["train_images"]][:30]
    fetch(FASHION, tmp_path, source=source)
    assert [p.name for p in tmp_path.iterdir()] == ["fashion_mnist.npz"]


def test_a_wrong_checksum_deletes_what_came(server: Served, tmp_path: Path) -> None:
    _, files = small_fashion_mnist()
    source = source_of(server, files)
    server.files = files | {FILES["test_labels"]: b"something else"}
    with pytest.raises(ValueError, match=r"t10k-labels.* has MD5 .* published file has"):
        fetch(FASHION, tmp_path, source=source)
    assert [p.name for p in tmp_path.iterdir()] == ["fashion_mnist.download"]
    left = {p.name for p in (tmp_path / "fashion_mnist.download").iterdir()}
    assert left == set(FILES.values()) - {FILES["test_labels"]}
    server.files, server.requests = files, []
    fetch(FASHION, tmp_path, source=source)
    assert [path for path, _ in server.requests] == [f"/{FILES['test_labels']}"]


def test_files_that_are_another_data_set_leave_none(server: Served, tmp_path: Path) -> None:
    arrays, files = small_fashion_mnist()
    files[FILES["train_images"]] = idx(arrays["train_images"][:, :8, :8])
    with pytest.raises(ValueError, match=r"their shapes are \[3, 8, 8\]"):
        fetch(FASHION, tmp_path, source=source_of(server, files))
    assert not (tmp_path / "fashion_mnist.npz").exists()


def test_404_and_no_network_name_the_address_and_the_remedy(server: Served, tmp_path: Path) -> None:
    server.files = {}
    with pytest.raises(ValueError, match=r"one\.bin answers 404 .*--url"):
        download(server.address, ONE, tmp_path / "a")
    with pytest.raises(
        ValueError, match=r"http://127\.0\.0\.1:9/one\.bin cannot be reached.*--url"
    ):
        download("http://127.0.0.1:9", ONE, tmp_path / "a")
    with pytest.raises(ValueError, match=r"must begin with http"):
        download("file:///etc", ONE, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_place_that_cannot_be_written(server: Served, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot be written \(Not a directory\).*--to"):
        download(server.address, ONE, tmp_path / "file" / "folder")
    _, files = small_fashion_mnist()
    (tmp_path / "fashion_mnist.npz.part").mkdir()  # in the way of the data set itself
    with pytest.raises(ValueError, match=r"fashion_mnist\.npz cannot be written"):
        fetch(FASHION, tmp_path, source=source_of(server, files))
    assert not (tmp_path / "fashion_mnist.npz").exists()


def test_published_checksums_are_whole() -> None:
    for source in SOURCES.values():
        for file in source.files:
            assert len(bytes.fromhex(file.md5)) == 16
        assert source.base.startswith("http")


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and no data directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LOPT_DATA_DIR", raising=False)
    monkeypatch.setattr("lopt.tasks.data.datasets.DEBIAN_FASHION_MNIST", tmp_path / "debian")
    return tmp_path


def test_the_command_fetches_lists_and_repeats(
    server: Served, alone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    arrays, files = small_fashion_mnist()
    mocked = SOURCES | {"fashion-mnist": source_of(server, files)}
    monkeypatch.setattr(sources, "SOURCES", mocked)
    assert main(["data", "list"]) == 0
    listed = capsys.readouterr().out
    for name, known in DATASETS.items():
        (row,) = (line for line in listed.splitlines() if f" {name} " in line)
        assert " x ".join(map(str, known.shape)) in row
        assert ("missing" in row) == (name != "fashion-mnist-8x8")
    assert "missing: lopt data fetch cifar10 " in listed
    path = alone / "cache" / "lopt" / "fashion_mnist.npz"
    assert main(["data", "fetch", "fashion-mnist"]) == 0
    assert capsys.readouterr() == (f"{path}\n", "")
    assert main(["data", "fetch", "fashion-mnist"]) == 0
    assert capsys.readouterr().out == f"{path} is there already\n"
    np.testing.assert_array_equal(load_dataset("fashion-mnist").test.images, arrays["test_images"])
    assert main(["data", "list"]) == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if str(path) in line)
    assert "3 + 2" in row
    path.write_bytes(b"damaged")
    assert main(["data", "list"]) == 0
    assert "damaged: " in capsys.readouterr().out
    assert main(["data", "fetch", "fashion-mnist"]) == 2
    assert "Delete fashion_mnist.npz" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data"], "ACTION"),
        (["data", "fetch"], "NAME"),
        (["data", "fetch", "mnits"], "the nearest is mnist"),
        (["data", "fetch", "imagenet32-tiny200"], "no canonical download"),
        (["data", "fetch", "mnist", "--url", "nowhere"], "must begin with http"),
        (["data", "fetch", "mnist", "--url", "http://127.0.0.1:9"], "--url"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, alone: Path, capsys: pytest.CaptureFixture
) -> None:
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (alone / "cache").exists()
