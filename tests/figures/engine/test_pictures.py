"""Each figure draws from its committed results; what is committed of it is of those results."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from figures.engine import gallery, output, store
from figures.engine.figure import PICTURES, digest
from figures.engine.registry import MODULES, find

NUMBER = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")
METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)


@pytest.fixture(scope="module", params=list(MODULES))
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A figure, its committed record, and the folder it was drawn into anew."""
    figure = find(request.param)
    record, folder = store.load(figure), tmp_path_factory.mktemp(figure.name)
    output.save(figure, record, folder)
    return figure, record, folder


def shape(svg: str) -> tuple[str, np.ndarray]:
    """A picture as its text without numbers, and its numbers; names of clips are left out."""
    text = METADATA.sub("", svg)
    text = re.sub(r'(id=|url\(#|href="#)"?[\w-]+', r"\1", text)
    return NUMBER.sub("#", text), np.array([float(x) for x in NUMBER.findall(text)])


def test_the_committed_caption_is_that_of_the_results(drawn: Any) -> None:
    figure, record, folder = drawn
    text = (PICTURES / f"{figure.name}.md").read_text("utf-8")
    assert text == (folder / f"{figure.name}.md").read_text("utf-8")
    assert text == output.caption_page(figure, record)
    for word in ("**Seen.**", "**Paper.**", f"python -m figures {figure.name}"):
        assert word in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_the_committed_sidecar_says_what_made_the_picture(drawn: Any) -> None:
    figure, record, folder = drawn
    said = json.loads((PICTURES / f"{figure.name}.json").read_text("utf-8"))
    own = json.loads((folder / f"{figure.name}.json").read_text("utf-8"))
    assert said["hash"] == digest(said["config"]) == figure.hash
    assert said["seed"] == said["config"].get("seed")
    assert said["results"]["hash"] == digest(record["parts"])
    assert set(said["versions"]) == {"python", *store.PACKAGES}
    assert said | {"versions": None} == own | {"versions": None}


def test_the_committed_pictures_carry_their_sidecar(drawn: Any) -> None:
    figure, _, _ = drawn
    said = json.loads((PICTURES / f"{figure.name}.json").read_text("utf-8"))
    with Image.open(PICTURES / f"{figure.name}.png") as picture:
        assert json.loads(picture.info["Description"]) == said
        assert picture.info["Identifier"] == f"sha256:{figure.hash}"
        assert picture.width >= 1100
    svg = (PICTURES / f"{figure.name}.svg").read_text("utf-8")
    assert figure.hash in svg
    assert said["results"]["hash"] in svg
    assert "<dc:date>" not in svg


def test_the_committed_picture_is_what_is_drawn_now(drawn: Any) -> None:
    """With the Matplotlib that drew it, up to the rounding of coordinates."""
    figure, _, folder = drawn
    said = json.loads((PICTURES / f"{figure.name}.json").read_text("utf-8"))
    if any(said["versions"][name] != store.versions()[name] for name in ("matplotlib", "numpy")):
        pytest.skip("drawn with another version of Matplotlib or NumPy")
    committed, again = (
        shape((at / f"{figure.name}.svg").read_text("utf-8")) for at in (PICTURES, folder)
    )
    assert committed[0] == again[0]
    np.testing.assert_allclose(committed[1], again[1], atol=1e-3)


def test_drawing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    figure = find("momentum")
    record = store.load(figure)
    first, second = (
        [path.read_bytes() for path in output.save(figure, record, tmp_path / name)]
        for name in ("a", "b")
    )
    assert first == second


def test_another_result_is_noticed(drawn: Any) -> None:
    """The hash of the results changes with any of their numbers."""
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
