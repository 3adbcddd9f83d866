"""Texts as rows of token ids: bytes, or the pieces of a SentencePiece model."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lopt.checks import require
from nqm.untrusted import reading, regular_size

# Ids 0 to 2 are padding, end and unknown; only padding is used.
PADDING, SPECIAL = 0, 3
# Ids after the pieces, which T5's vocabularies leave for sentinels and which widen the model.
EXTRA = 100


class Vocabulary(Protocol):
    """Token ids of a text; 0 is padding."""

    @property
    def size(self) -> int:
        """The number of ids."""
        ...

    def encode(self, text: bytes, most: int | None = None) -> NDArray[np.integer]:
        """The ids of a text, at most `most` of them."""
        ...


@dataclass(frozen=True)
class Bytes:
    """One id for each byte, after three special ones: 259 ids, without any tokenizer.

    Examples
    --------
    >>> Bytes().encode(b"AB").tolist(), Bytes().size
    ([68, 69], 259)
    """

    @property
    def size(self) -> int:
        """The number of ids."""
        return SPECIAL + 256

    def encode(self, text: bytes, most: int | None = None) -> NDArray[np.integer]:
        """The bytes, each plus 3, uint16."""
        return np.frombuffer(text[:most], np.uint8).astype(np.uint16) + np.uint16(SPECIAL)


@dataclass(frozen=True)
class Pieces:
    """The pieces of a SentencePiece model and 100 further ids, as T5's vocabularies have them.

    Parameters
    ----------
    path
        The ``.model`` file. Its id 0 must be padding.

    Raises
    ------
    ValueError
        Where the package `sentencepiece` is not installed, or the file is not such a model.
    """

    path: Path

    def __post_init__(self) -> None:
        _ = self._model

    @cached_property
    def _model(self) -> Any:
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError:
            raise ValueError(
                "a SentencePiece model needs the package sentencepiece; install it with: pip "
                "install sentencepiece. Bytes need no package."
            ) from None
        path = Path(self.path)
        with reading(path, "cannot be read as a SentencePiece model", "Name another file."):
            regular_size(path)
            model = SentencePieceProcessor(model_file=str(path))
            if model.pad_id() != PADDING:
                raise ValueError(f"its id of padding is {model.pad_id()}, not {PADDING}")
        return model

    @property
    def size(self) -> int:
        """The number of ids."""
        return int(self._model.vocab_size()) + EXTRA

    def encode(self, text: bytes, most: int | None = None) -> NDArray[np.integer]:
        """The ids of the pieces, int32."""
        found = self._model.encode(text.decode("utf-8", "replace"))
        return np.asarray(found[:most], np.int32)


def token_rows(
    text: bytes, length: int, vocabulary: Vocabulary, *, lines: bool
) -> NDArray[np.integer]:
    r"""Token ids ``[examples, length]``, padded with 0 at the end.

    Parameters
    ----------
    text
        The bytes of a text.
    length
        Tokens of an example: one more than a language model reads.
    vocabulary
        How the text becomes ids.
    lines
        True for the first `length` tokens of each line that is not empty; False for running text,
        which is cut every `length` tokens, and what is left over at its end is dropped.

    Raises
    ------
    ValueError
        Where `length` is below 2, or the text has no example.

    Examples
    --------
    >>> token_rows(b"AB\n\nCDEFG\n", 4, Bytes(), lines=True).tolist()
    [[68, 69, 0, 0], [70, 71, 72, 73]]
    >>> token_rows(b"AB\nCDE", 3, Bytes(), lines=False).tolist()
    [[68, 69, 13], [70, 71, 72]]
    """
    require("length", length, length >= 2, "at least 2")
    if not lines:
        ids = vocabulary.encode(text)
        count = len(ids) // length
        rows = ids[: count * length].reshape(count, length)
    else:
        sentences = [line for line in text.splitlines() if line.strip()]
        encoded = [vocabulary.encode(sentence, length) for sentence in sentences]
        kind = encoded[0].dtype if encoded else np.uint16
        rows = np.zeros((len(encoded), length), kind)
        for row, ids in zip(rows, encoded, strict=True):
            row[: len(ids)] = ids
    if not len(rows):
        raise ValueError(f"the text of {len(text)} bytes has no example of {length} tokens.")
    return rows
