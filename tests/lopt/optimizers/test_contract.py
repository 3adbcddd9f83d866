"""One table runs every optimizer through the contract of an optax transformation."""

from dataclasses import replace

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
}
PARAMS = {
    "matrix": jnp.linspace(-1, 1, 6).reshape(3, 2),
    "vector": jnp.linspace(0, 1, 4),
    "scalar": jnp.array(0.5, jnp.float32),
    "rank 5": jnp.full((2, 1, 3, 1, 2), 0.1, jnp.float32),
}


@pytest.fixture(params=FAMILY, scope="module")
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


def two_steps(optimizer, params):
    """The parameters after two steps, compiled as one function: op by op takes far longer."""

    @jax.jit
    def run(params):
        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update(gradients(params), state, params)
            return (optax.apply_updates(params, updates), state), None

        carry = (params, optimizer.init(params))
        return jax.lax.scan(step, carry, length=2)[0][0]

    return run(params)


def test_jit_changes_nothing_and_compiles_once(theta, config) -> None:
    optimizer = lopt.star(theta, config)
    traces = []

    @jax.jit
    def step(params, state):
        traces.append(1)
        updates, state = optimizer.update(gradients(params), state, params)
        return optax.apply_updates(params, updates), state

    params, state = PARAMS, optimizer.init(PARAMS)
    for _ in range(3):
        params, state = step(params, state)
    assert len(traces) == 1
    again, _ = step(*step(PARAMS, optimizer.init(PARAMS)))
    close(two_steps(optimizer, PARAMS), again)


def test_update_is_pure_and_fused_is_plain(theta, config) -> None:
    """The same inputs give the same outputs, and the fused network is the plain one."""
    fused, plain = (lopt.star(theta, config, fused=f) for f in (True, False))
    first = two_steps(fused, PARAMS)
    close(first, two_steps(fused, PARAMS), rtol=0)
    close(first, two_steps(plain, PARAMS))


def test_structure_and_dtypes_are_kept(theta, config) -> None:
    optimizer = lopt.star(theta, config)
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    state = optimizer.init(params)
    updates, new_state = jax.jit(optimizer.update)(gradients(params), state, params)
    assert {u.dtype for u in jax.tree.leaves(updates)} == {jnp.dtype(jnp.bfloat16)}
    assert jax.tree.structure(state) == jax.tree.structure(new_state)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(new_state), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(state.accumulators))


def test_vmap_over_meta_parameters_is_a_loop(config) -> None:
    keys = jax.random.split(jax.random.key(1), 2)
    thetas = jax.vmap(lambda k: lopt.init_meta_parameters(k, config))(keys)
    params = SMALL

    def moved(theta):
        return two_steps(lopt.star(theta, config), params)

    together = jax.vmap(moved)(thetas)
    for index in range(2):
        one = moved(jax.tree.map(lambda x, i=index: x[i], thetas))
        close(one, jax.tree.map(lambda x, i=index: x[i], together))


def test_gradient_with_respect_to_meta_parameters(theta, config) -> None:
    """Against a central difference; plain, since the fused network's gradient compiles long."""
    params = SMALL

    @jax.jit
    def loss(theta):
        optimizer = lopt.star(theta, config, fused=False)
        moved = two_steps(optimizer, params)["matrix"] - params["matrix"]
        return 1e3 * jnp.sum(jnp.cos(jnp.arange(6.0)).reshape(3, 2) * moved)

    direction = jax.tree.map(
        lambda x: jnp.sin(jnp.arange(x.size, dtype=x.dtype) + 1).reshape(x.shape), theta
    )
    gradient = jax.grad(loss)(theta)
    slope = sum(
        jnp.vdot(a, b)
        for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
    )
    h = 1e-2
    ahead, behind = (
        loss(jax.tree.map(lambda t, d, s=s: t + s * d, theta, direction)) for s in (h, -h)
    )
    expected = (ahead - behind) / (2 * h)
    assert abs(expected) > 1e-2
    assert abs(slope - expected) <= 0.05 * abs(expected)


def test_chain_masked_and_apply_if_finite(theta, config) -> None:
    inner = lopt.star(theta, config)
    chained = optax.chain(optax.clip_by_global_norm(1e6), inner)
    close(two_steps(chained, SMALL), two_steps(inner, SMALL))
    both = {**SMALL, "frozen": PARAMS["vector"]}
    masked = optax.masked(inner, {"matrix": True, "frozen": False})
    updates, _ = jax.jit(masked.update)(gradients(both), masked.init(both), both)
    close(updates["frozen"], gradients(both)["frozen"])
    safe = optax.apply_if_finite(inner, 3)
    bad = jax.tree.map(lambda g: g * jnp.nan, SMALL)
    updates, _ = jax.jit(safe.update)(bad, safe.init(SMALL), SMALL)
    assert all(not np.any(np.asarray(u)) for u in jax.tree.leaves(updates))


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
