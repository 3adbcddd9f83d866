"""A figure: its configuration, the computation of its parts, its drawing and its caption."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "figures" / "results"
PICTURES = ROOT / "docs" / "figures"
"""The PNG of each figure, which the pages show."""
DRAWN = ROOT / "build" / "figures"
"""All other output, which git ignores."""

Data = Mapping[str, Any]
"""The computed parts by name."""


@dataclass(frozen=True)
class Figure:
    """A figure of the registry, which its module names `FIGURE`.

    Attributes
    ----------
    name : str
        The name on the command line and of the files.
    title : str
        The content in one line.
    seen : str
        A description for readers who cannot see the picture.
    config : mapping
        Everything that determines the results, as JSON, including "seed" if there is one.
    parts : tuple of str
        The parts, which are computed and kept one at a time, so that an interrupted recomputation
        resumes with the next one.
    compute : callable
        A function from the name of a part to its results, as JSON.
    draw : callable
        A function from the results to a Matplotlib figure.
    caption : callable
        A function from the results to Markdown; every measured number comes from the results.
    pages : callable
        A function from the results to further pages, as text by path.
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
        """The seed of the random numbers; None if the results are deterministic."""
        return self.config.get("seed")

    @property
    def hash(self) -> str:
        """The SHA-256 of the configuration."""
        return digest(self.config)


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and no spaces, so that equal values give equal text."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    )


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON.

    Examples
    --------
    >>> digest({"b": 1, "a": [2.0]}) == digest({"a": [2.0], "b": 1})
    True
    """
    return hashlib.sha256(canonical(value).encode()).hexdigest()
