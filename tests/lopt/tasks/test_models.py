"""Networks of the suite against their definitions: written out in NumPy, or by what must hold."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from lopt.keys import random_key
from lopt.tasks import (
    MLP,
    ConvNet,
    Images,
    RecurrentLM,
    ResNet,
    TransformerLM,
    haiku_weights,
    image_task,
    unit_variance,
)
from lopt.tasks.models.layers import (
    EPSILON,
    TRUNCATED,
    BatchNorm,
    embeddings,
    layer_norm,
    normalization,
    scaled_variance,
)

RNG = np.random.default_rng(0)
KEY = random_key(0)


def filled(network: nn.Module, inputs: jax.Array, scale: float = 0.5) -> dict:
    """Parameters of a network filled by NumPy, which compiles nothing."""
    shapes = jax.eval_shape(network.init, KEY, inputs)["params"]
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(0, scale, x.shape), x.dtype), shapes)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_haikus_weights_are_truncated_and_not_corrected() -> None:
    weights = np.asarray(haiku_weights(KEY, (100, 3000)), np.float64)
    assert np.abs(weights).max() <= 2 / math.sqrt(100)
    # The variance of a variance is at most that of a normal one.
    error = 4 * math.sqrt(2 / weights.size)
    assert weights.var() * 100 == pytest.approx(TRUNCATED**2, rel=error)
    kernel = np.asarray(haiku_weights(KEY, (3, 3, 16, 1000)), np.float64)
    assert kernel.var() * 144 == pytest.approx(TRUNCATED**2, rel=4 * math.sqrt(2 / kernel.size))
    table = np.asarray(embeddings(KEY, (300, 500)), np.float64)
    assert table.std() == pytest.approx(TRUNCATED, rel=0.01)
    assert np.abs(table).max() <= 2
    corrected = np.asarray(scaled_variance(0.4)(KEY, (200, 2000)), np.float64)
    assert corrected.var() * 200 == pytest.approx(0.4, rel=4 * math.sqrt(2 / corrected.size))
    plain = np.asarray(unit_variance(KEY, (200, 2000)), np.float64)
    assert plain.std() * math.sqrt(200) / TRUNCATED == pytest.approx(1.137, rel=0.01)


def test_the_factor_of_the_cut_is_that_of_the_distribution() -> None:
    """1 - 2 a p(a) / (2 F(a) - 1) at a = 2, of the normal density p and distribution F."""
    density = math.exp(-2) / math.sqrt(2 * math.pi)
    assert pytest.approx(TRUNCATED**2, rel=1e-12) == 1 - 4 * density / math.erf(math.sqrt(2))


def test_layer_norm_and_batch_norm_are_their_formulas() -> None:
    x = RNG.normal(3.0, 2.0, (6, 5)).astype(np.float32)
    for module, axis in ((BatchNorm(), 0), (layer_norm(), 1)):
        scale, bias = RNG.normal(size=5), RNG.normal(size=5)
        params = {"scale": jnp.asarray(scale, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
        mean, variance = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)
        expected = (x - mean) / np.sqrt(variance + EPSILON) * scale + bias
        found = module.apply({"params": params}, jnp.asarray(x))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="norm must be layer, batch or None; it is 'group'"):
        normalization("group")


def test_batch_norm_uses_the_batch_and_keeps_nothing() -> None:
    """The logits of an image depend on its company, and no statistics are carried on."""
    network = MLP((4,), 3, norm="batch")
    images = jnp.asarray(RNG.uniform(size=(5, 6)), jnp.float32)
    variables = jax.eval_shape(network.init, KEY, images)
    assert set(variables) == {"params"}
    params = filled(network, images)
    together = network.apply({"params": params}, images)
    others = jnp.concatenate([images[:1], images[3:]])
    assert not np.allclose(together[0], network.apply({"params": params}, others)[0], atol=1e-3)
    # A channel's scale and shift before the normalization drop out.
    changed = jax.tree.map(lambda x: x, params)
    changed["Dense_0"]["kernel"] = 3.0 * params["Dense_0"]["kernel"]
    changed["Dense_0"]["bias"] = params["Dense_0"]["bias"] + 5.0
    # Up to the epsilon beside the variance.
    np.testing.assert_allclose(
        network.apply({"params": changed}, images), together, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_mlps_normalize_before_and_convnets_after_the_activation(norm: str) -> None:
    images = jnp.asarray(RNG.uniform(size=(4, 4, 4, 2)), jnp.float32)
    mlp = MLP((5,), 3, activation=jnp.tanh, norm=norm)
    params = filled(mlp, images)
    module = layer_norm() if norm == "layer" else BatchNorm()
    own = params["LayerNorm_0" if norm == "layer" else "BatchNorm_0"]
    hidden = images.reshape(4, -1) @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"]
    hidden = jnp.tanh(module.apply({"params": own}, hidden))
    expected = hidden @ params["Dense_1"]["kernel"] + params["Dense_1"]["bias"]
    np.testing.assert_allclose(mlp.apply({"params": params}, images), expected, rtol=1e-4)
    convnet = ConvNet((3,), 3, norm=norm)
    params = filled(convnet, images)
    own = params["LayerNorm_0" if norm == "layer" else "BatchNorm_0"]
    x = nn.Conv(3, (3, 3), strides=2).apply({"params": params["Conv_0"]}, images)
    hidden = module.apply({"params": own}, nn.relu(x)).mean(axis=(1, 2))
    expected = hidden @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"]
    found = convnet.apply({"params": params}, images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_dropout_is_always_on_and_keeps_the_mean() -> None:
    """Units that are kept are doubled; the second moment of what follows doubles."""
    network = MLP((400,), 1, activation=lambda x: x, dropout=0.5)
    images = jnp.ones((1, 1))
    params = jax.tree.map(jnp.zeros_like, filled(network, images))
    params["Dense_0"]["bias"] = jnp.ones(400)
    params["Dense_1"]["kernel"] = jnp.ones((400, 1))
    one = jax.jit(lambda key: network.apply({"params": params}, images, rngs={"dropout": key})[0])
    found = np.asarray(jax.vmap(one)(jax.random.split(KEY, 300))).ravel()
    assert set(found % 2) == {0}
    assert found.mean() == pytest.approx(400, abs=4 * 20 / math.sqrt(300))
    assert found.std() == pytest.approx(20, rel=4 / math.sqrt(600))


def image_batch(count: int, side: int, channels: int, classes: int) -> Images:
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (count, side, side, channels), np.uint8)
    return Images(images, rng.integers(0, classes, count).astype(np.uint8))


def test_the_initial_loss_of_the_resnet_is_log_classes_for_every_batch() -> None:
    network = ResNet(channels=(8, 16), classes=7, kernel=3)
    batch = image_batch(6, 8, 3, 7)
    task = image_task("resnet", batch, network, 7)
    params = filled(network, jnp.zeros((1, 8, 8, 3)))
    last = jax.jit(lambda key: task.init(key)["Dense_0"])(KEY)  # the rest is not computed
    assert not jnp.any(last["kernel"])
    loss = jax.jit(task.loss)
    assert float(loss(params, KEY, batch)) != pytest.approx(math.log(7), rel=1e-3)
    params["Dense_0"] = last
    assert float(loss(params, KEY, batch)) == pytest.approx(math.log(7), rel=2e-7)


def test_the_resnet_is_that_of_lax() -> None:
    """One block of stride 1 and one of 2, with lax's convolutions and NumPy's statistics."""
    network = ResNet(channels=(8, 16), classes=3, kernel=3)
    images = jnp.asarray(RNG.uniform(size=(3, 8, 8, 2)), jnp.float32)
    params = filled(network, images)

    def convolve(p, x, stride):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, p["kernel"], (stride,) * 2, "SAME", dimension_numbers=numbers
        )

    def active(p, x):
        axes = (0, 1, 2)
        normed = (x - x.mean(axes)) / jnp.sqrt(x.var(axes) + EPSILON)
        return jnp.maximum(normed * p["scale"] + p["bias"], 0)

    @jax.jit
    def plain(params, images):
        x = convolve(params["Conv_0"], images, 2)
        padded = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=-jnp.inf)
        windows = [padded[:, i : i + 3 : 2, j : j + 3 : 2] for i in range(3) for j in range(3)]
        x = jnp.max(jnp.stack(windows), axis=0)
        for name, stride in (("Bottleneck_0", 1), ("Bottleneck_1", 2)):
            p = params[name]
            first = active(p["BatchNorm_0"], x)
            shortcut = convolve(p["Conv_0"], first, stride)
            x = active(p["BatchNorm_1"], convolve(p["Conv_1"], first, 1))
            x = active(p["BatchNorm_2"], convolve(p["Conv_2"], x, stride))
            x = convolve(p["Conv_3"], x, 1) + shortcut
        pooled = active(params["BatchNorm_0"], x).mean(axis=(1, 2))
        return pooled @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"]

    found = jax.jit(network.apply)({"params": params}, images)
    np.testing.assert_allclose(found, plain(params, images), rtol=1e-3, atol=1e-3)


TOKENS = np.array([[1, 4, 2, 0], [3, 3, 1, 2]])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_recurrent_models_are_their_equations(cell: str) -> None:
    network = RecurrentLM(cell, units=3, embedding=2, vocabulary=5)
    params = filled(network, jnp.asarray(TOKENS))
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    found = jax.jit(network.apply)({"params": params}, jnp.asarray(TOKENS))
    for row, tokens in enumerate(TOKENS):
        hidden = p["initial_hidden"]
        memory = p.get("initial_cell")
        for place, token in enumerate(tokens):
            x = p["embedding"][token]
            if cell == "lstm":
                gates = np.concatenate([x, hidden]) @ p["weights"] + p["bias"]
                i, g, f, o = np.split(gates, 4)
                memory = sigmoid(f + 1) * memory + sigmoid(i) * np.tanh(g)
                hidden = sigmoid(o) * np.tanh(memory)
            else:
                wx, wh, b = (
                    np.split(p[n], 3, axis=-1) for n in ("input_weights", "weights", "bias")
                )
                z = sigmoid(x @ wx[0] + hidden @ wh[0] + b[0])
                r = sigmoid(x @ wx[1] + hidden @ wh[1] + b[1])
                a = np.tanh(x @ wx[2] + (r * hidden) @ wh[2] + b[2])
                hidden = (1 - z) * hidden + z * a
            logits = hidden @ p["Dense_0"]["kernel"] + p["Dense_0"]["bias"]
            np.testing.assert_allclose(found[row, place], logits, rtol=1e-4, atol=1e-5)


def test_an_unknown_cell_is_named() -> None:
    with pytest.raises(ValueError, match="cell must be one of lstm, gru; it is 'rnn'"):
        jax.eval_shape(RecurrentLM("rnn", 2, 2, 5).init, KEY, jnp.asarray(TOKENS))


SMALL_TRANSFORMER = TransformerLM(
    layers=2, width=6, heads=2, head_width=4, vocabulary=5, dropout=0.0
)


def test_the_transformer_is_its_equations() -> None:
    """Attention and GELU networks of one sequence, written out for each head and position."""
    network, tokens = SMALL_TRANSFORMER, TOKENS[1]
    params = filled(network, jnp.asarray(TOKENS))
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)

    def dense(layer, x):
        return x @ layer["kernel"] + layer["bias"]

    def normed(layer, x):
        deviation = np.sqrt(x.var(-1, keepdims=True) + EPSILON)
        return (x - x.mean(-1, keepdims=True)) / deviation * layer["scale"] + layer["bias"]

    def gelu(x):
        return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    x = p["embedding"][tokens]
    for layer in range(2):
        attention, before = p[f"Attention_{layer}"], normed(p[f"LayerNorm_{2 * layer}"], x)
        q, k, v = (dense(attention[f"Dense_{j}"], before).reshape(4, 2, 4) for j in range(3))
        heads = np.zeros((4, 2, 4))
        for t in range(4):
            for head in range(2):
                scores = np.array([q[t, head] @ k[s, head] / 2 for s in range(t + 1)])
                shares = np.exp(scores) / np.exp(scores).sum()
                heads[t, head] = shares @ v[: t + 1, head]
        x = x + dense(attention["Dense_3"], heads.reshape(4, 8))
        wide = gelu(dense(p[f"Dense_{2 * layer}"], normed(p[f"LayerNorm_{2 * layer + 1}"], x)))
        x = x + dense(p[f"Dense_{2 * layer + 1}"], wide)
    expected = dense(p["Dense_4"], normed(p["LayerNorm_4"], x))
    found = jax.jit(network.apply)({"params": params}, jnp.asarray(TOKENS))[1]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "network", [SMALL_TRANSFORMER, RecurrentLM("lstm", 3, 2, 5)], ids=["transformer", "lstm"]
)
def test_later_tokens_do_not_influence_earlier_logits(network: nn.Module) -> None:
    params = filled(network, jnp.asarray(TOKENS))
    apply = jax.jit(network.apply)
    plain = np.asarray(apply({"params": params}, jnp.asarray(TOKENS)))
    for place in range(1, 4):
        changed = TOKENS.copy()
        changed[:, place:] = (changed[:, place:] + 1) % 5
        found = np.asarray(apply({"params": params}, jnp.asarray(changed)))
        np.testing.assert_array_equal(found[:, :place], plain[:, :place])
        assert np.all(np.abs(found[:, place] - plain[:, place]).max(axis=-1) > 1e-4)


def test_one_layer_of_attention_knows_no_order() -> None:
    """Without positional encoding the last logits depend on which tokens came, not on where."""
    network = TransformerLM(layers=1, width=6, heads=2, head_width=4, vocabulary=5, dropout=0.0)
    params = filled(network, jnp.asarray(TOKENS))
    turned = TOKENS[:, [2, 0, 1, 3]]
    found = [network.apply({"params": params}, jnp.asarray(t))[:, -1] for t in (TOKENS, turned)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_dropout_of_the_transformer_needs_its_stream_and_is_on() -> None:
    network = TransformerLM(layers=1, width=6, heads=2, head_width=4, vocabulary=5, dropout=0.5)
    params = filled(network, jnp.asarray(TOKENS))
    apply = jax.jit(lambda key: network.apply(
        {"params": params}, jnp.asarray(TOKENS), rngs={"dropout": key}
    ))  # fmt: skip
    assert not np.allclose(apply(random_key(1)), apply(random_key(2)))
    np.testing.assert_array_equal(apply(random_key(1)), apply(random_key(1)))
