r"""The root mean square of a tensor's update, by which `StarConfig.normalize_update` divides it.

With :math:`\rho = \sqrt{\mathrm{mean}(u^2)}` and :math:`n = u / \rho`, a change of the update moves
the inverse root by

.. math:: \mathrm{d}(1/\rho) = -\frac{1}{\rho} \mathrm{mean}\Bigl(n \frac{\mathrm{d}u}{\rho}\Bigr),

in which every factor is of the size of a relative change. So it is written by hand: the third power
of the inverse root, of which the derivative of the program is made, is infinite in float32 from an
update of 1e-13 on.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

# Of the mean square of an update, which a float32 holds with all its digits from here on.
UPDATE_FLOOR = 1e-36


def normalizing_factor(step: float | Array, update: Array, gradient_square: Array) -> Array:
    """What multiplies `update` and its parts so that its root mean square is `step`.

    It is zero where the sum or mean of the gradient's squares is: the blackbox term has a direction
    even then, and a decaying momentum would go on at full speed.
    """
    return jnp.where(gradient_square == 0.0, 0.0, step * inverse_rms(update))


@jax.custom_jvp
def inverse_rms(update: Array) -> Array:
    """``1 / sqrt(max(mean(u^2), 1e-36))`` over a whole tensor, also where it lies on many devices.

    Examples
    --------
    >>> update = jnp.array([3.0, 4.0, 0.0, 0.0])
    >>> [round(float(size * inverse_rms(size * update)), 4) for size in (1e-15, 1.0, 1e15)]
    [0.4, 0.4, 0.4]
    """
    return lax.rsqrt(jnp.maximum(_mean_square(update), UPDATE_FLOOR))


@inverse_rms.defjvp
def _inverse_rms_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (update,), (change,) = primals, tangents
    inverse = inverse_rms(update)
    relative = jnp.sum((inverse * update) * (inverse * change)) / max(1, update.size)
    above = _mean_square(update) > UPDATE_FLOOR
    return inverse, jnp.where(above, -inverse * relative, 0.0)


def _mean_square(update: Array) -> Array:
    return jnp.sum(update * update) / max(1, update.size)
