"""Links that are right in the repository, between docs and notebooks, made right in the site."""

from typing import Any

from sphinx.application import Sphinx


def rewrite(app: Sphinx, name: str, source: list[str]) -> None:
    """The notebooks are beside docs in the repository, and within it in the site."""
    if name.startswith("notebooks/"):
        source[0] = source[0].replace("](../docs/", "](../")
    else:
        source[0] = source[0].replace("](../notebooks/", "](notebooks/")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the rewriting."""
    app.connect("source-read", rewrite)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
