"""The optimizer of the meta-parameters."""

from typing import Any

import jax
import numpy as np
import optax

from lopt.optimizers.star_update import MetaParameters


def make_meta_optimizer(config: Any) -> optax.GradientTransformationExtraArgs:
    """AdamW with clipping as in Appendix B; weight decay acts only on the network's weights
    (section 5.1). `config` is a `TrainConfig`.

    A meta-gradient that is not finite is skipped and counted.
    """
    rate: Any = config.learning_rate
    if config.final_learning_rate < 1:
        rate = optax.cosine_decay_schedule(rate, config.outer_steps, config.final_learning_rate)
    decay = optax.inject_hyperparams(optax.add_decayed_weights, static_args="mask")
    chain = optax.chain(
        optax.clip_by_global_norm(config.clip),
        optax.scale_by_adam(),
        # In the state, so that a rule of the monitor can raise it.
        decay(weight_decay=config.weight_decay, mask=_decayed),
        optax.scale_by_learning_rate(rate),
    )
    return optax.apply_if_finite(chain, max_consecutive_errors=10)


def raise_weight_decay(meta_optimizer_state: Any) -> tuple[float, Any]:
    """Double the weight decay, to at least 0.1; return it and the meta-optimizer's state with it.

    Section 5.3 finds values between 0.1 and 0.5 to work best; weight decay of the network shrinks
    the gain of the blackbox term (section 5.1).
    """
    now = float(optax.tree_utils.tree_get(meta_optimizer_state, "weight_decay"))
    raised = np.float32(max(0.1, 2.0 * now))
    return float(raised), optax.tree_utils.tree_set(meta_optimizer_state, weight_decay=raised)


def _decayed(theta: Any) -> Any:
    """Mark the meta-parameters that weight decay acts on: the network, but neither the offsets of
    the decays nor the nominal scale; of the linear optimizer, all of P.
    """
    if not isinstance(theta, MetaParameters):
        return jax.tree.map(lambda _: True, theta)
    mask = jax.tree.map(lambda _: False, theta)
    return mask._replace(network=jax.tree.map(lambda _: True, theta.network))
