"""What a figure is: a configuration, how each part is computed, a drawing and a caption."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "figures" / "results"
PICTURES = ROOT / "docs" / "figures"
"""What the pages show, a PNG for each figure."""
DRAWN = ROOT / "build" / "figures"
"""Everything else that is drawn; git ignores it."""

Data = Mapping[str, Any]
"""The computed parts by name."""


@dataclass(frozen=True)
class Figure:
    """A figure of the registry; its module calls it `FIGURE`.

    Attributes
    ----------
    name : str
        What the command line, the results and the pictures are called.
    title : str
        What it shows, in a line.
    seen : str
        The picture in words, for readers who cannot see it.
    config : mapping
        Everything that the results depend on, as JSON; "seed" if there is one.
    parts : tuple of str
        What is computed one at a time and kept: a recomputation that was stopped goes on with the
        next of them.
    compute : callable
        Part name -> its results, as JSON.
    draw : callable
        Results -> Matplotlib figure.
    caption : callable
        Results -> Markdown, every measured number of it taken from the results.
    pages : callable
        Results -> the pages made of them, text by path.
    """

    name: str
    title: str
    seen: str
    config: Mapping[str, Any]
    parts: tuple[str, ...]
    compute: Callable[[str], Any]
    draw: Callable[[Data], Any]
    caption: Callable[[Data], str]
    pages: Callable[[Data], Mapping[Path, str]] = lambda _: {}

    @property
    def seed(self) -> int | None:
        """The seed of the random numbers; None where the results are deterministic."""
        return self.config.get("seed")

    @property
    def hash(self) -> str:
        """The SHA-256 of the configuration."""
        return digest(self.config)


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    )


def digest(value: Any) -> str:
    """The SHA-256 of the canonical JSON.

    Examples
    --------
    >>> digest({"b": 1, "a": [2.0]}) == digest({"a": [2.0], "b": 1})
    True
    """
    return hashlib.sha256(canonical(value).encode()).hexdigest()
