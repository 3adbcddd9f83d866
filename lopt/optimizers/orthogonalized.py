"""An optimizer whose update is orthogonalized, matrix by matrix, and normalized."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from lopt.optimizers.constants import is_zero
from lopt.optimizers.parts.accumulators import bounded
from lopt.optimizers.parts.normalization import normalizing_factor
from lopt.optimizers.parts.orthogonal import orthogonalizer


def orthogonalized(
    inside: optax.GradientTransformationExtraArgs,
    step: Any,
    weight_decay: Any = 0.0,
    part: optax.GradientTransformationExtraArgs | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Bring the singular values of an optimizer's update near one, and its root mean square to
    `step`, in every tensor; what is no matrix is normalized only.

    A tensor whose gradient is zero stands still, up to the weight decay.

    Parameters
    ----------
    inside
        The optimizer. Its parameters are float32, whatever those of the result are.
    step
        The root mean square of the update.
    weight_decay
        Decoupled weight decay per step, which `step` does not scale.
    part
        Gives a part of the update of `inside`, over the same state. The same linear maps are then
        applied to it: parts that add up to the update add up to the result. There is no weight
        decay of a part.
    """

    def update(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, optax.OptState]:
        single = jax.tree.map(_as_float32, params)
        whole, new = inside.update(updates, state, single, **extra_args)
        own = whole if part is None else part.update(updates, state, single)[0]

        def one(whole: jax.Array, own: jax.Array, gradient: Any, parameter: Any) -> jax.Array:
            map_to = orthogonalizer(whole)
            direction = map_to(whole)
            square = jnp.sum(jnp.square(bounded(jnp.asarray(gradient, jnp.float32))))
            factor = normalizing_factor(step, direction, square)
            moved = factor * (direction if part is None else map_to(own))
            if part is None and not is_zero(weight_decay):
                moved = moved - weight_decay * jnp.asarray(parameter, jnp.float32)
            return moved.astype(jnp.asarray(parameter).dtype)

        return jax.tree.map(one, whole, own, updates, params), new

    return optax.GradientTransformationExtraArgs(inside.init, update)


def _as_float32(parameter: Any) -> Any:
    """The parameter in float32, unless it is one that `inside` refuses."""
    array = jnp.asarray(parameter)
    return array.astype(jnp.float32) if jnp.issubdtype(array.dtype, jnp.floating) else parameter
