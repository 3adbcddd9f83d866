"""The embedded images are those of Fashion-MNIST, and the task on them is what it says."""

import gzip
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.tasks.data.datasets import EMBEDDED, Images, fashion_mnist_8x8
from lopt.tasks.data.idx import FASHION_MNIST_SHA256, read_idx
from lopt.tasks.data.make_fashion_mnist_8x8 import box_filter, main
from lopt.tasks.images import image_task
from lopt.tasks.networks import MLP, ConvNet, convolution_by_shifts, unit_variance
from lopt.tasks.registry import make_task

CANONICAL = Path("/usr/share/datasets/fashion-mnist")


def test_sizes_and_balance() -> None:
    data = fashion_mnist_8x8()
    assert EMBEDDED.stat().st_size <= 4_000_000
    assert data.train.images.shape == (60_000, 8, 8)
    assert data.test.images.shape == (10_000, 8, 8)
    assert data.train.images.dtype == data.train.labels.dtype == np.uint8
    assert np.bincount(data.train.labels).tolist() == [6000] * 10
    assert np.bincount(data.test.labels).tolist() == [1000] * 10


def test_box_filter_keeps_the_mean_and_splits_pixels() -> None:
    """3.5 pixels a box: the middle pixel of 7 goes half to either box."""
    row = np.zeros((1, 7, 7), np.uint8)
    row[:, :, 3] = 245
    assert box_filter(row, 2)[0].tolist() == [[35, 35], [35, 35]]  # 245 * 0.5 / 3.5
    constant = np.full((1, 28, 28), 200, np.uint8)
    assert np.all(box_filter(constant) == 200)
    noise = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
    means = box_filter(noise).mean(axis=(1, 2))
    np.testing.assert_allclose(means, noise.mean(axis=(1, 2)), atol=0.51)


def test_the_embedded_file_comes_from_the_canonical_files(tmp_path: Path) -> None:
    if not CANONICAL.is_dir():
        pytest.skip("Fashion-MNIST's IDX files are not installed (Debian: dataset-fashion-mnist)")
    main([str(CANONICAL), str(tmp_path / "made.npz")])
    with np.load(tmp_path / "made.npz") as made, np.load(EMBEDDED) as embedded:
        for name in embedded.files:
            np.testing.assert_array_equal(made[name], embedded[name])


def test_a_file_that_is_not_canonical_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x01\x05"))
    with pytest.raises(ValueError, match=r"SHA-256 .* Fetch the file again"):
        read_idx(path, FASHION_MNIST_SHA256[path.name])


def test_the_task_is_the_32_unit_mlp_at_batch_128() -> None:
    task = make_task("fashion-mnist-8x8-mlp")
    params = jax.jit(task.init)(jax.random.key(0))
    shapes = {"Dense_0": (64, 32), "Dense_1": (32, 10)}
    assert {name: layer["kernel"].shape for name, layer in params.items()} == shapes
    assert float(jnp.var(params["Dense_0"]["kernel"])) * 64 == pytest.approx(1.0, rel=0.15)
    assert all(not jnp.any(layer["bias"]) for layer in params.values())
    batch = task.sample(jax.random.key(1), task.data)
    assert batch.images.shape == (128, 8, 8)
    zero = jax.tree.map(jnp.zeros_like, params)
    assert float(task.loss(zero, jax.random.key(2), batch)) == pytest.approx(np.log(10), rel=1e-6)
    assert task.loss_ceiling == pytest.approx(1.5 * np.log(10))


def test_initial_weights_have_variance_one_over_fan_in() -> None:
    """Units before the first ReLU then have the inputs' mean square."""
    kernel = unit_variance(jax.random.key(0), (400, 2000))
    inputs = jax.random.normal(jax.random.key(1), (1, 400))
    first = inputs @ kernel
    assert float(jnp.mean(first**2)) == pytest.approx(float(jnp.mean(inputs**2)), rel=0.15)
    kernel = unit_variance(jax.random.key(0), (3, 3, 64, 32))
    assert float(jnp.var(kernel)) * 9 * 64 == pytest.approx(1.0, rel=0.05)


def test_the_mlp_is_relu_between_dense_layers() -> None:
    w1, w2 = jnp.array([[1.0, -1.0], [2.0, 0.0]]), jnp.array([[1.0, 3.0], [5.0, 7.0]])
    layers = {"Dense_0": (w1, jnp.array([0.0, 0.5])), "Dense_1": (w2, jnp.array([1.0, 0.0]))}
    params = {name: {"kernel": w, "bias": b} for name, (w, b) in layers.items()}
    logits = MLP((2,), 2).apply({"params": params}, jnp.array([[1.0, 1.0], [-2.0, 0.0]]))
    # relu(3, -0.5) = (3, 0); relu(-2, 2.5) = (0, 2.5)
    np.testing.assert_allclose(logits, [[4.0, 9.0], [13.5, 17.5]])


@pytest.mark.parametrize(
    ("strides", "padding"),
    [((1, 1), "SAME"), ((2, 2), "SAME"), ((2, 1), "VALID"), ((2, 2), [(1, 2), (0, 1)])],
)
def test_convolution_by_shifts_is_laxs(strides, padding) -> None:
    x = jax.random.normal(jax.random.key(0), (2, 7, 6, 3))
    kernel = jax.random.normal(jax.random.key(1), (3, 2, 3, 4))
    lax = jax.lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(
        convolution_by_shifts(x, kernel, strides, padding), lax, rtol=1e-5, atol=1e-5
    )


def test_convolution_by_shifts_refuses_what_it_lacks() -> None:
    x, kernel = jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 2))
    with pytest.raises(ValueError, match="no dilation and no groups"):
        convolution_by_shifts(x, kernel, (1, 1), "SAME", rhs_dilation=(2, 2))
    with pytest.raises(ValueError, match="no dilation and no groups"):
        convolution_by_shifts(x, kernel[:, :, :1], (1, 1), "SAME", feature_group_count=2)


def test_the_convnet_and_its_gradient_over_particles_are_laxs() -> None:
    """Three layers of 32, 64, 64 channels of strides 2, 1, 1, the mean over space, a dense layer;
    here written with lax, and fewer channels.
    """

    def plain(params, images):
        x = images
        for layer, stride in (("Conv_0", 2), ("Conv_1", 1), ("Conv_2", 1)):
            kernel, bias = params[layer]["kernel"], params[layer]["bias"]
            x = jax.lax.conv_general_dilated(
                x, kernel, (stride,) * 2, "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jnp.maximum(x + bias, 0)
        return x.mean((1, 2)) @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"]

    images = jax.random.randint(jax.random.key(0), (4, 8, 8, 3), 0, 256).astype(jnp.uint8)
    batch = Images(images, jnp.array([0, 1, 2, 1], jnp.uint8))
    task = image_task("small", batch, ConvNet((3, 4, 5), 3), classes=3)
    keys = jax.random.split(jax.random.key(1, impl="rbg"), 2)  # compiles quicker
    params = jax.jit(jax.vmap(task.init))(keys)

    def reference(params, key, batch):
        logits = jax.nn.log_softmax(plain(params, batch.images / 255.0))
        return -jnp.mean(jnp.take_along_axis(logits, batch.labels[:, None].astype(int), axis=1))

    key = jax.random.key(2)
    together = jax.jit(jax.vmap(jax.value_and_grad(task.loss), (0, None, None)))
    alone = jax.jit(jax.value_and_grad(reference))
    found = together(params, key, batch)
    for k in range(2):
        expected = alone(jax.tree.map(lambda x, k=k: x[k], params), key, batch)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a[k], b, rtol=1e-4, atol=1e-6)
    assert params["Conv_2"]["kernel"].shape == (2, 3, 3, 4, 5)
