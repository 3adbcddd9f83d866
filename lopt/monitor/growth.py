"""Growth over a window of real steps: the largest finite-time Lyapunov exponent of training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from lopt.arrays import entry
from lopt.keys import random_key
from lopt.monitor.derivatives.joint import scaled_step, update_map
from lopt.monitor.derivatives.step import (
    Batch,
    Loss,
    Params,
    State,
    common_length,
    leaf_scale,
    linearize_step,
    split_state,
)
from lopt.monitor.programs import Programs
from nqm.json_values import json_value

__all__ = ["Growth", "growth"]


@dataclass(frozen=True)
class Growth:
    """log |J_T ... J_1| / T along a trajectory, from a few start vectors.

    Attributes
    ----------
    by_start : ndarray, shape (starts,)
        For each random subspace of start vectors the largest growth rate of any vector in it,
        log sigma_max / T, in nats a step; a lower bound of the rate over all vectors, and that
        rate itself where the subspace is the whole space.
    late : ndarray, shape (starts,)
        The rate of the leading direction over the second half of the window alone.
    rates : ndarray, shape (vectors,)
        log |R_ii| / T of the QR factorizations, mean over the starts: the exponents in order.
    steps : int
        T.
    tolerance : float
        Largest disagreement, in nats a step, of a converged exponent.
    """

    by_start: np.ndarray
    late: np.ndarray
    rates: np.ndarray
    steps: int
    tolerance: float

    @property
    def exponent(self) -> float:
        """The largest finite-time Lyapunov exponent over the window; above 0 it grows."""
        return float(self.by_start.max())

    @property
    def spread(self) -> float:
        """The largest disagreement: between the starts, and between the halves of the window."""
        between = float(np.ptp(self.by_start))
        return max(between, float(np.abs(self.late - self.by_start).max()))

    @property
    def converged(self) -> bool:
        """Whether start vectors and halves agree within the tolerance."""
        return bool(np.isfinite(self.spread) and self.spread <= self.tolerance)

    def text(self) -> str:
        """One line."""
        if not np.isfinite(self.exponent):
            return f"not finite over {self.steps} steps: the trajectory diverged"
        sure = "" if self.converged else " (not converged)"
        return (
            f"{self.exponent:+.4f} nats a step over {self.steps} steps, "
            f"spread {self.spread:.1g}{sure}"
        )

    def to_json(self) -> dict[str, Any]:
        """Every number, as plain Python; None for what is not finite."""
        return {
            "exponent": json_value(self.exponent),
            "spread": json_value(self.spread),
            "converged": self.converged,
            "by_start": json_value(self.by_start),
            "late": json_value(self.late),
            "rates": json_value(self.rates),
            "steps": self.steps,
        }


def growth(
    transformation: optax.GradientTransformation,
    loss: Loss,
    params: Params,
    state: State,
    batches: Batch,
    *,
    vectors: int = 2,
    starts: int = 2,
    seed: int = 0,
    tolerance: float = 0.01,
) -> Growth:
    """log |J_T ... J_1| / T, J_t the Jacobian of step t of parameters and hidden state.

    The steps are the real ones, each on its own minibatch. `vectors` tangents from each of
    `starts` random starts are carried along by jvp and orthogonalized by QR at every step. One
    eigenvalue outside the unit circle at one step need not make anything grow, and a product of
    steps that are each stable can; this says which.

    Parameters
    ----------
    transformation : optax.GradientTransformation
        Compiled once for every pair of `transformation` and `loss` (by identity) and shapes.
    loss : callable, (params, batch) -> scalar
    params, state : pytrees
        Where the window begins.
    batches : pytree
        A leading axis for the step; its length is T, at least 2.
    vectors, starts : int
        At least 1 and 2.
    seed : int
        Of the start vectors.
    tolerance : float
        See `Growth`.

    Returns
    -------
    Growth

    Raises
    ------
    ValueError
        If the batches differ in length or are fewer than 2, or a count is too small.

    References
    ----------
    .. [1] Benettin, Galgani, Giorgilli, Strelcyn, Meccanica 15 (1980) 9-20.

    Examples
    --------
    >>> curvature = jnp.tile(jnp.array([1.0, 4.0]), (50, 1))
    >>> found = growth(optax.sgd(0.6), lambda p, c: jnp.sum(c * p**2) / 2, jnp.ones(2),
    ...                optax.sgd(0.6).init(jnp.ones(2)), curvature)
    >>> round(found.exponent, 3), round(float(jnp.log(1.4)), 3)       # |1 - 0.6 * 4| = 1.4
    (0.336, 0.336)
    """
    if vectors < 1 or starts < 2:
        raise ValueError(
            f"growth needs at least 1 vector and 2 starts; got vectors={vectors}, starts={starts}."
        )
    steps = common_length(batches, least=2)
    run = _compiled(loss, transformation, vectors, starts)
    seen = jax.device_get(run(params, state, batches, random_key(seed)))
    logs = np.log(np.abs(seen.diagonals.astype(np.float64)))
    with np.errstate(divide="ignore"):
        size = np.array([_norm(total) for total in seen.total])
        by_start = (seen.log_scale + np.log(size)) / steps
    return Growth(
        by_start=by_start,
        late=logs[steps // 2 :, :, 0].mean(axis=0),
        rates=logs.mean(axis=(0, 1)),
        steps=steps,
        tolerance=tolerance,
    )


def _norm(matrix: np.ndarray) -> float:
    finite = np.isfinite(matrix).all()
    return float(np.linalg.norm(matrix.astype(np.float64), 2)) if finite else float("nan")


class Seen(NamedTuple):
    """R_T ... R_1 of every start, scaled to norm 1, the logarithm of its scale, and of every step
    all |R_ii| and the loss.
    """

    total: Array
    log_scale: Array
    diagonals: Array
    losses: Array


@Programs
def _compiled(
    loss: Loss, transformation: optax.GradientTransformation, vectors: int, starts: int
) -> Callable[..., Seen]:
    def run(params: Params, state: State, batches: Batch, key: Array) -> Seen:
        return carried(
            transformation, loss, params, state, batches, key, vectors=vectors, starts=starts
        )[0]

    return jax.jit(run)


def carried(
    transformation: optax.GradientTransformation,
    loss: Loss,
    params: Params,
    state: State,
    batches: Batch,
    key: Array,
    *,
    vectors: int,
    starts: int,
) -> tuple[Seen, tuple[Params, State]]:
    """What `growth` is made of, and where the window ends; jittable."""
    first = entry(batches, 0)
    after = update_map(transformation, loss, first)(params, state)
    scale = leaf_scale(*((p, split_state(s).floats) for p, s in ((params, state), after)))
    width = min(vectors, scale.shape[0])
    begin = jax.random.normal(key, (starts, scale.shape[0], width), scale.dtype)
    frames = jax.vmap(lambda f: jnp.linalg.qr(f)[0])(begin)
    eye = jnp.broadcast_to(jnp.eye(width, dtype=scale.dtype), (starts, width, width))

    def step(carry: tuple, batch: Batch) -> tuple[tuple, tuple[Array, Array]]:
        params, state, frames, total, log_scale = carry
        at = linearize_step(transformation, loss, params, state, batch)
        apply = scaled_step(at, jnp.zeros(scale.shape, bool), scale)
        moved = jax.vmap(jax.vmap(apply, 1, 1))(frames)
        # A derivative that does not exist (the root of a zero moment) moves nothing.
        exists = jnp.isfinite(moved) | ~jnp.isfinite(at.successor)[:, None]
        frames, upper = jax.vmap(jnp.linalg.qr)(jnp.where(exists, moved, 0.0))
        total = jnp.matmul(upper, total, precision="highest")
        size = jnp.linalg.norm(total, axis=(1, 2), keepdims=True)
        total = total / jnp.where(size == 0, 1.0, size)
        params, state = update_map(transformation, loss, batch)(params, state)
        diagonal = jnp.abs(jnp.diagonal(upper, axis1=1, axis2=2))
        log_scale = log_scale + jnp.log(size[:, 0, 0])
        return (params, state, frames, total, log_scale), (diagonal, at.loss)

    carry = (params, state, frames, eye, jnp.zeros(starts, scale.dtype))
    (params, state, _, total, log_scale), (diagonals, losses) = jax.lax.scan(step, carry, batches)
    return Seen(total, log_scale, diagonals, losses), (params, state)
