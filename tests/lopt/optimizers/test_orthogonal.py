"""Orthogonalized updates, from the singular values that the iteration's polynomial gives."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lopt
from lopt.monitor import inspect, star_blackbox
from lopt.optimizers.orthogonalized import orthogonalized
from lopt.optimizers.parts.orthogonal import orthogonalizer
from tests.lopt.optimizers.test_saved import rewrite

CONFIG = replace(lopt.STAR, normalize_update=True, orthogonalize_update=True, normalized_step=0.1)
TERMS = replace(lopt.STAR, weight_decay=0.0)
THETA = lopt.init_meta_parameters(jax.random.key(0))


def quintic(values):
    """What five of Muon's iterations make of singular values."""
    values = values / np.linalg.norm(values)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return values


def polar(update):
    """The same of a matrix, in float64 by its singular value decomposition."""
    left, values, right = np.linalg.svd(np.asarray(update, np.float64), full_matrices=False)
    return (left * quintic(values)) @ right


def rms(x):
    return np.sqrt(np.mean(np.square(np.asarray(x, np.float64))))


@pytest.mark.parametrize("shape", [(2, 2), (5, 3), (32, 64), (300, 20)])
@pytest.mark.parametrize("condition", [1.0, 1e2, 1e5])
def test_singular_values_follow_the_polynomial(shape, condition) -> None:
    random, rank = np.random.default_rng(0), min(shape)
    left, right = (np.linalg.qr(random.normal(size=(n, rank)))[0] for n in shape)
    values = np.geomspace(1, 1 / condition, rank)
    for size in (1e-12, 1.0, 1e6):
        update = jnp.asarray(size * (left * values) @ right.T, jnp.float32)
        found = orthogonalizer(update)(update)
        # A float32 knows a singular value to the rounding of the largest, which is amplified.
        tolerance = 1e-5 if condition == 1 else 2e-3
        np.testing.assert_allclose(found, (left * quintic(values)) @ right.T, atol=tolerance)


def test_it_is_that_of_optax() -> None:
    """Without momentum Muon's step of a square matrix is the orthogonalized gradient."""
    update = jax.random.normal(jax.random.key(1), (16, 16))
    muon = optax.contrib.muon(1.0, beta=0.0, nesterov=False)
    expected, _ = jax.jit(muon.update)(update, muon.init(update), update)
    np.testing.assert_allclose(orthogonalizer(update)(update), -expected, atol=1e-4)


PARAMS = {
    "matrix": jnp.linspace(-1, 1, 12).reshape(4, 3),
    "kernel": jnp.cos(jnp.arange(36.0)).reshape(3, 1, 3, 4),
    "vector": jnp.linspace(0, 1, 4),
    "column": jnp.linspace(0, 1, 4)[:, None],
}
SLOPE = jax.tree.map(lambda p: jnp.cos(3 * p + jnp.arange(p.size).reshape(p.shape) ** 2), PARAMS)


def first(optimizer, gradients=SLOPE, params=PARAMS):
    return jax.jit(lambda g, p: optimizer.update(g, optimizer.init(p), p)[0])(gradients, params)


def test_every_matrix_is_orthogonalized_and_every_tensor_normalized() -> None:
    terms = first(lopt.star(THETA, TERMS))
    for name, update in first(lopt.star(THETA, CONFIG)).items():
        expected = np.asarray(terms[name], np.float64)
        if name in ("matrix", "kernel"):
            rows = expected.reshape(-1, expected.shape[-1])
            expected = polar(rows).reshape(expected.shape)
        np.testing.assert_allclose(update, 0.1 * expected / rms(expected), rtol=2e-3, atol=2e-4)


def test_parts_add_up_to_the_update() -> None:
    def linear(by_gradient, by_parameter):
        return optax.stateless(
            lambda g, p: jax.tree.map(lambda g, p: by_gradient * g + by_parameter * p, g, p)
        )

    whole = linear(1.0, 1.0)
    one, other = (
        first(orthogonalized(whole, 0.1, part=part)) for part in (linear(0.3, 2.0), linear(0.7, -1))
    )
    for name, update in first(orthogonalized(whole, 0.1)).items():
        np.testing.assert_allclose(one[name] + other[name], update, atol=1e-5)
    silent = first(star_blackbox(THETA, replace(CONFIG, blackbox_step=0.0)))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(silent))


def test_a_tensor_without_gradient_stands_still_up_to_the_weight_decay() -> None:
    still = {**SLOPE, "matrix": jnp.zeros((4, 3)), "vector": jnp.zeros(4)}
    decayed = replace(CONFIG, weight_decay=0.01)
    for config, decay in ((CONFIG, 0.0), (decayed, 0.01)):
        updates = first(lopt.star(THETA, config), still)
        for name in ("matrix", "vector"):
            np.testing.assert_allclose(updates[name], -decay * PARAMS[name], rtol=1e-6)
    moved = first(lopt.star(THETA, CONFIG))["kernel"] - 0.01 * PARAMS["kernel"]
    np.testing.assert_allclose(first(lopt.star(THETA, decayed))["kernel"], moved, rtol=1e-6)


def test_a_gradient_that_is_not_finite_shows() -> None:
    bad = {**SLOPE, "matrix": SLOPE["matrix"].at[0, 0].set(jnp.inf)}
    updates = first(lopt.star(THETA, CONFIG), bad)
    assert not np.any(np.isfinite(updates["matrix"]))
    assert np.all(np.isfinite(updates["kernel"]))


def test_a_scale_by_star_has_root_mean_square_one() -> None:
    direction = lopt.scale_by_star(THETA, CONFIG)
    found = first(direction)
    for name, update in found.items():
        assert rms(update) == pytest.approx(1.0, rel=1e-5)
        np.testing.assert_allclose(first(lopt.star(THETA, CONFIG))[name], -0.1 * update, rtol=1e-4)
    plain = first(lopt.scale_by_star(THETA, CONFIG, normalize=False))
    terms = first(lopt.star(THETA, TERMS))
    for name, update in plain.items():
        np.testing.assert_array_equal(update, -terms[name])


def test_half_precision_keeps_its_dtype_and_the_digits_of_the_terms() -> None:
    half = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    updates = first(lopt.star(THETA, CONFIG), params=half)
    rounded = jax.tree.map(lambda p: p.astype(jnp.float32), half)
    for name, expected in first(lopt.star(THETA, CONFIG), params=rounded).items():
        assert updates[name].dtype == jnp.bfloat16
        np.testing.assert_allclose(updates[name].astype(jnp.float32), expected, rtol=1e-2)


def test_it_needs_normalized_updates() -> None:
    with pytest.raises(ValueError, match="orthogonalize_update needs normalize_update"):
        replace(lopt.STAR, orthogonalize_update=True)
    with pytest.raises(ValueError, match="orthogonalize_update needs normalize_update"):
        lopt.TrainConfig(orthogonalize_update=True)


def test_a_file_keeps_it_and_format_5_had_none(tmp_path) -> None:
    path = tmp_path / "a.npz"
    lopt.save(path, THETA, CONFIG)
    assert lopt.load(path).config == CONFIG
    for a, b in zip(
        *(jax.tree.leaves(first(lopt.star(x))) for x in (path, lopt.load(path))), strict=True
    ):
        np.testing.assert_array_equal(a, b)

    def older(header):
        header["format"] = 5
        del header["config"]["orthogonalize_update"]

    rewrite(path, older)
    assert lopt.load(path).config == replace(CONFIG, orthogonalize_update=False)


def test_the_monitor_differentiates_it() -> None:
    """The preconditioned sharpness is that of the Jacobian of the update times the Hessian."""
    params = {"w": PARAMS["matrix"]}
    inputs = jnp.sin(jnp.arange(20.0)).reshape(5, 4)

    def loss(params, inputs):
        return jnp.mean(jnp.tanh(inputs @ params["w"] - 0.3) ** 2)

    optimizer = lopt.star(THETA, CONFIG, fused=False)
    slope = jax.grad(loss)(params, inputs)
    _, state = jax.jit(optimizer.update)(slope, optimizer.init(params), params)
    found = inspect(optimizer, loss, params, state, inputs)

    def step(flat):
        gradient = {"w": flat.reshape(4, 3)}
        return -optimizer.update(gradient, state, params)[0]["w"].ravel()

    jacobian = jax.jit(jax.jacfwd(step))(slope["w"].ravel())
    hessian = jax.hessian(lambda flat: loss({"w": flat.reshape(4, 3)}, inputs))(params["w"].ravel())
    expected = np.linalg.eigvals(np.asarray(jacobian @ hessian, np.float64)).real.max()
    assert found.preconditioned_sharpness.value == pytest.approx(expected, rel=2e-2)
