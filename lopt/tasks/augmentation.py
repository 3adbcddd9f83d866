"""Augmentation of a task for meta-training: the same function in random coordinates."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from lopt.checks import require, require_member
from lopt.tasks.family import TaskFamily
from lopt.tasks.task import Task
from lopt.tasks.wrappers import reparametrized

LEVELS = ("global", "tensor", "parameter")


def augmented(
    task: Task, level: str = "global", smallest: float = 0.01, largest: float = 100.0
) -> TaskFamily:
    """Return the family of a task in random coordinates, for meta-training.

    A member is ``reparametrized(task, scale)`` with a log-uniform scale: the initial parameters
    are divided by it and the loss multiplies it back. The function that a member computes is the
    task's, while the optimizer sees parameters and gradients of other magnitudes.

    Parameters
    ----------
    task
        A task, or a family.
    level
        ``global`` draws one scale for all parameters, ``tensor`` one for each tensor,
        ``parameter`` one for each number.
    smallest, largest
        The bounds of a scale.

    Raises
    ------
    ValueError
        If the level is another, or not ``0 < smallest <= largest < inf``.

    Examples
    --------
    >>> bowl = Task("bowl", lambda key: jnp.ones(2), lambda phi, key, batch: jnp.sum(phi**2) / 2)
    >>> family = augmented(bowl, "tensor")
    >>> drawn = family.draw(jax.random.key(0))
    >>> psi = family.member(drawn).init(jax.random.key(1))
    >>> bool(jnp.allclose(psi, 1 / drawn[1]))
    True
    >>> round(float(family.member(drawn).loss(psi, jax.random.key(2), ())), 5)
    1.0
    """
    require_member("level", level, LEVELS)
    require("smallest", smallest, 0 < smallest < math.inf, "positive and finite")
    require("largest", largest, smallest <= largest < math.inf, f"finite and at least {smallest}")
    low, high = math.log(smallest), math.log(largest)

    def scale_of(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jnp.exp(jax.random.uniform(key, shape, jnp.float32, low, high))

    def scales(key: jax.Array) -> Any:
        if level == "global":
            return scale_of(key, ())
        leaves, structure = jax.tree.flatten(jax.eval_shape(task.init, key))
        drawn = [
            scale_of(k, leaf.shape if level == "parameter" else ())
            for k, leaf in zip(jax.random.split(key, len(leaves)), leaves, strict=True)
        ]
        return jax.tree.unflatten(structure, drawn)

    def distribution(key: jax.Array) -> Any:
        member_key, scale_key = jax.random.split(key)
        return task.draw(member_key), scales(scale_key)

    def make(drawn: Any) -> Task:
        return reparametrized(task.member(drawn[0]), drawn[1])

    single = task.representative if isinstance(task, TaskFamily) else task
    return TaskFamily.around(single, distribution, make)
