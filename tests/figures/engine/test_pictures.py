"""Each figure is drawn from its committed results, and its committed files match them."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from figures.engine import gallery, output, store
from figures.engine.figure import PICTURES, Figure, digest
from figures.engine.registry import MODULES, find

IN_BRIEF = ("fig1", "fig3", "app5", "conservatism", "predictions")


@pytest.fixture(
    scope="module",
    params=[
        name if name in IN_BRIEF else pytest.param(name, marks=pytest.mark.extended)
        for name in MODULES
    ],
)
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A figure, its committed record, and a folder into which it was drawn."""
    figure = find(request.param)
    record, folder = store.load(figure), tmp_path_factory.mktemp(figure.name)
    output.save(figure, record, folder)
    return figure, record, folder


def test_the_committed_caption_is_that_of_the_results(drawn: Any) -> None:
    figure, record, folder = drawn
    text = (folder / f"{figure.name}.md").read_text("utf-8")
    assert text == output.caption_page(figure, record)
    title, _, rest = text.partition("\n\n")
    committed = gallery.PAGE.read_text("utf-8")
    assert f"{title}\n\n![{figure.seen}](figures/{figure.name}.png)\n\n{rest}" in committed
    for word in ("**Seen.**", "**Paper.**", f"python -m figures {figure.name}"):
        assert word in text
    prose = [line for line in text.splitlines() if not line.startswith("|")]
    assert max(map(len, prose)) <= 100


def sidecar(figure: Figure, folder: Path = PICTURES) -> dict[str, Any]:
    """Return the sidecar in the metadata of a picture."""
    with Image.open(folder / f"{figure.name}.png") as picture:
        found: dict[str, Any] = json.loads(picture.info["Description"])
        assert picture.info["Identifier"] == f"sha256:{figure.hash}"
        assert picture.info["Title"] == figure.title
    return found


def test_the_committed_picture_says_what_made_it(drawn: Any) -> None:
    figure, record, folder = drawn
    said = sidecar(figure)
    own = json.loads((folder / f"{figure.name}.json").read_text("utf-8"))
    assert said["hash"] == digest(said["config"]) == figure.hash
    assert said["seed"] == said["config"].get("seed")
    assert said["results"]["hash"] == digest(record["parts"])
    assert set(said["versions"]) == {"python", *store.PACKAGES}
    assert said | {"versions": None} == own | {"versions": None}


def test_the_pictures_carry_their_sidecar(drawn: Any) -> None:
    figure, _, folder = drawn
    said = json.loads((folder / f"{figure.name}.json").read_text("utf-8"))
    assert sidecar(figure, folder) == said
    for at in (PICTURES, folder):
        with Image.open(at / f"{figure.name}.png") as picture:
            assert picture.width >= 1100
    svg = (folder / f"{figure.name}.svg").read_text("utf-8")
    assert figure.hash in svg
    assert said["results"]["hash"] in svg
    assert "<dc:date>" not in svg


def test_the_committed_picture_is_what_is_drawn_now(drawn: Any) -> None:
    """The pictures agree up to rounding if Matplotlib has the version that drew the first."""
    figure, _, folder = drawn
    said = sidecar(figure)
    if any(said["versions"][name] != store.versions()[name] for name in ("matplotlib", "numpy")):
        pytest.skip("drawn with another version of Matplotlib or NumPy")
    committed, again = (pixels(at / f"{figure.name}.png") for at in (PICTURES, folder))
    assert committed.shape == again.shape
    assert np.mean(np.abs(committed - again) > 8) < 1e-4


def pixels(path: Path) -> np.ndarray:
    """Return the colours of a picture, ``[height, width, 3]``."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), np.int16)


def test_drawing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    figure = find("momentum")
    record = store.load(figure)
    first, second = (
        [path.read_bytes() for path in output.save(figure, record, tmp_path / name)]
        for name in ("a", "b")
    )
    assert first == second


def test_another_result_is_noticed(drawn: Any) -> None:
    """The hash of the results depends on their last number."""
    _, record, _ = drawn
    text = store.text(record)
    last = list(re.finditer(r"\d", text[: text.rindex("]")]))[-1]
    other = f"{text[: last.start()]}{(int(last[0]) + 1) % 10}{text[last.end() :]}"
    assert digest(json.loads(other)["parts"]) != digest(record["parts"])


def test_the_page_holds_every_figure() -> None:
    text = gallery.PAGE.read_text("utf-8")
    assert text == gallery.page()
    for name in MODULES:
        assert f"](figures/{name}.png)" in text
    for link in re.findall(r"\]\(([\w./-]+)\)", text):
        assert (gallery.PAGE.parent / link).exists(), link


def test_docs_holds_the_pictures_that_its_pages_show_and_nothing_else() -> None:
    pages = "".join(page.read_text("utf-8") for page in PICTURES.parent.glob("*.md"))
    for path in PICTURES.iterdir():
        assert path.suffix == ".png", path
        assert f"](figures/{path.name})" in pages, path
