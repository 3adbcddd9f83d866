"""Distributions over tasks of one structure, whose members run in one compiled program."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self

import jax

from lopt.tasks.task import Task


@dataclass(frozen=True, eq=False)
class TaskFamily(Task):
    """A distribution over tasks whose parameters and data have the same structure.

    Meta-training draws a member for each particle wherever an episode begins. All members run in
    one compiled program, so that what distinguishes them must be arrays. As a `Task` the family is
    its representative: whatever needs a single task, such as the monitor or an evaluation, takes
    that one.

    Parameters
    ----------
    distribution : callable, key -> pytree of arrays
        Draws what distinguishes a member.
    make : callable, pytree of arrays -> Task
        The member that was drawn, with the arrays traced. Of it, `init`, `loss`, `estimate` and
        `gather` count; everything else, and the data, is the family's.

    The other fields are those of `Task`; `TaskFamily.around` takes them from a representative.

    Examples
    --------
    Bowls of random curvature:

    >>> import jax.numpy as jnp
    >>> def bowl(curvature):
    ...     return Task("bowl", lambda key: jnp.ones(2),
    ...                 lambda phi, key, batch: curvature * jnp.sum(phi**2) / 2)
    >>> bowls = TaskFamily.around(bowl(1.0), jax.random.exponential, bowl)
    >>> h = bowls.draw(jax.random.key(0))
    >>> bool(bowls.member(h).loss(jnp.ones(2), None, ()) == h)
    True
    >>> float(bowls.loss(jnp.ones(2), None, ()))
    1.0
    """

    distribution: Callable[[jax.Array], Any] = lambda key: ()
    make: Callable[[Any], Task] | None = None

    @classmethod
    def around(
        cls, task: Task, distribution: Callable[[jax.Array], Any], make: Callable[[Any], Task]
    ) -> Self:
        """Return the family with these members and the representative `task`."""
        own = {field.name: getattr(task, field.name) for field in fields(Task)}
        return cls(**{**own, "quadratic": None}, distribution=distribution, make=make)

    @property
    def representative(self) -> Task:
        """The single task that stands for the family."""
        return Task(**{field.name: getattr(self, field.name) for field in fields(Task)})

    def draw(self, key: jax.Array) -> Any:
        """Draw what distinguishes a member."""
        return self.distribution(key)

    def member(self, drawn: Any) -> Task:
        """Return the member that was drawn."""
        return self.representative if self.make is None else self.make(drawn)


def memberwise(task: Task, change: Callable[[Task], Task]) -> Task:
    """Return the changed task; of a family, the family of the changed members."""
    if not isinstance(task, TaskFamily):
        return change(task)
    return TaskFamily.around(
        change(task.representative), task.draw, lambda drawn: change(task.member(drawn))
    )
