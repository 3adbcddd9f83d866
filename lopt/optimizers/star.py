"""STAR as an optax transformation, from meta-parameters in memory or from saved ones."""

import os
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lopt.optimizers.constants import is_zero
from lopt.optimizers.files.saved import Saved, load
from lopt.optimizers.star_update import STAR, MetaParameters, StarConfig, make_star

__all__ = ["scale_by_star", "star"]

Given = MetaParameters | Saved | str | os.PathLike[str]


def star(
    meta_parameters: Given,
    config: StarConfig | None = None,
    *,
    fused: bool = True,
) -> optax.GradientTransformationExtraArgs:
    """The learned optimizer ``phi' = phi - f_g - f_b``, (2) with (21) and (22), as an optax
    transformation.

    Parameters
    ----------
    meta_parameters
        theta, as `init_meta_parameters` makes it or as meta-training leaves it. May be traced:
        ``jax.grad`` and ``jax.vmap`` with respect to it work. Or the name of meta-parameters that
        come with the package, the path of saved ones, or what `lopt.load` returns.
    config
        The terms and constants: `STAR` by default, and what saved meta-parameters were trained
        with where they are named. With `BLACKBOX` this is small_fc_lopt, equation (20); with
        `HYPERPARAM` the hyperparameter controller.
    fused
        False evaluates the network as plain matrix products: slower and in more memory, but far
        quicker to compile where the update itself is differentiated, as for ``jax.grad`` with
        respect to theta or by the monitor.

    Returns
    -------
    optax.GradientTransformationExtraArgs
        ``update(gradients, state, params)`` needs
        `params`. State and arithmetic are float32; the updates have the dtype of the parameters.
        The state lies where the parameters do, axis by axis.

    Raises
    ------
    ValueError
        Where the meta-parameters do not fit the configuration. By `init` and `update` where a
        parameter is not real floating point, or the gradients are no tree of the structure of the
        parameters; the message names the leaf. A leaf that is None in all of them is left out.

    Notes
    -----
    The updates are the whole step, sign and step size included, as those of ``optax.adamw``. So
    ``optax.add_decayed_weights`` belongs into no chain after it: that would add a share of the
    weights to them in every step, and they would grow. Nor does ``optax.scale_by_learning_rate``,
    which would turn the step around. Both go after `scale_by_star`. The weight decay of `star`
    itself is ``StarConfig(weight_decay=...)``.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, optax
    >>> from lopt.optimizers import init_meta_parameters
    >>> theta = init_meta_parameters(jax.random.key(0))
    >>> optimizer = optax.chain(optax.clip_by_global_norm(1.0), star(theta))
    >>> params = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}
    >>> updates, state = optimizer.update(params, optimizer.init(params), params)
    >>> jax.tree.map(jnp.shape, updates)
    {'b': (2,), 'w': (3, 2)}

    One that is meta-trained, by its name:

    >>> optimizer = star("fashion-mnist-mlp")
    """
    return make_star(*_found(meta_parameters, config), fused=fused)


def scale_by_star(
    meta_parameters: Given,
    config: StarConfig | None = None,
    *,
    normalize: bool = True,
    fused: bool = True,
) -> optax.GradientTransformationExtraArgs:
    """The direction of STAR without sign and learning rate, as ``optax.scale_by_adam`` is that of
    Adam, for a chain in which both and the weight decay follow.

    Parameters
    ----------
    meta_parameters, config, fused
        As for `star`. The configuration must have no weight decay of its own.
    normalize
        Whether the direction of each tensor is divided by its root mean square, whatever the
        configuration says: it then has the root mean square 1, or 0 where the gradient is zero, and
        a change of the learning rate is one of the length of the step. With False the direction is
        f_g + f_b, (21) and (22), with the step sizes of the configuration, and no matrix is
        orthogonalized.

    Returns
    -------
    optax.GradientTransformationExtraArgs
        ``update(gradients, state, params)`` needs `params`, and returns what a step subtracts. The
        state is that of `star`.

    Raises
    ------
    ValueError
        As `star`, and where the configuration has weight decay.

    Notes
    -----
    The order is that of ``optax.adamw``: direction, decay, learning rate. The learning rate gives
    the sign; without it the loss rises. ``StarConfig.normalized_step`` has no effect here.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, optax
    >>> from lopt.optimizers import init_meta_parameters
    >>> theta = init_meta_parameters(jax.random.key(0))
    >>> schedule = optax.warmup_cosine_decay_schedule(0.0, 1e-3, 100, 1000)
    >>> optimizer = optax.chain(
    ...     scale_by_star(theta),
    ...     optax.add_decayed_weights(0.01),
    ...     optax.scale_by_learning_rate(schedule),
    ... )

    The first step of a constant rate changes every tensor by the rate, in the root mean square:

    >>> optimizer = optax.chain(scale_by_star(theta), optax.scale_by_learning_rate(1e-3))
    >>> params = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}
    >>> gradients = {"w": jnp.ones((3, 2)), "b": jnp.array([1e-3, 4.0])}
    >>> updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    >>> {name: round(1e3 * float(jnp.sqrt(jnp.mean(u**2))), 4) for name, u in updates.items()}
    {'b': 1.0, 'w': 1.0}
    """
    theta, own = _found(meta_parameters, config)
    if not is_zero(own.weight_decay):
        raise ValueError(
            f"config.weight_decay must be 0 for scale_by_star; it is {own.weight_decay!s:.40}. Put "
            "optax.add_decayed_weights after it in the chain."
        )
    config = replace(
        own,
        normalize_update=normalize,
        normalized_step=1.0,
        orthogonalize_update=normalize and own.orthogonalize_update,
    )
    step = make_star(theta, config, fused=fused)

    def update(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, optax.OptState]:
        moved, state = step.update(updates, state, params, **extra_args)
        return jax.tree.map(jnp.negative, moved), state

    return optax.GradientTransformationExtraArgs(step.init, update)


def _found(meta_parameters: Given, config: StarConfig | None) -> tuple[MetaParameters, StarConfig]:
    """The meta-parameters in memory or in a file, with their configuration unless one is given."""
    if isinstance(meta_parameters, str | os.PathLike):
        saved, name = load(meta_parameters), str(meta_parameters)[-100:]
    elif isinstance(meta_parameters, Saved):
        saved, name = meta_parameters, "meta_parameters"
    else:
        return meta_parameters, config or STAR
    if not isinstance(saved.config, StarConfig):
        raise ValueError(
            f"{name} holds a linear optimizer. Take saved = lopt.load(...) and "
            "saved.config.make(saved.meta_parameters)."
        )
    return saved.meta_parameters, config or saved.config
