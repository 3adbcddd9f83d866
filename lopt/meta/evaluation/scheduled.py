"""Who takes part where everyone has a learning rate and a schedule: a linear warm-up, then half a
period of the cosine down to zero.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lopt.meta.evaluation.entrants import Candidate, Entrant, identity, star_config
from lopt.optimizers.files.saved import Saved
from lopt.optimizers.scheduled import ScheduledNAdamW, scheduled_rate
from lopt.optimizers.star import scale_by_star
from lopt.optimizers.star_update import StarConfig

ADAMW = "AdamW"
# The same learning rates for everyone.
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
# Of the steps, before the cosine begins.
WARMUP = 0.05
# Decoupled weight decay, times the learning rate, of everyone.
DECAY = 0.01
SCHEDULE = f"{WARMUP:g} warm-up and cosine, weight decay {DECAY:g}"
# Muon's updates get the root mean square of AdamW's, so that the same learning rates are tried.
MUON_RMS = 0.2
# The learning rate of whoever does not tune: the usual one of each optimizer, and for a learned
# optimizer the step of its meta-training.
DEFAULTS = {ADAMW: 1e-3, "NAdamW": 1e-3, "Lion": 1e-4, "Muon": 1e-3, "Schedule-free-AdamW": 2.5e-3}

Make = Callable[[Any, int], optax.GradientTransformation]


def cosine(rate: Any, steps: int) -> Callable[[Any], Any]:
    """The schedule of a learning rate, from the count of steps.

    Examples
    --------
    >>> [round(float(cosine(1.0, 100)(t)), 3) for t in (0, 5, 52.5, 100)]
    [0.0, 1.0, 0.5, 0.0]
    """
    constants = ScheduledNAdamW(rate, warmup=WARMUP, constant=WARMUP)
    return lambda count: scheduled_rate(constants, steps, count)


def _muon(rate: Any, steps: int) -> optax.GradientTransformation:
    return optax.contrib.muon(cosine(rate, steps), weight_decay=DECAY, consistent_rms=MUON_RMS)


def _schedule_free(rate: Any, steps: int) -> optax.GradientTransformation:
    warmup = max(1, round(WARMUP * steps))
    return optax.contrib.schedule_free_adamw(rate, warmup, weight_decay=DECAY)


BASELINES: Mapping[str, Make] = {
    ADAMW: lambda rate, steps: optax.adamw(cosine(rate, steps), weight_decay=DECAY),
    "NAdamW": lambda rate, steps: optax.nadamw(cosine(rate, steps), weight_decay=DECAY),
    "Lion": lambda rate, steps: optax.lion(cosine(rate, steps), weight_decay=DECAY),
    "Muon": _muon,
    "Schedule-free-AdamW": _schedule_free,
}


def scheduled_baseline(name: str, rates: Sequence[float], steps: int) -> Entrant:
    """A baseline at its default learning rate and at each of `rates`."""
    make = BASELINES[name]
    each = dict.fromkeys((DEFAULTS[name], *rates))
    return Entrant(
        name,
        lambda rate: make(rate, steps),
        [Candidate({"learning_rate": rate}, np.float32(rate)) for rate in each],
        name,
        f"optax, {SCHEDULE}",
    )


def scheduled_learned(name: str, saved: Saved, rates: Sequence[float], steps: int) -> Entrant:
    """A learned optimizer as `lopt.scale_by_star` in a chain with weight decay and learning rate.

    Raises
    ------
    ValueError
        If it is a linear optimizer, which belongs to one quadratic.
    """
    config, theta = star_config(name, saved), saved.meta_parameters

    def make(given: Any) -> optax.GradientTransformation:
        return optax.chain(
            scale_by_star(given["theta"], config),
            optax.add_decayed_weights(DECAY),
            optax.scale_by_learning_rate(cosine(given["rate"], steps)),
        )

    tree = jax.tree.map(jnp.asarray, theta)
    each = [
        Candidate({"learning_rate": rate}, {"theta": tree, "rate": np.float32(rate)})
        for rate in dict.fromkeys((default_rate(config), *rates))
    ]
    sizes = tuple(np.shape(leaf) for leaf in jax.tree.leaves(theta))
    return Entrant(name, make, each, (config, sizes), f"{identity(config, theta)}, {SCHEDULE}")


def default_rate(config: StarConfig) -> float:
    """The learning rate of a learned optimizer for whoever does not tune."""
    return float(np.asarray(config.normalized_step))
