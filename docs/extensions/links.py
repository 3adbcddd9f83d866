"""Links that are right in the repository, between docs and notebooks, made right in the site."""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx


def rewrite(app: Sphinx, name: str, source: list[str]) -> None:
    """The notebooks are beside docs in the repository, and within it in the site."""
    if name.startswith("notebooks/"):
        source[0] = source[0].replace("](../docs/", "](../")
    else:
        source[0] = source[0].replace("](../notebooks/", "](notebooks/")
    if name == app.config.root_doc:
        source[0] = present(source[0], Path(app.srcdir))


def present(text: str, folder: Path) -> str:
    """The text without the patterns `folder/*` that match no page, of which Sphinx would warn."""

    def kept(line: re.Match[str]) -> str:
        return line[0] if any(folder.glob(f"{line[1]}*.*")) else ""

    return re.sub(r"^([\w/-]+)\*\n", kept, text, flags=re.MULTILINE)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the rewriting."""
    app.connect("source-read", rewrite)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
