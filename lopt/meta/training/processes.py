"""One run in several processes: what they share, what they agree on, and which of them writes.

Every process runs the same program on its own devices. The first one alone touches the run
directory; the others get from it what they need. A step needs one reduction of the meta-gradient
over all devices (`Trainer`), and the processes agree once a step on whether to stop.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding

T = TypeVar("T")
# How long the others go on after one has died, at most: until then they wait for it.
HEARTBEAT_SECONDS = 20


def join(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Join the processes of a run; without arguments as the cluster says (Slurm, MPI, TPU).

    Parameters
    ----------
    coordinator
        ``HOST:PORT`` of the first process, which serves there.
    processes, process
        Their number, and the index of this one from 0.

    Raises
    ------
    ValueError
        Where JAX cannot tell which processes there are, or does not reach them.
    """
    try:
        jax.distributed.initialize(
            coordinator, processes, process, heartbeat_timeout_seconds=HEARTBEAT_SECONDS
        )
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"the processes cannot be joined ({str(error).splitlines()[0]}). Give --coordinator "
            "HOST:PORT, --processes N and --process I, or launch them by Slurm or MPI."
        ) from None


def several() -> bool:
    """Whether the run has more than this process."""
    return jax.process_count() > 1


def writes() -> bool:
    """Whether this process is the one that writes the run directory."""
    return jax.process_index() == 0


def place(tree: Any, sharding: NamedSharding) -> Any:
    """Place arrays, equal in every process, on the devices of all processes."""
    if not several():
        return jax.device_put(tree, sharding)

    def one(x: Any) -> jax.Array:
        values = np.asarray(x)
        return jax.make_array_from_callback(values.shape, sharding, lambda part: values[part])

    return jax.tree.map(one, tree)


def host_copy(tree: Any) -> Any:
    """The whole of every array as NumPy arrays that share no memory with the devices', which the
    next outer step overwrites; every process has to ask.
    """

    def one(x: Any) -> np.ndarray:
        whole = not isinstance(x, jax.Array) or x.is_fully_addressable or x.is_fully_replicated
        if x.size and not whole:  # gloo cannot gather nothing
            return np.asarray(multihost_utils.process_allgather(x, tiled=True))
        return np.array(x, copy=True) if x.size else np.zeros(x.shape, x.dtype)

    return jax.tree.map(one, tree)


def any_of(flag: bool) -> bool:
    """Whether the flag is set in any process; every process must call this."""
    if not several():
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def first_does(do: Callable[[], T], otherwise: T) -> T:
    """What `do` returns in the first process, in all of them; `otherwise` gives its form.

    `do` returns a tree of numbers and arrays. Where it raises, every process does: the first one
    the error itself.
    """
    if not several():
        return do()
    result, error = otherwise, None
    if writes():
        try:
            result = do()
        except Exception as caught:
            error = caught
    if any_of(error is not None):
        raise error or ValueError("the first process of the run cannot begin; it says why.")
    leaves, structure = jax.tree.flatten(result)
    full = [x for x in leaves if np.size(x)]
    sent = iter(multihost_utils.broadcast_one_to_all(full) if full else ())
    return jax.tree.unflatten(structure, [next(sent) if np.size(x) else x for x in leaves])
