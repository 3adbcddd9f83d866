"""The blackbox part of an optimizer, for inspections that tell it from the nominal term."""

from dataclasses import replace

import optax

from lopt.optimizers.star import star
from lopt.optimizers.star_update import STAR, MetaParameters, StarConfig

__all__ = ["star_blackbox"]


def star_blackbox(
    meta_parameters: MetaParameters, config: StarConfig = STAR
) -> optax.GradientTransformation | None:
    """The blackbox term f_b of (20) or (22) alone, as a transformation over STAR's own state.

    Total minus this, minus the weight decay, is the nominal term (21). None where the
    configuration has no blackbox term.

    Parameters
    ----------
    meta_parameters, config
        As for `lopt.star`.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, lopt
    >>> theta = lopt.init_meta_parameters(jax.random.key(0), lopt.HYPERPARAM)
    >>> star_blackbox(theta, lopt.HYPERPARAM) is None
    True
    """
    if not config.blackbox_term:
        return None
    return star(meta_parameters, replace(config, nominal_term=None, weight_decay=0.0), fused=False)
