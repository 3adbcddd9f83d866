"""Who takes part in a suite: learned optimizers, and baselines over the candidates for their
constants.
"""

import hashlib
import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lopt.optimizers.baselines import adam
from lopt.optimizers.files.saved import Saved
from lopt.optimizers.scheduled import ScheduledNAdamW, ScheduledNAdamWSpace, scheduled_nadamw
from lopt.optimizers.star_update import MetaParameters, StarConfig

ADAM, NADAMW = "Adam", "NAdamW"
# Half orders of magnitude around Adam's default.
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
# What the draws of NAdamW come from.
DRAWS_SEED = 0

Constants = dict[str, float]


class Candidate(NamedTuple):
    """One setting of an entrant: the constants that are chosen, and what its program is given."""

    constants: Constants
    theta: Any


class Entrant(NamedTuple):
    """An optimizer that takes part, with the candidates for its constants.

    Attributes
    ----------
    name
        Of its row and of its file.
    make
        From `Candidate.theta` to an optax transformation.
    candidates
        Of a learned optimizer the first one is as it is saved.
    program
        Entrants with equal ones share a compiled program.
    identity
        What tells it from another one of the same name.
    learned
        Whether it is a learned optimizer.
    """

    name: str
    make: Callable[[Any], optax.GradientTransformation]
    candidates: Sequence[Candidate]
    program: Hashable
    identity: str
    learned: bool = False


def adam_entrant(rates: Sequence[float] = RATES) -> Entrant:
    """Adam over constant learning rates."""
    each = [Candidate({"learning_rate": r}, np.float32(r)) for r in rates]
    return Entrant(ADAM, adam, each, ADAM, "optax.adam with its default constants")


def nadamw_entrant(draws: int, steps: int) -> Entrant:
    """NAdamW over random draws, its schedule ending after `steps`."""
    drawn = ScheduledNAdamWSpace().draw(np.random.default_rng(DRAWS_SEED), draws)
    each = [
        Candidate(dict(vars(d)), {name: np.float32(value) for name, value in vars(d).items()})
        for d in drawn
    ]

    def make(constants: Any) -> optax.GradientTransformation:
        return scheduled_nadamw(ScheduledNAdamW(**constants), steps)

    return Entrant(NADAMW, make, each, NADAMW, "optax's NAdamW with a cosine schedule")


def learned_entrant(name: str, saved: Saved, tried: int = 1) -> Entrant:
    """A learned optimizer as it is saved, and with `tried` values of beta_1 in all where it has a
    nominal term.

    Raises
    ------
    ValueError
        Where it is a linear optimizer, which belongs to one quadratic.

    Examples
    --------
    >>> import lopt
    >>> star = learned_entrant("star", lopt.load("fashion-mnist-mlp"), tried=5)
    >>> [f"{c.constants['nominal_step']:.1e}" for c in star.candidates]
    ['3.0e-03', '3.0e-04', '1.0e-03', '1.0e-02', '3.0e-02']
    """
    config, theta = star_config(name, saved), saved.meta_parameters
    own = config.nominal_step
    adjusts = config.nominal_term is not None and own > 0
    each = [Candidate({"nominal_step": own} if config.nominal_term else {}, theta)]
    if adjusts:
        for factor in nominal_factors(tried):
            if factor != 1.0:
                value = float(f"{factor * own:.6g}")
                scaled = with_nominal_factor(theta, value / own)
                each.append(Candidate({"nominal_step": value}, scaled))
        # One program takes them all: a scale of 1 where there was none.
        each[0] = each[0]._replace(theta=with_nominal_factor(theta, 1.0))
    sizes = tuple(np.shape(leaf) for leaf in jax.tree.leaves(each[0].theta))
    return Entrant(name, config.make, each, (config, sizes), identity(config, theta), learned=True)


def star_config(name: str, saved: Saved) -> StarConfig:
    """The configuration of a learned optimizer that a suite takes.

    Raises
    ------
    ValueError
        Where it is a linear optimizer, which belongs to one quadratic.
    """
    if isinstance(saved.config, StarConfig):
        return saved.config
    raise ValueError(
        f"{name} is a linear optimizer, which belongs to one quadratic; a suite takes STAR and its "
        "relatives."
    )


def identity(config: StarConfig, theta: Any) -> str:
    """What tells a learned optimizer from any other. A field that a later version adds changes no
    identity while it has its default.
    """
    usual = StarConfig()
    own = {name: v for name, v in vars(config).items() if v != getattr(usual, name)}
    digest = hashlib.sha256(repr(sorted(own.items())).encode())
    for leaf in jax.tree.leaves(theta):
        digest.update(np.asarray(leaf, np.float32).tobytes())
    return digest.hexdigest()


def nominal_factors(count: int) -> list[float]:
    """So many factors of beta_1 in half-decades, 1 in the middle, as Adam's rates are spaced.

    Examples
    --------
    >>> [round(factor, 3) for factor in nominal_factors(4)], nominal_factors(1)
    ([0.333, 1.0, 3.333, 10.0], [1.0])
    """
    powers = range(-((count - 1) // 2), count // 2 + 1)
    return [10.0 ** (k // 2) * (1.0, 10 / 3)[k % 2] for k in powers]


def with_nominal_factor(theta: MetaParameters, factor: float) -> MetaParameters:
    """The meta-parameters whose nominal term is so many times as large: beta_1 and the learned
    scale enter it as a product.
    """
    scale = theta.log_nominal_scale
    scale = scale if scale.size else jnp.zeros((1,), jnp.float32)
    return theta._replace(log_nominal_scale=scale + np.float32(math.log(factor)))


def stacked(thetas: Sequence[Any]) -> Any:
    """One tree whose leaves have a leading axis, an optimizer a slice."""
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(x) for x in leaves]), *thetas)
