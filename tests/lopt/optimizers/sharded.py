"""STAR's state of parameters on two devices, as one JSON object.

`test_sharding` runs this as a process of its own, since the devices are counted when JAX starts.
"""

import json
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import lopt
from lopt.optimizers.parts import sweep as sweeping
from lopt.optimizers.parts.accumulators import init_accumulators
from lopt.optimizers.parts.sweep import sweep
from lopt.optimizers.star_update import learned_decays

THETA = lopt.init_meta_parameters(jax.random.key(0), lopt.HYPERPARAM)
STAR = lopt.star(THETA, lopt.HYPERPARAM, fused=False)
NORMALIZED = lopt.star(THETA, replace(lopt.HYPERPARAM, normalize_update=True), fused=False)
MESH = Mesh(np.array(jax.devices()), ("i",))
W = jax.random.normal(jax.random.key(1), (16, 8))


def two_steps(params, optimizer=STAR):
    """The parameters after two steps in a loop."""

    def body(carry, _):
        params, state = carry
        updates, state = optimizer.update(params, state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(body, (params, optimizer.init(params)), length=2)[0][0]


def placement():
    """Of each array of the state: the axes that are spread, per field and spread axis of W."""
    found = {}
    for axis in (0, 1):
        spec = P(*("i" if k == axis else None for k in range(2)))
        w = jax.device_put(W, NamedSharding(MESH, spec))
        for name, x in STAR.init(w).accumulators._asdict().items():
            whole, own = x.shape, x.sharding.shard_shape(x.shape)
            spread = [k for k, (a, b) in enumerate(zip(whole, own, strict=True)) if a != b]
            found[f"{name} {axis}"] = spread
            assert len(x.sharding.device_set) == 2, name
    return found


def difference(a, b):
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


def inside_shard_map(optimizer=STAR):
    """Each device trains its own parameters, as it would alone."""
    each = jnp.stack([W, 2 * W])

    def one(p):
        return two_steps({"w": p[0], "b": p[0, 0]}, optimizer)["w"][None]

    seen = jax.jit(jax.shard_map(one, mesh=MESH, in_specs=P("i"), out_specs=P("i")))(each)
    alone = jax.jit(one)
    return max(difference(seen[k], alone(each[k : k + 1])[0]) for k in range(2))


def explicit(axis, optimizer=STAR):
    """A loop over steps on an explicit mesh."""
    run = jax.jit(partial(two_steps, optimizer=optimizer))
    mesh = jax.make_mesh((2,), ("i",), axis_types=(AxisType.Explicit,))
    spec = P(*("i" if k == axis else None for k in range(2)))
    with jax.set_mesh(mesh):
        seen = run(jax.device_put(W, NamedSharding(mesh, spec)))
        assert jax.typeof(seen).sharding.spec == spec
        return difference(seen, run(W))


def swept_in_blocks():
    """The same accumulators and mean squares as of a sweep of the whole: in shard_map, with a state
    that is the same on all devices or that varies as the parameters do, and on an explicit mesh.
    """
    decays = learned_decays(THETA, lopt.HYPERPARAM)
    assert sweeping.block_count(W.shape) > 1

    def swept(p, old=None, blocked=True):
        old = init_accumulators(p, 3, 1, 3) if old is None else old
        return sweep(old, jnp.cos(p), p, decays, blocked=blocked)[::2]

    def largest(seen, expected):
        pairs = zip(jax.tree.leaves(seen), jax.tree.leaves(expected), strict=True)
        return max(difference(a / (1e-9 + jnp.abs(b)), b / (1e-9 + jnp.abs(b))) for a, b in pairs)

    expected = jax.jit(lambda p: swept(p, blocked=False))(W)
    inside = [
        jax.tree.map(lambda x: x[:1], jax.jit(jax.shard_map(
            lambda p, *old: jax.tree.map(lambda x: x[None], swept(p[0], *old)),
            mesh=MESH, in_specs=(P("i"), *(P() for _ in old)), out_specs=P("i"),
        ))(jnp.stack([W, W]), *old))
        for old in ((), (init_accumulators(W, 3, 1, 3),))
    ]  # fmt: skip
    mesh = jax.make_mesh((2,), ("i",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        spread = jax.jit(swept)(jax.device_put(W, NamedSharding(mesh, P("i", None))))
    return [*(largest(x, jax.tree.map(lambda e: e[None], expected)) for x in inside),
            largest(spread, expected)]  # fmt: skip


def variables():
    """What Flax NNX says of the axes of the state of a kernel spread along its first axis."""
    with jax.set_mesh(jax.make_mesh((2,), ("i",), axis_types=(AxisType.Auto,))):
        spread = nnx.with_partitioning(nnx.initializers.ones, ("i", None))
        model = nnx.Linear(8, 4, kernel_init=spread, rngs=nnx.Rngs(0))
        trained = nnx.Optimizer(model, STAR, wrt=nnx.Param)
        trained.update(model, nnx.grad(lambda m: jnp.sum(m(jnp.ones((2, 8)))))(model))
        kernels = {
            name: nnx.to_pure_dict(field)["kernel"].sharding.spec
            for name, field in nnx.state(trained)["opt_state"]["accumulators"].items()
        }
    return {name: [*spec, *(None,) * (3 - len(spec))] for name, spec in kernels.items()}


if __name__ == "__main__":
    inside, loops = inside_shard_map(), [explicit(0), explicit(1)]
    normalized = [inside_shard_map(NORMALIZED), explicit(0, NORMALIZED), explicit(1, NORMALIZED)]
    sweeping.WHOLE, sweeping.LARGEST_BLOCK, sweeping.SMALLEST_BLOCK = 64, 32, 8
    print(
        json.dumps(
            {
                "placement": placement(),
                "shard_map": inside,
                "explicit": loops,
                "normalized": normalized,
                "blocks": swept_in_blocks(),
                "nnx": variables(),
            }
        )
    )
