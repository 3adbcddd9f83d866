"""Names of tasks, and what they build."""

import math
import re

import jax
import numpy as np
import optax
import pytest

import lopt
from lopt.tasks import registry
from lopt.tasks.data.datasets import DATASETS, ImageDataset, Images, dataset
from lopt.tasks.data.make_fashion_mnist_8x8 import box_filter
from lopt.tasks.data.resize import box_average
from lopt.tasks.data.text import Text
from lopt.tasks.registry import make_task, parse_task_name, task_names


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> dict[str, ImageDataset]:
    """Every data set with three images of its shape, read from nowhere."""
    rng = np.random.default_rng(0)
    made = {}
    for name, known in DATASETS.items():
        images = Images(rng.integers(0, 256, (3, *known.shape), np.uint8), np.zeros(3, np.uint8))
        made[name] = ImageDataset(images, images)
    monkeypatch.setattr(registry, "load_dataset", made.__getitem__)
    text = Text(bytes(range(32, 127)) * 8, b"", lines=False)
    monkeypatch.setattr(registry, "load_text", lambda name: text)
    return made


def shapes(task: lopt.Task) -> list[tuple[int, ...]]:
    """Of the kernels, the first layer first."""
    params = jax.eval_shape(task.init, jax.random.key(0))
    return [params[layer]["kernel"].shape for layer in sorted(params)]


MLP = {
    "fashion-mnist-mlp": (784, 10),
    "mnist-mlp": (784, 10),
    "cifar10-mlp": (3072, 10),
    "cifar100-mlp": (3072, 100),
    "imagenet32-tiny200-mlp": (3072, 200),
    "fashion-mnist-14x14-mlp": (196, 10),
    "cifar10-4x4-mlp": (48, 10),
}


@pytest.mark.parametrize("name", MLP)
def test_mlps_have_two_layers_of_128_units(name: str, made_up: dict) -> None:
    features, classes = MLP[name]
    task = make_task(name)
    assert task.name == name
    assert shapes(task) == [(features, 128), (128, 128), (128, classes)]
    assert task.batch_size == 128
    assert task.loss_ceiling == pytest.approx(1.5 * math.log(classes))


@pytest.mark.parametrize(
    ("name", "side", "channels"),
    [("cifar10-convnet", 32, 3), ("cifar10-16x16-convnet", 16, 3), ("mnist-7x7-convnet", 7, 1)],
)
def test_the_convnet_of_the_paper(name: str, side: int, channels: int, made_up: dict) -> None:
    task = make_task(name)
    assert task.data.images.shape[1:3] == (side, side)
    convolutions = [(3, 3, channels, 32), (3, 3, 32, 64), (3, 3, 64, 64)]
    assert shapes(task) == [*convolutions, (64, 10)]


@pytest.mark.parametrize(
    ("name", "expected", "batch"),
    [
        ("mnist-8x8-mlp-32-batch16", [(64, 32), (32, 10)], 16),
        ("mnist-8x8-mlp-32", [(64, 32), (32, 10)], 128),
        ("cifar10-16x16-convnet-4x8", [(3, 3, 3, 4), (3, 3, 4, 8), (8, 10)], 128),
        ("cifar100-8x8-convnet-4-batch64", [(3, 3, 3, 4), (4, 100)], 64),
    ],
)
def test_a_network_of_given_widths_and_batches(
    name: str, expected: list[tuple[int, ...]], batch: int, made_up: dict
) -> None:
    task = make_task(name)
    assert task.name == name
    assert shapes(task) == expected
    assert task.batch_size == batch
    params = jax.eval_shape(task.init, jax.random.key(0))
    drawn = jax.eval_shape(lambda key: task.sample(key, task.data), jax.random.key(0))
    assert drawn.images.shape[0] == batch
    assert jax.eval_shape(task.loss, params, jax.random.key(0), drawn).shape == ()


def test_a_batch_without_examples_is_no_name() -> None:
    for name in ("mnist-8x8-mlp-32-batch0", "mnist-8x8-mlp-batch64", "mnist-8x8-mlp-32-batch"):
        with pytest.raises(ValueError, match="the size of a batch, as in mnist-8x8-mlp-32-batch64"):
            parse_task_name(name)


def test_the_embedded_task_keeps_its_32_units() -> None:
    task = make_task("fashion-mnist-8x8-mlp")
    assert shapes(task) == [(64, 32), (32, 10)]
    assert task.data.images.shape == (60_000, 8, 8)
    assert make_task("fashion-mnist-8x8-convnet").data.images.shape == (60_000, 8, 8)


def test_every_listed_name_makes_a_task(made_up: dict) -> None:
    for name in task_names():
        if not name.endswith("-pieces"):  # they need the file of a tokenizer
            assert make_task(name).name == name


def test_a_name_is_checked_without_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(name: str) -> None:
        raise AssertionError(f"{name} was loaded")

    monkeypatch.setattr(registry, "load_dataset", never)
    monkeypatch.setattr(registry, "load_text", never)
    for name in (*task_names(), "cifar100-8x8-mlp"):
        parse_task_name(name)
        assert lopt.TrainConfig(task=name).task == name
    with pytest.raises(ValueError, match="no task is called 'cifar-convnet'"):
        lopt.TrainConfig(task="cifar-convnet")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("fashion_mnist_mlp", "fashion-mnist-mlp"),
        ("mnist", "mnist-mlp"),
        ("cifar10-conv", "cifar10-convnet"),
        ("quadratics", "quadratic"),
        ("", "quadratic"),
        ("cifar10-16x-mlp", "cifar10-mlp"),
    ],
)
def test_an_unknown_name_says_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{name!r}; the nearest is ")) as error:
        parse_task_name(name)
    if name:
        assert f"the nearest is {nearest}," in str(error.value)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("mnist-9x9-mlp", "1x1, 2x2, 4x4, 7x7, 8x8, 14x14, 28x28"),
        ("fashion-mnist-9x9-mlp", "1x1, 2x2, 4x4, 7x7, 8x8, 14x14, 28x28"),
        ("cifar10-64x64-convnet", "1x1, 2x2, 4x4, 8x8, 16x16, 32x32"),
        ("cifar10-0x0-mlp", "1x1, 2x2, 4x4, 8x8, 16x16, 32x32"),
        ("cifar10-8x16-mlp", "1x1, 2x2, 4x4, 8x8, 16x16, 32x32"),
    ],
)
def test_a_size_that_does_not_divide_says_those_that_do(name: str, sizes: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"take one of {sizes}.")):
        parse_task_name(name)


def test_box_average_is_the_mean_rounded_half_up() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3), np.uint8)
    for side in (1, 2, 3, 4, 6, 12):
        box = 12 // side
        boxes = images.reshape(5, side, box, side, box, 3).astype(np.float64)
        expected = np.floor(boxes.mean(axis=(2, 4)) + 0.5)
        np.testing.assert_array_equal(box_average(images, side), expected)
        for channel in range(3):
            np.testing.assert_array_equal(
                box_average(images[..., channel], side), box_filter(images[..., channel], side)
            )
    with pytest.raises(ValueError, match="side must divide 12; it is 5"):
        box_average(images, 5)
    assert np.all(box_average(np.full((1, 32, 32), 255, np.uint8), 1) == 255)


def test_adam_learns_from_real_images() -> None:
    """A few steps bring the loss below that of guessing."""
    if dataset("fashion-mnist").find() is None:
        pytest.skip("fashion-mnist is not here")
    task, optimizer = make_task("fashion-mnist-14x14-mlp"), optax.adam(1e-3)

    @jax.jit
    def train(key, data):
        def step(carry, key):
            params, state = carry
            loss, gradient = jax.value_and_grad(task.loss)(params, key, task.sample(key, data))
            updates, state = optimizer.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), loss

        params = task.init(key)
        carry = (params, optimizer.init(params))
        return jax.lax.scan(step, carry, jax.random.split(key, 60))[1]

    losses = train(jax.random.key(0), task.data)
    assert float(losses[0]) == pytest.approx(math.log(10), abs=0.7)
    assert float(losses[-10:].mean()) < 1.5
