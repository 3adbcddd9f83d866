"""The two terms of STAR's update of one tensor, (21) and (22), and the directions of the first."""

from functools import reduce
from operator import add
from typing import Literal, NamedTuple

import jax
from jax import lax

from lopt.optimizers.parts.accumulators import Accumulators
from lopt.optimizers.parts.features import RMS_FLOOR

NominalTerm = Literal["AdamAggMo", "Adam", "AggMo", "SGDM", "SGD"]


def nominal_direction(term: NominalTerm, gradient: jax.Array, a: Accumulators) -> jax.Array:
    """The direction `g` of (21) from the accumulators that already hold this step's gradient."""
    match term:
        case "SGD":
            return gradient
        case "SGDM":
            return a.momentum[-1]
        case "AggMo":
            return _mean(a.momentum)
        case "Adam":
            return a.momentum[-1] * lax.rsqrt(a.rms[-1] + RMS_FLOOR)
        case "AdamAggMo":
            return _mean(a.momentum) * lax.rsqrt(a.rms[-1] + RMS_FLOOR)


def _mean(momenta: jax.Array) -> jax.Array:
    """The mean over the leading axis, written as a sum: a reduction would split the one fused
    loop of an update.
    """
    return reduce(add, [*momenta]) * (1.0 / momenta.shape[0])


class UpdateTerms(NamedTuple):
    """The nominal and the blackbox part of an update; None where it is left out."""

    nominal: jax.Array | None
    blackbox: jax.Array | None

    @property
    def whole(self) -> jax.Array:
        """The sum of the terms that there are."""
        return reduce(add, [term for term in self if term is not None])
