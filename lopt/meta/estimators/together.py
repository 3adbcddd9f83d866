"""How many runs of inner training share one program, and how many follow each other."""

import math
from typing import Any
from weakref import WeakKeyDictionary

import jax

from lopt.keys import random_key
from lopt.programs import equations
from lopt.tasks.task import Task

# What runs that share a program may hold together: it still fits into a core's part of the caches.
CACHED = 4 * 2**20
# What tracing a task has found: a trainer asks before it compiles and again while it does.
_LARGEST: WeakKeyDictionary[Task, int] = WeakKeyDictionary()


def runs_at_once(state: Any, task: Task) -> int:
    """How many of the runs of `task`, over which the leading axis of `state` goes, run together:
    all of them on an accelerator; on a CPU a divisor of their number, so many that what they hold
    from one inner step to the next and the largest arrays of their gradients have at most `CACHED`
    bytes.

    A run may be a pair of particles.
    """
    leaves = jax.tree.leaves(state)
    count = int(leaves[0].shape[0])
    if count == 1 or jax.default_backend() != "cpu":
        return count
    held = sum(math.prod(x.shape) * x.dtype.itemsize for x in leaves)
    most = CACHED * count // max(1, held)
    if most > 1:
        most = CACHED * count // max(1, held + count * largest_array(task))
    return max(k for k in range(1, count + 1) if count % k == 0 and k <= max(1, most))


def largest_array(task: Task) -> int:
    """The bytes of the largest array that loss and gradient of one batch compute: in a ConvNet on
    small images it is larger than all that an optimizer holds.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> bowl = Task("bowl", lambda key: jnp.ones(9), lambda phi, key, batch: jnp.sum(phi**2) / 2)
    >>> largest_array(bowl)
    36
    """
    if task in _LARGEST:
        return _LARGEST[task]
    key = random_key(0)

    def gradient(key: jax.Array, data: Any) -> Any:
        one = task.member(task.draw(key))
        return one.value_and_grad(one.init(key), key, one.sample(key, data))

    data = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), task.data)
    made = [v.aval for e in equations(jax.make_jaxpr(gradient)(key, data)) for v in e.outvars]
    arrays = [x for x in made if hasattr(x, "shape") and hasattr(x.dtype, "itemsize")]
    sizes = (math.prod(x.shape) * x.dtype.itemsize for x in arrays)
    return _LARGEST.setdefault(task, max(sizes, default=0))
