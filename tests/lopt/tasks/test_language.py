"""Texts become rows of tokens, and the loss of a language model counts what is not padding."""

import math
import sys
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.keys import random_key
from lopt.tasks import (
    TEXTS,
    Bytes,
    Pieces,
    RecurrentLM,
    TransformerLM,
    language_task,
    load_text,
    make_task,
    token_rows,
)
from lopt.tasks.data.text import EMBEDDED
from lopt.tasks.models.layers import TRUNCATED

KEY = random_key(0)
NETWORKS = {
    "lstm": RecurrentLM("lstm", 4, 3, 12),
    "gru": RecurrentLM("gru", 4, 3, 12),
    "transformer": TransformerLM(
        layers=2, width=4, heads=2, head_width=2, vocabulary=12, dropout=0.0
    ),
}


def filled(task, seed: int = 1):
    shapes = jax.eval_shape(task.init, KEY)
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(0, 0.5, x.shape), x.dtype), shapes)


@pytest.fixture(scope="module", params=NETWORKS)
def model(request: pytest.FixtureRequest):
    """A task on rows of 7 tokens, its parameters, and loss with gradient, compiled once."""
    rows = np.array([[5, 3, 4, 0, 0, 0, 0], [3, 9, 4, 11, 8, 3, 0]], np.uint16)
    task = language_task("toy", rows, NETWORKS[request.param], 12, batch_size=2)
    return task, filled(task), jax.jit(jax.value_and_grad(task.loss))


def test_padding_influences_neither_loss_nor_gradient(model) -> None:
    task, params, both = model
    loss, gradient = both(params, KEY, task.data)
    assert not jnp.any(gradient["embedding"][0])
    assert jnp.all(jnp.any(gradient["embedding"][jnp.array([3, 4, 5])] != 0, axis=-1))
    other = {**params, "embedding": params["embedding"].at[0].set(7.0)}
    changed, changed_gradient = both(other, KEY, task.data)
    assert float(changed) == float(loss)
    jax.tree.map(np.testing.assert_array_equal, changed_gradient, gradient)
    longer, longer_gradient = both(params, KEY, jnp.pad(task.data, ((0, 0), (0, 3))))
    assert float(longer) == pytest.approx(float(loss), rel=1e-6)
    for x, y in zip(*map(jax.tree.leaves, (longer_gradient, gradient)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-7)


def test_the_loss_is_the_mean_over_tokens_and_not_over_rows(model) -> None:
    """3 positions of the first row count, 6 of the second."""
    task, params, both = model
    loss = [float(both(params, KEY, task.data[i : i + 1])[0]) for i in range(2)]
    assert float(both(params, KEY, task.data)[0]) == pytest.approx(
        (3 * loss[0] + 6 * loss[1]) / 9, rel=1e-6
    )


def test_equal_logits_cost_log_vocabulary(model) -> None:
    task, params, both = model
    even = {k: jax.tree.map(jnp.zeros_like, v) if "Dense" in k else v for k, v in params.items()}
    assert float(both(even, KEY, task.data)[0]) == pytest.approx(math.log(12), rel=1e-6)
    assert task.loss_ceiling == pytest.approx(1.5 * math.log(12))


@pytest.mark.parametrize("network", ["lstm", "gru", "transformer"])
def test_initial_losses_of_the_byte_models_are_log_259_and_half_the_variance(network) -> None:
    """Logits of variance s^2 that are independent of the target add s^2 / 2 on average; the mean
    of their values at the targets has at most the deviation s.
    """
    vocabulary = Bytes().size
    small = {
        "lstm": RecurrentLM("lstm", 32, 16, vocabulary),
        "gru": RecurrentLM("gru", 32, 16, vocabulary),
        "transformer": TransformerLM(1, 32, 2, 8, vocabulary, dropout=0.0),
    }[network]
    rows = token_rows(load_text("tinyshakespeare").train[:4000], 17, Bytes(), lines=False)
    task = language_task("small", rows, small, vocabulary)

    @jax.jit
    def first(key):
        params = task.init(key)
        logits = small.apply({"params": params}, task.data[:, :-1].astype(jnp.int32))
        return task.loss(params, key, task.data), jnp.mean(logits**2)

    loss, square = map(float, first(KEY))
    assert abs(loss - math.log(259) - square / 2) < 4 * math.sqrt(square / 20)
    if network == "transformer":  # its last activations have mean square 1
        assert square == pytest.approx(TRUNCATED**2, rel=0.15)
        assert loss > math.log(259)
    else:
        assert abs(loss - math.log(259)) < 0.15


def test_the_embedded_text_is_whole_and_small() -> None:
    text = load_text("tinyshakespeare")
    assert EMBEDDED.stat().st_size < 600_000
    whole = text.train + text.test
    assert len(whole) == 1_115_394
    assert max(whole) < 128
    assert len(text.train) == int(0.9 * len(whole))
    rows = token_rows(text.train, 33, Bytes(), lines=text.lines)
    assert rows.dtype == np.uint16
    assert rows.shape == (len(text.train) // 33, 33)
    assert bytes((rows[5] - 3).astype(np.uint8)) == text.train[5 * 33 : 6 * 33]


def test_lines_are_cut_and_padded_and_empty_ones_left_out() -> None:
    rows = token_rows(b"abc\r\n \n\nabcdefg\nx", 5, Bytes(), lines=True)
    expected = [[100, 101, 102, 0, 0], [100, 101, 102, 103, 104], [123, 0, 0, 0, 0]]
    assert rows.tolist() == expected
    assert Bytes().encode(bytes(range(256))).tolist() == list(range(3, 259))
    for text, lines in ((b"\n\n", True), (b"ab", False)):
        with pytest.raises(ValueError, match="has no example of 5 tokens"):
            token_rows(text, 5, Bytes(), lines=lines)
    with pytest.raises(ValueError, match="length must be at least 2; it is 1"):
        token_rows(b"abc", 1, Bytes(), lines=False)


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of its own, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOPT_DATA_DIR", str(tmp_path))
    return tmp_path


def test_texts_are_found_by_pairs_the_fetched_one_first(alone: Path) -> None:
    with pytest.raises(ValueError, match=r"lm1b is not in .*Get it: lopt data fetch lm1b"):
        load_text("lm1b")
    (alone / "lm1b_heldout_10-11.txt").write_bytes(b"one .\n")
    with pytest.raises(ValueError, match="lm1b is not in"):
        load_text("lm1b")
    (alone / "lm1b_heldout_12-13.txt").write_bytes(b"two .\n")
    assert load_text("lm1b") == (b"one .\n", b"two .\n", True)
    for part in ("train", "test"):
        (alone / f"lm1b_{part}.txt").write_bytes(part.encode())
    assert load_text("lm1b") == (b"train", b"test", True)
    assert TEXTS["lm1b"].sizes(TEXTS["lm1b"].places[0]) == (5, 4)
    for part in ("valid", "test"):
        (alone / f"wikitext2_{part}.txt").write_bytes(part.encode())
    assert load_text("wikitext2") == (b"valid", b"test", False)


def test_a_text_that_cannot_be_read_is_one_line(alone: Path) -> None:
    with pytest.raises(ValueError, match="no text is called 'lm1'; the nearest is lm1b"):
        load_text("lm1")
    (alone / "lm1b_train.txt").write_bytes(b" \n")
    (alone / "lm1b_test.txt").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"lm1b_train\.txt cannot be read as a text: it is empty"):
        load_text("lm1b")


@pytest.mark.parametrize("name", ["lm1b", "wikitext2"])
def test_real_texts_make_rows(name: str) -> None:
    if TEXTS[name].find() is None:
        pytest.skip(f"{name} is not here")
    text = load_text(name)
    rows = token_rows(text.train, 33, Bytes(), lines=text.lines)
    assert rows.max() < 259
    assert len(rows) > 1000
    assert np.all(rows[:, 0] != 0)


class Processor:
    """What Pieces takes of a SentencePieceProcessor: each word is its length."""

    def __init__(self, model_file: str) -> None:
        self.padding = int(Path(model_file).read_text())

    def pad_id(self) -> int:
        return self.padding

    def vocab_size(self) -> int:
        return 50

    def encode(self, text: str) -> list[int]:
        return [len(word) for word in text.split()]


def test_pieces_come_from_a_model_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ValueError, match="needs the package sentencepiece; install it with: pip"):
        Pieces(tmp_path / "model")
    fake = ModuleType("sentencepiece")
    fake.SentencePieceProcessor = Processor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentencepiece", fake)
    with pytest.raises(ValueError, match=r"absent cannot be read as a SentencePiece model"):
        Pieces(tmp_path / "absent")
    (tmp_path / "model").write_text("0")
    pieces = Pieces(tmp_path / "model")
    assert pieces.size == 150
    rows = token_rows("a bé ccc\ndddd".encode(), 3, pieces, lines=True)
    assert rows.tolist() == [[1, 2, 3], [4, 0, 0]]
    (tmp_path / "model").write_text("-1")
    with pytest.raises(ValueError, match="its id of padding is -1, not 0"):
        Pieces(tmp_path / "model")


def test_the_names_with_pieces_ask_for_the_model(alone: Path, monkeypatch) -> None:
    for part in ("train", "test"):
        (alone / f"lm1b_{part}.txt").write_bytes(b"one two\nthree")
    monkeypatch.delenv("LOPT_SENTENCEPIECE", raising=False)
    with pytest.raises(ValueError, match="LOPT_SENTENCEPIECE must name the file"):
        make_task("lm1b-lstm-pieces")
    fake = ModuleType("sentencepiece")
    fake.SentencePieceProcessor = Processor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentencepiece", fake)
    (alone / "model").write_text("0")
    monkeypatch.setenv("LOPT_SENTENCEPIECE", str(alone / "model"))
    task = make_task("lm1b-lstm-pieces")
    assert jax.eval_shape(task.init, KEY)["embedding"].shape == (150, 128)
    assert task.data[:, :3].tolist() == [[3, 3, 0], [5, 0, 0]]
