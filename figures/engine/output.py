"""The files of a figure: SVG and PNG, the caption, and a sidecar with their provenance."""

import json
from pathlib import Path
from typing import Any

from figures.engine.figure import DRAWN, Figure, canonical, digest
from figures.engine.markdown import wrapped
from figures.engine.store import versions, write
from figures.engine.style import plt

DPI = 200


def sidecar(figure: Figure, record: dict[str, Any]) -> dict[str, Any]:
    """Return configuration, hash, seed and versions, and the provenance of the results."""
    return {
        "figure": figure.name,
        "title": figure.title,
        "config": dict(figure.config),
        "hash": figure.hash,
        "seed": figure.seed,
        "versions": versions(),
        "results": {
            "hash": digest(record["parts"]),
            "versions": record["versions"],
            "seconds": record["seconds"],
        },
    }


def caption_page(figure: Figure, record: dict[str, Any]) -> str:
    """Return title, caption and command as Markdown."""
    return (
        f"## {figure.title}\n\n{wrapped(figure.caption(record['parts']))}\n\n"
        f"    python -m figures {figure.name}\n\n"
        "draws this figure; with `--recompute` it first recomputes the results, in about "
        f"{duration(record['seconds'])}.\n"
    )


def duration(seconds: float) -> str:
    """Return a duration as text, with the precision of an estimate for another machine.

    Examples
    --------
    >>> duration(0.2), duration(13), duration(400)
    ('1 s', '15 s', '7 min')
    """
    if seconds > 90:
        return f"{seconds / 60:.0f} min"
    return f"{max(1, round(seconds) if seconds < 8 else 5 * round(seconds / 5))} s"


def save(figure: Figure, record: dict[str, Any], folder: Path = DRAWN) -> list[Path]:
    """Draw and write NAME.svg, NAME.png, NAME.md and NAME.json, reproducibly to the byte."""
    folder.mkdir(parents=True, exist_ok=True)
    said = sidecar(figure, record)
    about = {"Title": figure.title, "Description": canonical(said)}
    drawn = figure.draw(record["parts"])
    files = [folder / f"{figure.name}.{kind}" for kind in ("svg", "png", "md", "json")]
    svg, png, page, description = files
    with plt.rc_context({"svg.hashsalt": figure.name, "svg.fonttype": "path"}):
        for path, metadata in (
            (svg, about | {"Date": None, "Identifier": f"sha256:{figure.hash}"}),
            (png, about | {"Identifier": f"sha256:{figure.hash}"}),
        ):
            part = path.with_name(f"{path.stem}.part{path.suffix}")
            drawn.savefig(part, dpi=DPI, metadata=metadata)
            part.replace(path)
    plt.close(drawn)
    write(page, caption_page(figure, record))
    write(description, json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    return files
