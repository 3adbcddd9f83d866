"""The sixteen tasks by name: their sizes, their first losses, and a step of each."""

import math
from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lopt
from lopt.cli import main
from lopt.keys import random_key
from lopt.tasks import (
    DATASETS,
    MLP,
    Images,
    RecurrentLM,
    ResNet,
    Task,
    TransformerLM,
    autoencoder_task,
    haiku_weights,
    image_task,
    make_task,
    parse_task_name,
    registry,
    suite,
    task_form,
    task_names,
)
from lopt.tasks.data.datasets import ImageDataset
from lopt.tasks.data.text import TEXTS, Text
from lopt.tasks.models.layers import TRUNCATED
from lopt.tasks.suites.catalogue import ALIASES, FORMS

KEY = random_key(0)
FULL, SMALL = suite("out-of-distribution"), suite("out-of-distribution", small=True)
T5 = 32_100  # ids of the vocabulary with 32,000 pieces


def dense(*widths: int) -> int:
    """Parameters of dense layers, or of 3x3 convolutions where an input is given ninefold."""
    return sum((a + 1) * b for a, b in pairwise(widths))


# The published number of thousands, and the sum over the layers; language models are over bytes.
DEEP, IMAGE, DIGIT = (128, 128, 128), 3072, 784
CONVNET = dense(27, 32) + dense(9 * 32, 64) + dense(9 * 64, 64) + dense(64, 10)
PARAMETERS = {
    "cifar10-mlp-layernorm": (428, dense(IMAGE, *DEEP, 10) + 2 * 3 * 128),
    "cifar10-mlp-128x128x128": (428, dense(IMAGE, *DEEP, 10)),
    "cifar10-mlp-wide": (4200, dense(IMAGE, 1024, 1024, 10)),
    "cifar10-mlp-batchnorm": (428, dense(IMAGE, *DEEP, 10) + 2 * 3 * 128),
    "cifar10-mlp-dropout-mse": (411, dense(IMAGE, 128, 128, 10)),
    "cifar100-mlp-tanh": (440, dense(IMAGE, *DEEP, 100)),
    "mnist-mlp-es1": (135, dense(DIGIT, *DEEP, 10)),
    "cifar10-mlp-es8": (428, dense(IMAGE, *DEEP, 10)),
    "mnist-autoencoder": (210, dense(DIGIT, 128, 32, 128, DIGIT)),
    "cifar10-autoencoder": (798, dense(IMAGE, 128, 32, 128, IMAGE)),
    "cifar10-convnet-32x64x64": (57, CONVNET),
    "cifar10-convnet-layernorm": (57, CONVNET + 2 * (32 + 64 + 64)),
    "lm1b-lstm": (494, 259 * 128 + dense(128 + 256, 4 * 256) + 2 * 256 + dense(256, 259)),
    "lm1b-gru": (124, 259 * 64 + dense(64 + 128, 3 * 128) + 128 + dense(128, 259)),
}


@pytest.fixture(scope="module")
def made() -> dict[str, Task]:
    """All tasks of both forms, from a few images of the right shapes and a short text."""
    rng = np.random.default_rng(0)
    patch = pytest.MonkeyPatch()

    def images(name: str) -> ImageDataset:
        known = DATASETS[name]
        labels = np.arange(8, dtype=np.uint8)
        found = Images(rng.integers(0, 256, (8, *known.shape), np.uint8), labels)
        return ImageDataset(found, found)

    text = Text(b"The quick brown fox jumps over the lazy dog .\n" * 3, b"", lines=True)
    patch.setattr(registry, "load_dataset", images)
    patch.setattr(registry, "load_text", lambda name: text)
    tasks = {name: make_task(name) for name in (*FULL, *SMALL)}
    patch.undo()
    return tasks


def count(tree) -> int:
    return sum(math.prod(x.shape) for x in jax.tree.leaves(tree))


def shapes(task: Task):
    return jax.eval_shape(task.init, KEY)


def test_the_suite_has_sixteen_tasks_in_two_forms() -> None:
    assert len(FULL) == len(set(FULL)) == 16
    assert tuple(f"{name}-small" for name in FULL) == SMALL
    assert suite() == FULL
    assert set(FULL) | set(SMALL) <= set(task_names())
    with pytest.raises(ValueError, match="suite must be one of out-of-distribution; it is 'all'"):
        suite("all")


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_those_of_the_table(name: str, made: dict[str, Task]) -> None:
    thousands, exact = PARAMETERS[name]
    assert count(shapes(made[name])) == exact
    assert count(shapes(made[f"{name}-small"])) == exact
    assert exact / 1000 == pytest.approx(thousands, rel=0.006)


def test_parameters_of_the_large_models_are_those_of_the_table(made: dict[str, Task]) -> None:
    def millions(network, inputs) -> float:
        return round(count(jax.eval_shape(network.init, KEY, inputs)["params"]) / 1e6, 1)

    tokens = jnp.ones((1, 3), jnp.int32)
    assert millions(ResNet(), jnp.ones((1, 32, 32, 3))) == 1.6
    assert millions(RecurrentLM("lstm", 256, 128, T5), tokens) == 12.8
    assert round(millions(TransformerLM(vocabulary=T5), tokens)) == 20
    resnet = count(shapes(made["imagenet32-resnet"]))
    with_1000 = count(jax.eval_shape(ResNet().init, KEY, jnp.ones((1, 32, 32, 3)))["params"])
    assert resnet == with_1000 - 800 * 513
    transformer = count(shapes(made["lm1b-transformer"]))
    of_words = count(jax.eval_shape(TransformerLM(vocabulary=T5).init, KEY, tokens)["params"])
    assert transformer == of_words - (T5 - 259) * 513


def test_forms_have_their_batches_sizes_and_steps(made: dict[str, Task]) -> None:
    def of(name: str) -> tuple[int, tuple[int, ...], int]:
        form = task_form(name)
        assert form is not None
        data = jax.tree.leaves(made[name].data)[0]
        return made[name].batch_size, data.shape[1:], form.steps

    assert of("cifar10-mlp-wide") == (128, (32, 32, 3), 10_000)
    assert of("cifar10-mlp-wide-small") == (128, (32, 32, 3), 2_000)
    assert of("cifar10-mlp-layernorm-small") == (128, (32, 32, 3), 10_000)
    assert of("cifar10-autoencoder") == (256, (32, 32, 3), 10_000)
    assert of("cifar10-convnet-layernorm-small") == (128, (16, 16, 3), 2_000)
    assert of("imagenet32-resnet") == (128, (32, 32, 3), 10_000)
    assert of("imagenet32-resnet-small") == (32, (16, 16, 3), 2_000)
    assert of("lm1b-lstm") == (128, (33,), 10_000)
    assert of("lm1b-lstm-small") == (64, (33,), 2_000)
    assert of("lm1b-gru-small") == (128, (33,), 10_000)
    assert of("lm1b-transformer") == (32, (129,), 10_000)
    assert of("lm1b-transformer-small") == (8, (65,), 2_000)


ZERO_LOSSES = {
    **dict.fromkeys(("cifar10-mlp-layernorm", "cifar10-mlp-batchnorm", "mnist-mlp-es1"), 10),
    **dict.fromkeys(("cifar10-convnet-layernorm-small", "cifar10-convnet-32x64x64-small"), 10),
    "cifar100-mlp-tanh": 100,
    "imagenet32-resnet-small": 200,
    "lm1b-gru": 259,
    "lm1b-lstm": 259,
}


@pytest.mark.parametrize("name", ZERO_LOSSES)
def test_equal_logits_cost_log_classes(name: str, made: dict[str, Task]) -> None:
    task, classes = made[name], ZERO_LOSSES[name]
    zero = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), shapes(task))
    batch = jax.tree.map(lambda x: x[:2], task.data)
    loss = float(jax.jit(task.loss)(zero, KEY, batch))
    assert loss == pytest.approx(math.log(classes), rel=1e-6)  # of a float32 mean over tokens
    assert task.loss_ceiling == pytest.approx(1.5 * math.log(classes))


@pytest.fixture(scope="module")
def noise_images() -> Images:
    """Independent pixels, uniform in 0 .. 255: their mean square is 1/3, of x / 255."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (256, 10, 10), np.uint8)
    return Images(images, rng.integers(0, 10, 256).astype(np.uint8))


def test_haikus_mlp_begins_at_log_10_plus_half_the_variance_of_its_logits(
    noise_images: Images,
) -> None:
    """Each layer multiplies the mean square by TRUNCATED^2, each ReLU halves it; then E[loss] =
    log 10 + s^2 / 2 (1 - 1/10) up to s^4. Weights of variance 1 / fan_in would give 2.8 times s^2.
    """
    network = MLP((64, 64, 64), 10, kernel_init=haiku_weights)
    task = image_task("mlp", noise_images, network, 10)

    @jax.jit
    @jax.vmap
    def first(key):
        params = task.init(key)
        images = task.data.images / 255.0
        logits = network.apply({"params": params}, images)
        return task.loss(params, key, task.data), jnp.mean(logits**2)

    losses, squares = map(np.asarray, first(jax.random.split(KEY, 200)))
    mean_square = float(np.mean((np.asarray(noise_images.images) / 255.0) ** 2))
    expected = TRUNCATED**8 / 8 * mean_square
    assert abs(squares.mean() - expected) < 4 * squares.std() / math.sqrt(200)
    error = 4 * losses.std() / math.sqrt(200) + 2 * expected**2
    assert abs(losses.mean() - math.log(10) - 0.45 * expected) < error


def test_squared_errors_begin_where_their_definition_says(noise_images: Images) -> None:
    """Outputs of zero: 1/10 for unit vectors of 10 classes; the variance about 1/2 of the pixels
    for the sigmoid.
    """
    network = MLP((8,), 10, dropout=0.5)
    task = image_task("mse", noise_images, network, 10, objective="mse")
    zero = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), shapes(task))
    assert float(task.loss(zero, KEY, task.data)) == pytest.approx(0.1, rel=1e-6)
    zero["Dense_1"]["bias"] = np.full(10, 0.5, np.float32)  # (9 * 0.25 + 0.25) / 10
    assert float(task.loss(zero, KEY, task.data)) == pytest.approx(0.25, rel=1e-6)
    assert task.loss_ceiling == 1.0
    with pytest.raises(ValueError, match="objective must be one of cross-entropy, mse"):
        image_task("hinge", noise_images, network, 10, objective="hinge")
    coder = autoencoder_task("coder", noise_images, MLP((8,), 100))
    zero = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), shapes(coder))
    pixels = np.asarray(noise_images.images, np.float64) / 255
    expected = np.mean((pixels - 0.5) ** 2)
    assert float(coder.loss(zero, KEY, coder.data)) == pytest.approx(expected, rel=1e-5)
    zero["Dense_1"]["bias"] = np.full(100, -200.0, np.float32)
    expected = np.mean(pixels**2)
    assert float(coder.loss(zero, KEY, coder.data)) == pytest.approx(expected, rel=1e-5)


def test_es_tasks_have_their_gradient_replaced_and_the_others_do_not(made) -> None:
    assert {name for name, task in made.items() if task.estimate is not None} == {
        f"{name}{end}" for name in ("mnist-mlp-es1", "cifar10-mlp-es8") for end in ("", "-small")
    }


def test_a_name_is_known_without_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(name: str) -> None:
        raise AssertionError(f"{name} was loaded")

    monkeypatch.setattr(registry, "load_dataset", never)
    monkeypatch.setattr(registry, "load_text", never)
    for name in (*FORMS, *ALIASES):
        assert parse_task_name(name) == task_form(name)
        assert lopt.TrainConfig(task=name).task == name
    with pytest.raises(ValueError, match="the nearest is lm1b-transformer-small,"):
        parse_task_name("lm1b-transfomer-small")


def test_older_names_keep_their_weights_and_their_width(made: dict[str, Task]) -> None:
    """`cifar10-mlp` and `cifar10-convnet` are older than the suite; it spells the widths out."""
    for name in ("cifar10-mlp", "cifar10-convnet"):
        assert name not in FORMS
        assert task_form(f"{name}-small") == task_form(ALIASES[f"{name}-small"])
    assert not set(ALIASES) & set(FORMS)


def step_of(task: Task) -> tuple[float, float]:
    """The loss before and after a step of Adam on one batch."""

    @jax.jit
    def run(key, data):
        params = task.init(key)
        batch = task.sample(key, data)
        before, gradient = task.value_and_grad(params, key, batch)
        optimizer = optax.adam(1e-5)  # short enough for every network, as it moves by the sign
        updates, _ = optimizer.update(gradient, optimizer.init(params), params)
        moved = optax.apply_updates(params, updates)
        return before, task.loss(moved, key, batch), optax.tree.norm(updates)

    before, after, moved = map(float, run(KEY, task.data))
    assert moved > 0
    return before, after


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "batch_size"),
    [
        *((name, 4) for name in SMALL),
        *(pytest.param(name, None, marks=pytest.mark.thorough) for name in (*FULL, *SMALL)),
    ],
)
def test_every_task_takes_a_step_on_its_data(name: str, batch_size: int | None) -> None:
    form = task_form(name)
    assert form is not None
    known = TEXTS.get(form.dataset) or DATASETS[form.dataset]
    if known.find() is None:
        pytest.skip(f"{form.dataset} is not here")
    task = make_task(name)
    before, after = step_of(replace(task, batch_size=batch_size or task.batch_size))
    assert math.isfinite(after)
    if not form.es_pairs:  # on the batch that gave the gradient
        assert after < before


@pytest.mark.thorough
@pytest.mark.parametrize("network", ["lstm", "transformer"])
def test_the_full_vocabulary_takes_a_step(network: str) -> None:
    """Models over 32,100 pieces, of 13 and 20 million parameters, on tokens from nowhere."""
    form = task_form(f"lm1b-{network}")
    assert form is not None
    from lopt.tasks.language import language_task
    from lopt.tasks.suites.build import language_network

    rows = np.random.default_rng(0).integers(1, T5, (256, form.length + 1)).astype(np.uint16)
    model = language_network(form, T5)
    task = language_task("full", rows, model, T5, form.batch_size)
    before, after = step_of(task)
    assert abs(before - math.log(T5)) < 0.6
    assert after < before


@pytest.mark.slow
@pytest.mark.parametrize(
    "size", [{"batch_size": 2, "length": 8}, pytest.param({}, marks=pytest.mark.thorough)], ids=str
)
def test_a_run_on_the_embedded_text_trains_and_is_evaluated(
    size: dict[str, int], tmp_path, capsys, monkeypatch
) -> None:
    form = replace(FORMS["tinyshakespeare-gru-small"], **size)
    monkeypatch.setitem(FORMS, form.name, form)
    if size:  # the tuned baselines compile as often again
        monkeypatch.setattr("lopt.cli.evaluate.baselines", lambda search: [])
    run = str(tmp_path / "run")
    small = ["--horizon", "4", "--truncation", "2", "--pairs", "1", "--outer-steps", "2"]
    task = ["--task", "tinyshakespeare-gru-small", "--optimizer", "hyperparam"]
    assert main(["train", "--run", run, *task, *small, "--monitor-every", "0"]) == 0
    assert main(["evaluate", run, "--seeds", "1", "--horizons", "1", "--search", "0"]) == 0
    shown = capsys.readouterr().out
    assert "tinyshakespeare-gru-small" in shown
