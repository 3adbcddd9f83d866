"""The blackbox part of an optimizer, for inspections that tell it from the nominal term."""

import optax

from lopt.optimizers.star_update import STAR, MetaParameters, StarConfig, make_blackbox

__all__ = ["star_blackbox"]


def star_blackbox(
    meta_parameters: MetaParameters, config: StarConfig = STAR
) -> optax.GradientTransformation | None:
    """The blackbox term f_b of (20) or (22) alone, as a transformation over STAR's own state.

    Total minus this, minus the weight decay, is the nominal term (21). Where the update is
    normalized, both terms are divided by the root mean square of their sum. None where the
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
    return make_blackbox(meta_parameters, config)
