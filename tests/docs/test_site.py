"""The site builds without a warning or a network, and its links resolve."""

import argparse
import importlib
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from docs.extensions.equations import rows
from docs.extensions.public import homes

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """The ids, the links and the loaded files of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        if tag == "a" and given.get("href"):
            self.links.append(given["href"] or "")
        loaded = given.get("src") if tag in ("script", "img", "iframe") else None
        if tag == "link" and given.get("rel") in ("stylesheet", "preload", "icon"):
            loaded = given.get("href")
        if loaded:
            self.loads.append(loaded)


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers of the commands that have no subcommands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from list(commands(inner)) or [inner]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a strict build that runs no notebook cells."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "docs", str(folder)],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stderr) == (0, "")
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """All pages, parsed."""
    return {path: Page(path) for path in site.rglob("*.html")}


def test_every_public_name_is_in_the_inventory(site: Path) -> None:
    inventory = zlib.decompress((site / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode()
    names = {line.split(" ")[0] for line in inventory.splitlines() if " py:" in line}
    assert set(homes().values()) <= names


@pytest.mark.parametrize("program", ["nqm", "lopt"])
def test_every_flag_of_every_command_is_on_its_page(
    program: str, site: Path, pages: dict[Path, Page]
) -> None:
    path = site / f"reference/command-{program}.html"
    text = unescape(re.sub(r"<[^>]+>", "", path.read_text("utf-8")))
    parser = importlib.import_module(f"{program}.cli").build_parser()
    found = list(commands(parser))
    assert len(found) >= 5
    for command in found:
        assert command.prog.replace(" ", "-") in pages[path].ids, command.prog
        for action in command._actions:
            for flag in action.option_strings:
                assert flag in ("-h", "--help") or flag in text, f"{command.prog} {flag}"


def test_every_link_within_the_site_resolves(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        for link in page.links:
            url = urlparse(link)
            if url.scheme or url.netloc:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            assert target.exists(), f"{path.name} links to {link}"
            if url.fragment and target in pages:
                assert unquote(url.fragment) in pages[target].ids, f"{path.name} links to {link}"


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        for loaded in page.loads:
            url = urlparse(loaded)
            assert not url.netloc, f"{path.name} loads {loaded}"
    for sheet in site.rglob("*.css"):
        text = sheet.read_text("utf-8")
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", text), sheet.name


def test_no_markup_is_left_broken(site: Path, pages: dict[Path, Page]) -> None:
    for path in pages:
        text = path.read_text("utf-8")
        assert 'class="problematic"' not in text, path.name
        assert 'class="system-message"' not in text, path.name
        for leftover in (":math:", "TypeAliasForwardRef", "_SupportsArray"):
            assert leftover not in text, f"{path.name} shows {leftover}"


def test_the_equations_are_found_by_number(site: Path, pages: dict[Path, Page]) -> None:
    page = pages[site / "equations.html"]
    index = pages[site / "genindex.html"]
    for row in rows("equation"):
        assert row.anchor in page.ids
        assert f"equations.html#{row.anchor}" in index.links
