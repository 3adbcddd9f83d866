"""LM1B's archive is fetched, verified by its SHA-256 and unpacked, or leaves nothing."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from lopt.cli import main
from lopt.tasks import TEXTS
from lopt.tasks.data import text_sources
from lopt.tasks.data.download import ATTEMPTS, RemoteFile
from lopt.tasks.data.text_sources import (
    LM1B_FOLDER,
    LM1B_TEST,
    LM1B_TRAIN,
    TEXT_SOURCES,
    TextSource,
    fetch_text,
    from_lm1b,
)
from tests.lopt.tasks.test_download import Served, alone, one_server, server

__all__ = ["alone", "one_server", "server"]
LM1B = TEXTS["lm1b"]


def archive(names: tuple[str, ...]) -> bytes:
    """An archive whose files hold their own names, the last first."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as packed:
        for name in reversed((f"{LM1B_FOLDER}/README", *names)):
            info = tarfile.TarInfo(f"./{name}")
            data = f"{name[-14:]} .\n".encode()
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return file.getvalue()


WHOLE = archive((*LM1B_TRAIN, *LM1B_TEST))


def source_of(server: Served, body: bytes) -> TextSource:
    server.files = {"lm1b.tar.gz": body}
    remote = RemoteFile("lm1b.tar.gz", sha256=hashlib.sha256(body).hexdigest())
    return TextSource(server.address, remote, from_lm1b)


def test_the_shards_come_in_their_order_whatever_that_of_the_archive(
    server: Served, tmp_path: Path
) -> None:
    path, new = fetch_text(LM1B, tmp_path / "new", source=source_of(server, WHOLE))
    assert new
    assert {p.name for p in path.parent.iterdir()} == {"lm1b_train.txt", "lm1b_test.txt"}
    lines = path.read_text().splitlines()
    assert lines == [f"0000{k}-of-00100 ." for k in (1, 2, 3, 4)]
    assert (path.parent / "lm1b_test.txt").read_text() == "00000-of-00050 .\n"
    requests = len(server.requests)
    assert fetch_text(LM1B, tmp_path / "new", source=source_of(server, WHOLE)) == (path, False)
    assert len(server.requests) == requests


def test_an_interrupted_fetch_goes_on_where_it_was(server: Served, tmp_path: Path) -> None:
    source = source_of(server, WHOLE)
    server.cuts = [10] * ATTEMPTS
    with pytest.raises(ValueError, match=r"ended after 30 of \d+ bytes\. Run the same command"):
        fetch_text(LM1B, tmp_path, source=source)
    assert [p.name for p in tmp_path.iterdir()] == ["lm1b.download"]
    server.requests.clear()
    assert fetch_text(LM1B, tmp_path, source=source)[1]
    assert [asked for _, asked in server.requests] == ["bytes=30-"]


def test_another_checksum_leaves_nothing(server: Served, tmp_path: Path) -> None:
    source = source_of(server, WHOLE)
    server.files = {"lm1b.tar.gz": WHOLE + b"?"}
    with pytest.raises(ValueError, match=r"has SHA-256 .* published file has"):
        fetch_text(LM1B, tmp_path, source=source)
    assert list((tmp_path / "lm1b.download").iterdir()) == []


@pytest.mark.parametrize("body", [b"no archive", archive(LM1B_TRAIN), WHOLE[: len(WHOLE) // 2]])
def test_what_is_no_such_archive_is_one_line(body: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(body)
    with pytest.raises(ValueError, match=r"x\.tar\.gz is no archive of LM1B") as error:
        from_lm1b(tmp_path / "x.tar.gz")
    assert "\n" not in str(error.value)


def test_the_published_checksum_is_whole() -> None:
    for source in TEXT_SOURCES.values():
        assert len(bytes.fromhex(source.file.sha256)) == 32
        assert source.base.startswith("http")


def test_the_command_fetches_and_lists_texts(
    server: Served, alone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(text_sources, "TEXT_SOURCES", {"lm1b": source_of(server, WHOLE)})
    assert main(["data", "list"]) == 0
    listed = capsys.readouterr().out
    assert "1003854 + 111540 bytes" in listed
    assert "missing: lopt data fetch lm1b " in listed
    path = alone / "cache" / "lopt" / "lm1b_train.txt"
    assert main(["data", "fetch", "lm1b"]) == 0
    assert capsys.readouterr() == (f"{path}\n", "")
    assert main(["data", "fetch", "lm1b"]) == 0
    assert capsys.readouterr().out == f"{path} is there already\n"
    assert main(["data", "list"]) == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if str(path) in line)
    assert "68 + 17 bytes" in row
    assert main(["data", "fetch", "tinyshakespeare"]) == 0
    assert "is there already" in capsys.readouterr().out


def test_a_stand_in_does_not_keep_the_whole_from_being_fetched(
    server: Served, alone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(text_sources, "TEXT_SOURCES", {"lm1b": source_of(server, WHOLE)})
    monkeypatch.setenv("LOPT_DATA_DIR", str(alone))
    for part in ("10-11", "12-13"):
        (alone / f"lm1b_heldout_{part}.txt").write_bytes(b"x")
    assert main(["data", "fetch", "lm1b", "--to", str(alone / "to")]) == 0
    assert main(["data", "fetch", "lm1b"]) == 0
    assert capsys.readouterr().out.endswith("cache/lopt/lm1b_train.txt\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lm1"], "the nearest is lm1b"),
        (["wikitext2"], "no canonical download"),
        (["lm1b", "--url", "nowhere"], "must begin with http"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, alone: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["data", "fetch", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
