"""One table runs every optimizer through the contract of an optax transformation."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lopt

FAMILY = {
    "star": lopt.STAR,
    "blackbox": lopt.BLACKBOX,
    "hyperparam": lopt.HYPERPARAM,
    "no preconditioner": replace(lopt.STAR, precondition=False),
    "no nominal term": replace(lopt.STAR, nominal_term=None),
    "normalized": replace(lopt.STAR, normalize_update=True),
    "orthogonalized": replace(lopt.STAR, normalize_update=True, orthogonalize_update=True),
}
PARAMS = {
    "matrix": jnp.linspace(-1, 1, 6).reshape(3, 2),
    "vector": jnp.linspace(0, 1, 4),
    "scalar": jnp.array(0.5, jnp.float32),
    "rank 5": jnp.full((2, 1, 3, 1, 2), 0.1, jnp.float32),
}


IN_BRIEF = ("star", "normalized")


@pytest.fixture(
    params=[
        name if name in IN_BRIEF else pytest.param(name, marks=pytest.mark.thorough)
        for name in FAMILY
    ],
    scope="module",
)
def config(request):
    return FAMILY[request.param]


@pytest.fixture(scope="module")
def theta(config):
    return lopt.init_meta_parameters(jax.random.key(0), config)


def gradients(params):
    return jax.tree.map(lambda p: jnp.cos(3 * p).astype(p.dtype), params)


def close(a, b, rtol=1e-5):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-7)


SMALL = {"matrix": PARAMS["matrix"]}


def plain(theta, config):
    """The same values as the fused form (tested below), compiled in a fraction of the time."""
    return lopt.star(theta, config, fused=False)


def two_steps(optimizer):
    """The parameters after two steps, compiled as one function: op by op takes far longer."""

    @jax.jit
    def run(params):
        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update(gradients(params), state, params)
            return (optax.apply_updates(params, updates), state), None

        carry = (params, optimizer.init(params))
        return jax.lax.scan(step, carry, length=2)[0][0]

    return run


def test_jit_compiles_once_and_donates_its_state(theta, config) -> None:
    optimizer = plain(theta, config)
    traces = []

    @partial(jax.jit, donate_argnums=1)
    def step(params, state):
        traces.append(1)
        updates, state = optimizer.update(gradients(params), state, params)
        return optax.apply_updates(params, updates), state

    params, state = SMALL, optimizer.init(SMALL)
    for _ in range(2):
        given = state
        params, state = step(params, state)
        assert all(x.is_deleted() for x in jax.tree.leaves(given.accumulators) if x.size)
    assert len(traces) == 1
    close(two_steps(optimizer)(SMALL), params)


def test_update_is_pure_and_fused_is_plain(theta, config) -> None:
    """The same inputs give the same outputs, and the fused network is the plain one."""
    run = two_steps(lopt.star(theta, config))
    first = run(PARAMS)
    close(first, run(PARAMS), rtol=0)
    close(first, two_steps(plain(theta, config))(PARAMS))


def test_structure_and_dtypes_are_kept(theta, config) -> None:
    optimizer = plain(theta, config)
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    state = optimizer.init(params)
    updates, new_state = jax.jit(optimizer.update)(gradients(params), state, params)
    assert {u.dtype for u in jax.tree.leaves(updates)} == {jnp.dtype(jnp.bfloat16)}
    assert jax.tree.structure(state) == jax.tree.structure(new_state)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(new_state), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(state.accumulators))


def test_vmap_over_meta_parameters_and_parameters_is_a_loop(config) -> None:
    keys = jax.random.split(jax.random.key(1), 2)
    thetas = jax.vmap(lambda k: lopt.init_meta_parameters(k, config))(keys)

    @jax.jit
    def moved(theta, params):
        return two_steps(plain(theta, config))(params)

    scaled = {"matrix": jnp.stack([SMALL["matrix"], 2 * SMALL["matrix"]])}
    together = jax.jit(jax.vmap(moved))(thetas, scaled)
    for index in range(2):
        one = moved(*jax.tree.map(lambda x, i=index: x[i], (thetas, scaled)))
        close(one, jax.tree.map(lambda x, i=index: x[i], together))


def test_gradient_with_respect_to_meta_parameters(theta, config) -> None:
    """Against a central difference; plain, since the fused network's gradient compiles long."""
    params = SMALL

    @jax.jit
    @jax.value_and_grad
    def loss(theta):
        moved = two_steps(plain(theta, config))(params)["matrix"] - params["matrix"]
        return 1e3 * jnp.sum(jnp.cos(jnp.arange(6.0)).reshape(3, 2) * moved)

    direction = jax.tree.map(
        lambda x: jnp.sin(jnp.arange(x.size, dtype=x.dtype) + 1).reshape(x.shape), theta
    )
    _, gradient = loss(theta)
    slope = sum(
        jnp.vdot(a, b)
        for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
    )
    # The polar factor of a nearly singular matrix bends soon.
    h = 3e-4 if config.orthogonalize_update else 1e-2
    ahead, behind = (
        loss(jax.tree.map(lambda t, d, s=s: t + s * d, theta, direction))[0] for s in (h, -h)
    )
    expected = (ahead - behind) / (2 * h)
    assert abs(expected) > 1e-2
    assert abs(slope - expected) <= 0.05 * abs(expected)


def test_chain_masked_and_apply_if_finite(theta, config) -> None:
    inner = plain(theta, config)
    both = {**SMALL, "frozen": PARAMS["vector"]}
    masked = optax.masked(inner, {"matrix": True, "frozen": False})
    chained = optax.apply_if_finite(optax.chain(optax.clip_by_global_norm(1e6), masked), 3)
    update, state = jax.jit(chained.update), chained.init(both)
    updates, _ = update(gradients(both), state, both)
    close(updates["frozen"], gradients(both)["frozen"])
    alone, _ = jax.jit(inner.update)(gradients(SMALL), inner.init(SMALL), SMALL)
    close(updates["matrix"], alone["matrix"])
    bad = jax.tree.map(lambda g: g * jnp.nan, both)
    updates, _ = update(bad, state, both)
    assert all(not np.any(np.asarray(u)) for u in jax.tree.leaves(updates))


def test_multi_transform_gives_each_part_its_own(theta, config) -> None:
    """One group under the learned optimizer, one under SGD; neither sees the other."""
    both = {**SMALL, "vector": PARAMS["vector"]}
    parts = {"learned": plain(theta, config), "fixed": optax.sgd(0.5)}
    optimizer = optax.multi_transform(parts, {"matrix": "learned", "vector": "fixed"})
    updates, _ = jax.jit(optimizer.update)(gradients(both), optimizer.init(both), both)
    close(updates["vector"], -0.5 * gradients(both)["vector"])
    alone = parts["learned"]
    expected, _ = jax.jit(alone.update)(gradients(SMALL), alone.init(SMALL), SMALL)
    close(updates["matrix"], expected["matrix"])


def test_inject_hyperparams_makes_a_constant_an_argument(theta, config) -> None:
    """Every term of an update is proportional to its step, which may be set or scheduled; so is
    their normalized sum to its own.
    """

    def make(steps):
        given = {"nominal_step": steps, "blackbox_step": 2.0 * steps, "normalized_step": steps}
        return plain(theta, replace(config, **given))

    optimizer = optax.inject_hyperparams(make)(steps=1e-3)
    state, update = optimizer.init(SMALL), jax.jit(optimizer.update)
    once, _ = update(gradients(SMALL), state, SMALL)
    state.hyperparams["steps"] = jnp.float32(3e-3)
    thrice, _ = update(gradients(SMALL), state, SMALL)
    assert np.any(np.asarray(once["matrix"]))
    close(3 * once["matrix"], thrice["matrix"])


def test_empty_tree(theta, config) -> None:
    optimizer = lopt.star(theta, config)
    updates, state = optimizer.update({}, optimizer.init({}), {})
    assert updates == {}
    assert int(state.count) == 1


def test_missing_params_is_one_clear_line(theta, config) -> None:
    optimizer = lopt.star(theta, config)
    with pytest.raises(ValueError, match="star needs the parameters"):
        optimizer.update(PARAMS, optimizer.init(PARAMS))


def test_meta_parameters_of_another_configuration() -> None:
    theta = lopt.init_meta_parameters(jax.random.key(0), lopt.BLACKBOX)
    with pytest.raises(ValueError, match="network with 2 heads; this configuration uses 3"):
        lopt.star(theta, lopt.STAR)
