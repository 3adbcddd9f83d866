"""Texts by name, a training and a test part each; one is embedded in the package.

The others are looked for where the image data sets are, see `lopt.tasks.data.datasets`.
"""

import bz2
import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from lopt.tasks.data.datasets import DATA_DIR, folders
from nqm.untrusted import quoted, reading, regular_size

EMBEDDED = Path(__file__).with_name("tinyshakespeare.txt.bz2")
# Of the running text that is embedded, the rest being for tests.
TRAINING_SHARE = 0.9
# Bytes of a file; what is fetched of LM1B has some 170 million.
LARGEST = 2**30


class Text(NamedTuple):
    """The bytes of a training and of a test part."""

    train: bytes
    test: bytes
    lines: bool
    """Whether each line is an example, as opposed to running text."""


@dataclass(frozen=True)
class TextDataset:
    """What is known of a text before it is found.

    Attributes
    ----------
    name
        As on the command line.
    files
        Names of a training and a test file; the first pair that lies in one folder is taken.
    lines
        Whether each line is an example, as opposed to running text.
    remedy
        What brings the text where it is missing.
    """

    name: str
    files: tuple[tuple[str, str], ...]
    lines: bool
    remedy: str

    @property
    def places(self) -> tuple[tuple[Path, Path], ...]:
        """The pairs of files that it is looked for in, the first found being taken."""
        if not self.files:
            return ((EMBEDDED, EMBEDDED),)
        return tuple((folder / a, folder / b) for folder in folders() for a, b in self.files)

    def find(self) -> tuple[Path, Path] | None:
        """The first of its places where both files lie, None where there is none."""
        there = os.path.isfile
        return next((place for place in self.places if all(map(there, place))), None)

    def sizes(self, place: tuple[Path, Path]) -> tuple[int, int]:
        """The bytes of the two parts at a place."""
        if place == (EMBEDDED, EMBEDDED):
            train, test, _ = read_text(self, place)
            return len(train), len(test)
        with reading(place[0].parent / self.name):
            return regular_size(place[0]), regular_size(place[1])


TEXTS: Mapping[str, TextDataset] = {
    text.name: text
    for text in (
        TextDataset("tinyshakespeare", (), False, "reinstall the package, which embeds it"),
        TextDataset(
            "lm1b",
            (
                ("lm1b_train.txt", "lm1b_test.txt"),
                ("lm1b_heldout_10-11.txt", "lm1b_heldout_12-13.txt"),
            ),
            True,
            "lopt data fetch lm1b",
        ),
        TextDataset(
            "wikitext2",
            (
                ("wikitext2_train.txt", "wikitext2_test.txt"),
                ("wikitext2_valid.txt", "wikitext2_test.txt"),
            ),
            False,
            "there is no canonical download; put wikitext2_train.txt (or wikitext2_valid.txt) and "
            f"wikitext2_test.txt into the folder that {DATA_DIR} names",
        ),
    )
}


def load_text(name: str) -> Text:
    """The text of this name, read from the first place where it lies.

    Raises
    ------
    ValueError
        Where the name is unknown, or the text is missing or cannot be read.

    Examples
    --------
    >>> text = load_text("tinyshakespeare")
    >>> len(text.train) + len(text.test), text.train[:14]
    (1115394, b'First Citizen:')
    """
    if name not in TEXTS:
        near = get_close_matches(name[:100], TEXTS, 1, cutoff=0.0)[0]
        raise ValueError(
            f"no text is called {quoted(name)}; the nearest is {near}, all are {', '.join(TEXTS)}."
        )
    wanted = TEXTS[name]
    place = wanted.find()
    if place is None:
        looked = " nor in ".join(" and ".join(map(str, pair)) for pair in wanted.places)
        raise ValueError(f"{name} is not in {looked}. Get it: {wanted.remedy}")
    return read_text(wanted, place)


def read_text(wanted: TextDataset, place: tuple[Path, Path]) -> Text:
    """The text at a place.

    Raises
    ------
    ValueError
        Where a file cannot be read, or is empty.
    """
    if place == (EMBEDDED, EMBEDDED):
        with reading(EMBEDDED, "cannot be unpacked", "Reinstall the package."):
            whole = bz2.decompress(EMBEDDED.read_bytes())
        cut = int(TRAINING_SHARE * len(whole))
        return Text(whole[:cut], whole[cut:], wanted.lines)
    train, test = (_bytes(path) for path in place)
    return Text(train, test, wanted.lines)


def _bytes(path: Path) -> bytes:
    with reading(path, "cannot be read as a text", "Replace it."):
        if regular_size(path) > LARGEST:
            raise ValueError(f"it has more than {LARGEST} bytes, the most that are read here")
        data = path.read_bytes()
        if not data.strip():
            raise ValueError("it is empty")
    return data
