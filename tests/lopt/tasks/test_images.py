"""The embedded images are those of Fashion-MNIST, and the task on them is what it says."""

import gzip
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.tasks.datasets import EMBEDDED, fashion_mnist_8x8
from lopt.tasks.images import fashion_mnist_8x8_mlp, mlp_init, mlp_logits
from lopt.tasks.make_fashion_mnist_8x8 import box_filter, main, read_idx

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
        read_idx(path)


def test_the_task_is_the_32_unit_mlp_at_batch_128() -> None:
    task = fashion_mnist_8x8_mlp()
    params = task.init(jax.random.key(0))
    assert [layer["w"].shape for layer in params] == [(64, 32), (32, 10)]
    batch = task.sample(jax.random.key(1), task.data)
    assert batch.images.shape == (128, 8, 8)
    zero = jax.tree.map(jnp.zeros_like, params)
    assert float(task.loss(zero, jax.random.key(2), batch)) == pytest.approx(np.log(10), rel=1e-6)
    assert task.loss_ceiling == pytest.approx(1.5 * np.log(10))


def test_initial_activations_keep_their_scale() -> None:
    """Weights of variance 1/in: units before the first ReLU have the inputs' mean square."""
    params = mlp_init(jax.random.key(0), (400, 2000, 10))
    inputs = jax.random.normal(jax.random.key(1), (1, 400))
    first = inputs @ params[0]["w"]
    assert float(jnp.mean(first**2)) == pytest.approx(float(jnp.mean(inputs**2)), rel=0.15)
    assert mlp_logits(params, inputs).shape == (1, 10)
