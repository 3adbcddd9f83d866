"""What is trained in the inner loop: parameters, a loss, and the data that batches are drawn
from.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lopt.tasks.data.stream import Windows
from nqm.quadratic import NoisyQuadratic
from nqm.untrusted import quoted

Params = Any
Batch = Any

# NumPy's letters of objects, texts and times.
NO_NUMBERS = "OSUMm"


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
        A pytree of arrays, of NumPy or JAX, whose leading axis runs over the same examples; ``()``
        where the loss needs no data. It is handed to compiled functions as an argument, never baked
        into them.
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
    estimate
        ``estimate(params, key, batch)`` gives the loss and what inner optimizers take for its
        gradient, as `lopt.tasks.es_gradient` does. None is the derivative of `loss`.
    gather
        ``gather(data, indices)`` makes a batch of drawn indices. None takes the examples at them.
    validation
        Examples like those of `data`, from which no inner step learns: a meta-objective may be
        measured on them (`lopt.tasks.with_validation`). ``()`` for none.

    Raises
    ------
    ValueError
        Where a leaf of `data` is no array of numbers with a leading axis, has no examples or
        another number of them than the first leaf, `batch_size` is no whole number from 1, or
        `loss_ceiling` is NaN. The message names the leaf.

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
    estimate: Callable[[Params, jax.Array, Batch], tuple[jax.Array, Params]] | None = None
    gather: Callable[[Any, jax.Array], Batch] | None = None
    validation: Any = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.batch_size, int | np.integer) or self.batch_size < 1:
            raise ValueError(
                f"batch_size of task {quoted(self.name)} must be a whole number from 1; it is "
                f"{quoted(self.batch_size)}."
            )
        if math.isnan(self.loss_ceiling):
            raise ValueError(f"loss_ceiling of task {quoted(self.name)} must not be nan.")
        _check_data(self.name, self.data, "data")
        _check_data(self.name, self.validation, "validation")

    def draw(self, key: jax.Array) -> Any:
        """Draw what tells a member of a family from the others; a single task has nothing."""
        del key
        return ()

    def member(self, drawn: Any) -> "Task":
        """Return the task that `draw` has chosen: the task itself, unless it is a family."""
        del drawn
        return self

    def value_and_grad(
        self, params: Params, key: jax.Array, batch: Batch
    ) -> tuple[jax.Array, Params]:
        """Return the loss, and the gradient that inner optimizers are given."""
        if self.estimate is None:
            return jax.value_and_grad(self.loss)(params, key, batch)
        return self.estimate(params, key, batch)

    @property
    def examples(self) -> int:
        """The number of examples in `data`; 1 where there is none."""
        return _count(self.data)

    def indices(self, key: jax.Array, steps: int, data: Any = None) -> jax.Array:
        """Uniform example indices for `steps` batches, with replacement, int32 ``[steps,
        batch_size]``; of other data than the task's own where they are given.
        """
        count = self.examples if data is None else _count(data)
        return jax.random.randint(key, (steps, self.batch_size), 0, count, jnp.int32)

    def sample(self, key: jax.Array, data: Any) -> Batch:
        """One batch of `data`."""
        return self.batch(data, self.indices(key, 1)[0])

    def batch(self, data: Any, indices: jax.Array) -> Batch:
        """The batch of the drawn `indices`."""
        return take(data, indices) if self.gather is None else self.gather(data, indices)


def take(data: Any, indices: jax.Array) -> Batch:
    """The examples at `indices`, which must lie inside (they are not checked on the device)."""
    return jax.tree.map(lambda x: jnp.asarray(x).at[indices].get(mode="promise_in_bounds"), data)


def _count(data: Any) -> int:
    leaves = jax.tree.leaves(data)
    return int(leaves[0].shape[0]) if leaves else 1


def _check_data(name: str, data: Any, which: str) -> None:
    """Raise where the leaves are not arrays over the same examples."""
    first: tuple[str, int] | None = None
    for path, leaf in jax.tree_util.tree_leaves_with_path(data):
        place = f"{which}{jax.tree_util.keystr(path)} of task {quoted(name)}"
        dtype, shape = getattr(leaf, "dtype", None), getattr(leaf, "shape", None)
        if dtype is None or shape is None or getattr(dtype, "kind", "") in NO_NUMBERS:
            kind = type(leaf).__name__ if dtype is None else f"an array of {dtype}"
            raise ValueError(f"{place} must be an array of numbers; it is {kind}.")
        if not shape:
            raise ValueError(f"{place} has no axis that runs over examples: it is one number.")
        if not shape[0]:
            raise ValueError(f"{place} has no examples; its shape is {list(shape)}.")
        first = first or (place, shape[0])
        if shape[0] != first[1]:
            raise ValueError(
                f"{place} has {shape[0]} examples, but {first[0]} has {first[1]}: every leading "
                "axis runs over the same examples."
            )
