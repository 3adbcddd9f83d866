"""What is trained in the inner loop: parameters, a loss, and the data that batches are drawn
from.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax

from lopt.tasks.stream import Windows
from nqm.quadratic import NoisyQuadratic

Params = Any
Batch = Any


@dataclass(frozen=True, eq=False)
class Task:
    """An inner problem: minimize ``E[loss(params, key, batch)]``, equation (1).

    Parameters
    ----------
    name
        How messages call it.
    init
        ``init(key)`` draws initial parameters, a pytree of float32 arrays.
    loss
        ``loss(params, key, batch)`` is a scalar; `key` is for what is random in the loss itself.
    data
        A pytree of arrays whose leading axis runs over examples; ``()`` where the loss needs no
        data. It is handed to compiled functions as an argument, never baked into them.
    batch_size
        Examples a batch.
    loss_ceiling
        Where the meta-loss is clipped: a diverged inner run counts as this much, and so does NaN.
    normalize
        Elementwise, from clipped losses to what the meta-loss averages: ``jnp.log``, or a division
        by the loss at initialization, so that tasks of different scales weigh the same. The
        meta-gradient is that of the normalized losses; reported losses keep the task's units. None
        leaves the losses as they are.
    stream
        Data too large for the device: meta-training then takes a window of it each outer step, and
        `data` is a window that everything else draws from.
    quadratic
        The noisy quadratic that the task is, where it is one: its eigenvalues and, for `linear`,
        its meta-gradient are then computed without sampling.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> def noisy(phi, key, batch):
    ...     return 0.5 * jnp.sum((phi - jax.random.normal(key, (2,))) ** 2)
    >>> task = Task("quadratic", init=lambda key: jnp.ones(2), loss=noisy)
    >>> task.sample(jax.random.key(0), task.data)
    ()
    """

    name: str
    init: Callable[[jax.Array], Params]
    loss: Callable[[Params, jax.Array, Batch], jax.Array]
    data: Any = field(default=(), repr=False)
    batch_size: int = 1
    loss_ceiling: float = float("inf")
    normalize: Callable[[jax.Array], jax.Array] | None = None
    stream: Windows | None = field(default=None, repr=False)
    quadratic: NoisyQuadratic | None = field(default=None, repr=False)

    @property
    def examples(self) -> int:
        """The number of examples in `data`; 1 where there is none."""
        leaves = jax.tree.leaves(self.data)
        return int(leaves[0].shape[0]) if leaves else 1

    def indices(self, key: jax.Array, steps: int) -> jax.Array:
        """Uniform example indices for `steps` batches, with replacement, int32 ``[steps,
        batch_size]``.
        """
        return jax.random.randint(key, (steps, self.batch_size), 0, self.examples)

    def sample(self, key: jax.Array, data: Any) -> Batch:
        """One batch of `data`."""
        return take(data, self.indices(key, 1)[0])


def take(data: Any, indices: jax.Array) -> Batch:
    """The examples at `indices`, which must lie inside (they are not checked on the device)."""
    return jax.tree.map(lambda x: x.at[indices].get(mode="promise_in_bounds"), data)
