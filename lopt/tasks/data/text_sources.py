"""Where texts are published, with their checksums; fetching and unpacking them."""

import shutil
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lopt.files import written_whole
from lopt.tasks.data.download import RemoteFile, Report, download, silent
from lopt.tasks.data.text import TextDataset

# Of the 99 shards of training sentences in LM1B's archive, some 300,000 sentences each.
TRAINING_SHARDS = 4
LM1B_FOLDER = "1-billion-word-language-modeling-benchmark-r13output"
LM1B_TRAIN = tuple(
    f"{LM1B_FOLDER}/training-monolingual.tokenized.shuffled/news.en-{k:05d}-of-00100"
    for k in range(1, TRAINING_SHARDS + 1)
)
LM1B_TEST = (
    f"{LM1B_FOLDER}/heldout-monolingual.tokenized.shuffled/news.en.heldout-00000-of-00050",
)


@dataclass(frozen=True)
class TextSource:
    """A published text.

    Attributes
    ----------
    base
        The address that the name of the file is appended to.
    file
        What to fetch.
    convert
        Gives the bytes of the training and of the test part of the fetched file.
    """

    base: str
    file: RemoteFile
    convert: Callable[[Path], tuple[bytes, bytes]]


def from_lm1b(path: Path) -> tuple[bytes, bytes]:
    """The first `TRAINING_SHARDS` of LM1B's training shards, and its first held-out shard.

    Raises
    ------
    ValueError
        Where the file is no such archive, or lacks a shard.
    """
    wanted, found = {*LM1B_TRAIN, *LM1B_TEST}, {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:  # in the order of the file, which is unpacked once
                name = member.name.removeprefix("./")
                if name in wanted and (file := archive.extractfile(member)) is not None:
                    with file:
                        found[name] = file.read()
                if len(found) == len(wanted):
                    break
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is no archive of LM1B ({error}).") from None
    if missing := sorted(wanted - set(found)):
        raise ValueError(f"{path} is no archive of LM1B ({missing[0]} is not in it).")
    return b"".join(found[name] for name in LM1B_TRAIN), found[LM1B_TEST[0]]


TEXT_SOURCES: Mapping[str, TextSource] = {
    "lm1b": TextSource(
        "http://www.statmt.org/lm-benchmark",
        RemoteFile(
            f"{LM1B_FOLDER}.tar.gz",
            sha256="01ba60381110baf7f189dfd2b8374de371e8c9a340835793f190bdae9e90a34e",
        ),
        from_lm1b,
    )
}


def fetch_text(
    text: TextDataset,
    folder: Path,
    *,
    source: TextSource | None = None,
    base: str | None = None,
    report: Report = silent,
) -> tuple[Path, bool]:
    """Bring a text into `folder` as two files; return the training one and whether it is new.

    The published file waits in a folder of its own until it is complete; interrupted, the next
    call goes on with it. It is deleted once both files are written.

    Parameters
    ----------
    text
        What to fetch.
    folder
        Where to; it is made.
    source
        Where from; `TEXT_SOURCES` has those of the known texts.
    base
        An address that has the same file, instead of the source's.
    report
        Told the progress.

    Raises
    ------
    ValueError
        Where the text has no source, or cannot be fetched, unpacked or written.
    """
    source = source or TEXT_SOURCES.get(text.name)
    if source is None:
        raise ValueError(f"{text.name} cannot be fetched: {text.remedy}.")
    train, test = (folder / name for name in text.files[0])
    if train.is_file() and test.is_file():
        return train, False
    begun = folder / f"{text.name}.download"
    parts = source.convert(download(base or source.base, source.file, begun, report))
    try:
        for path, part in zip((train, test), parts, strict=True):
            with written_whole(path) as file:
                file.write(part)
        shutil.rmtree(begun)
    except OSError as error:
        raise ValueError(
            f"{folder} cannot be written ({error.strerror or error}). "
            "Name another folder with --to."
        ) from None
    return train, True
