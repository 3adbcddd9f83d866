"""Families of tasks: augmentation, perceptrons of random widths, and wrappers over families."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from lopt.tasks import (
    Task,
    TaskFamily,
    augmented,
    es_gradient,
    mlp_family,
    reparametrized,
    with_batch_size,
    with_validation,
)
from lopt.tasks.augmentation import LEVELS
from lopt.tasks.data.datasets import Images

CLASSES, SIDE = 5, 3


def images(count: int, seed: int) -> Images:
    """Random images; the pixels of a set tell which one it is."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(40 * seed, 40 * seed + 40, (count, SIDE, SIDE), np.uint8)
    return Images(pixels, rng.integers(0, CLASSES, count).astype(np.uint8))


def two_layers() -> Task:
    def init(key: jax.Array) -> dict:
        first, second = jax.random.split(key)
        return {"a": jax.random.normal(first, (3, 4)), "b": jax.random.normal(second, (4,))}

    def loss(params: dict, key: jax.Array, batch: jax.Array) -> jax.Array:
        return jnp.mean((jnp.tanh(batch @ params["a"]) @ params["b"] - batch[:, 0]) ** 2)

    data = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    return Task("layers", init, loss, data, batch_size=6)


@pytest.mark.parametrize("level", LEVELS)
def test_augmentation_keeps_the_function_and_scales_the_trajectory_of_sgd(level: str) -> None:
    """psi = phi / c: the loss is the same, and with the rate a / c^2 sgd moves psi as phi / c."""
    task = two_layers()
    family = augmented(task, level, 0.1, 10.0)
    drawn = family.draw(jax.random.key(3))
    member, rate = family.member(drawn), 0.05
    scale = jax.tree.map(
        lambda p, c: jnp.broadcast_to(c, p.shape),
        task.init(jax.random.key(0)),
        drawn[1] if level != "global" else dict.fromkeys("ab", drawn[1]),
    )
    kinds = {"global": 1, "tensor": 2, "parameter": 16}
    assert len(np.unique(np.concatenate([np.ravel(s) for s in scale.values()]))) == kinds[level]
    phi, psi = task.init(jax.random.key(1)), member.init(jax.random.key(1))
    batch = task.sample(jax.random.key(2), task.data)
    for _ in range(5):
        ours, theirs = (t.value_and_grad(x, None, batch) for t, x in ((member, psi), (task, phi)))
        assert float(ours[0]) == pytest.approx(float(theirs[0]), rel=1e-5)
        psi = jax.tree.map(lambda p, g, c: p - rate / c**2 * g, psi, ours[1], scale)
        phi = jax.tree.map(lambda p, g: p - rate * g, phi, theirs[1])
        jax.tree.map(
            lambda a, b, c: np.testing.assert_allclose(a * c, b, rtol=2e-4, atol=1e-6),
            psi, phi, scale,
        )  # fmt: skip


def test_scales_are_log_uniform_and_independent() -> None:
    family = augmented(two_layers(), "tensor", 0.01, 100.0)
    drawn = jax.vmap(lambda k: family.draw(k)[1])(jax.random.split(jax.random.key(0), 2000))
    share = {k: (np.log10(np.asarray(v)) + 2) / 4 for k, v in drawn.items()}
    for values in share.values():
        assert stats.kstest(values, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(share["a"], share["b"])[0, 1]) < 4 / np.sqrt(2000)


def test_a_family_is_augmented_member_by_member() -> None:
    inner = TaskFamily.around(
        two_layers(), jax.random.exponential, lambda c: reparametrized(two_layers(), 1 + c)
    )
    family = augmented(inner, "global", 2.0, 2.0)
    c, scale = family.draw(jax.random.key(0))
    assert float(scale) == pytest.approx(2.0)
    psi, phi = (t.init(jax.random.key(1)) for t in (family.member((c, scale)), two_layers()))
    np.testing.assert_allclose(psi["a"] * 2 * (1 + c), phi["a"], rtol=1e-5)


@pytest.fixture(scope="module")
def family() -> TaskFamily:
    return mlp_family(
        "random", [images(40, 1), images(30, 2)], CLASSES, hidden=[(6, 4), (3, 2)],
        activations=["tanh", "relu"], batch_sizes=[8, 3],
    )  # fmt: skip


def test_a_narrow_member_is_the_narrow_network(family: TaskFamily) -> None:
    """Against a plain product of matrices of the sizes 9-3-2-5, on the first three examples."""
    drawn = jnp.array([1, 1, 1, 1])
    member = family.member(drawn)
    params = jax.jit(member.init)(jax.random.key(0))
    batch = member.batch(family.data, family.indices(jax.random.key(1), 1)[0])
    assert batch.images.min() >= 80  # of the second data set
    x = np.asarray(batch.images[:3], np.float64).reshape(3, -1) / 255
    sizes = [SIDE**2, 3, 2, CLASSES]
    for k, (rows, columns) in enumerate(pairwise(sizes)):
        layer = params[f"Dense_{k}"]
        assert not np.any(layer["kernel"][rows:]), "padding must be zero"
        assert not np.any(layer["kernel"][:, columns:])
        x = x @ np.asarray(layer["kernel"])[:rows, :columns] + np.asarray(layer["bias"])[:columns]
        x = np.maximum(x, 0) if k < 2 else x
    shifted = x - x.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    expected = -log_p[np.arange(3), np.asarray(batch.labels[:3])].mean()
    loss, gradient = jax.jit(member.value_and_grad)(params, None, batch)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert not np.any(gradient["Dense_0"]["kernel"][:, 3:])
    assert not np.any(gradient["Dense_1"]["kernel"][3:])


def test_weights_are_drawn_for_their_own_width(family: TaskFamily) -> None:
    """Variance 1 / fan_in: of the second layer 1/6 in a wide member, 1/3 in a narrow one."""
    for choice, (rows, columns) in enumerate([(6, 4), (3, 2)]):
        member = family.member(jnp.array([0, choice, 0, 0]))
        keys = jax.random.split(jax.random.key(0), 500)
        kernels = jax.vmap(lambda k, m=member: m.init(k)["Dense_1"]["kernel"])(keys)
        entries = np.asarray(kernels)[:, :rows, :columns]
        error = entries.var() * np.sqrt(2 / entries.size)
        assert abs(entries.var() - 1 / rows) < 4 * error


def test_members_draw_from_their_data_set_uniformly(family: TaskFamily) -> None:
    indices = family.indices(jax.random.key(1), 2000).ravel()
    for source, low in enumerate((40, 80)):
        member = family.member(jnp.array([source, 0, 0, 0]))
        drawn = np.asarray(member.batch(family.data, indices).images)
        assert low <= drawn.min()
        assert drawn.max() < low + 40
        _, counts = np.unique(drawn.reshape(len(drawn), -1), axis=0, return_counts=True)
        assert len(counts) == 30  # as many as the shorter data set has
        assert stats.chisquare(counts).pvalue > 1e-3


def test_every_choice_is_drawn(family: TaskFamily) -> None:
    drawn = jax.vmap(family.draw)(jax.random.split(jax.random.key(0), 400))
    assert {tuple(row) for row in np.asarray(drawn)} == set(np.ndindex(2, 2, 2, 2))


def test_the_family_itself_is_its_first_member(family: TaskFamily) -> None:
    params = family.init(jax.random.key(0))
    batch = family.sample(jax.random.key(1), family.data)
    first = family.member(jnp.zeros(4, jnp.int32))
    assert float(family.loss(params, None, batch)) == float(first.loss(params, None, batch))


def test_wrappers_change_every_member(family: TaskFamily) -> None:
    drawn = family.draw(jax.random.key(5))
    estimated = es_gradient(family, pairs=2).member(drawn)
    params, key = estimated.init(jax.random.key(0)), jax.random.key(1)
    batch = family.sample(key, family.data)
    exact = family.member(drawn).value_and_grad(params, key, batch)
    found = estimated.value_and_grad(params, key, batch)
    assert float(found[0]) == pytest.approx(float(exact[0]))
    assert not np.allclose(found[1]["Dense_2"]["bias"], exact[1]["Dense_2"]["bias"])
    assert with_batch_size(family, 5).member(drawn).batch_size == 5
    half = reparametrized(family, 2.0).member(drawn).init(jax.random.key(0))
    np.testing.assert_allclose(2 * half["Dense_0"]["kernel"], params["Dense_0"]["kernel"])


def test_validation_examples_are_of_every_data_set(family: TaskFamily) -> None:
    apart = with_validation(family, 0.2)
    assert apart.examples == 48
    for source, low in enumerate((40, 80)):
        batch = apart.member(jnp.array([source, 0, 0, 0])).batch(apart.validation, jnp.arange(12))
        assert low <= batch.images.min()
        assert batch.images.max() < low + 40
        assert len(np.unique(np.asarray(batch.images).reshape(12, -1), axis=0)) == 6


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: augmented(two_layers(), "layer"), "level must be one of global, tensor, par"),
        (lambda: augmented(two_layers(), "global", 0.0), "smallest must be positive"),
        (lambda: augmented(two_layers(), "global", 2.0, 1.0), "largest must be finite and at"),
        (lambda: mlp_family("x", [], 5), "data must have at least one entry"),
        (lambda: mlp_family("x", [images(4, 1)], 5, hidden=[(3,), (3, 3)]), "of equal length"),
        (lambda: mlp_family("x", [images(4, 1)], 5, activations=["elu"]), "one is 'elu'"),
        (lambda: with_validation(two_layers(), 1.0), "share must be in"),
        (lambda: with_validation(Task("none", lambda k: 0.0, lambda p, k, b: p)), "no examples"),
    ],
)
def test_what_is_wrong_is_said(make, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()
