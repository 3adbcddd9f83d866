"""STAR as an optax transformation, from meta-parameters in memory or from saved ones."""

import os

from lopt.optimizers.files.saved import Saved, load
from lopt.optimizers.star_update import STAR, MetaParameters, Star, StarConfig, make_star

__all__ = ["star"]


def star(
    meta_parameters: MetaParameters | Saved | str | os.PathLike[str],
    config: StarConfig | None = None,
    *,
    fused: bool = True,
) -> Star:
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
    Star
        An ``optax.GradientTransformationExtraArgs``. ``update(gradients, state, params)`` needs
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
    weights to them in every step, and they would grow. Weight decay is
    ``StarConfig(weight_decay=...)``.

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
    if isinstance(meta_parameters, str | os.PathLike):
        saved, name = load(meta_parameters), str(meta_parameters)[-100:]
    elif isinstance(meta_parameters, Saved):
        saved, name = meta_parameters, "meta_parameters"
    else:
        return make_star(meta_parameters, config or STAR, fused=fused)
    if not isinstance(saved.config, StarConfig):
        raise ValueError(
            f"{name} holds a linear optimizer. Take saved = lopt.load(...) and "
            "saved.config.make(saved.meta_parameters)."
        )
    return make_star(saved.meta_parameters, config or saved.config, fused=fused)
