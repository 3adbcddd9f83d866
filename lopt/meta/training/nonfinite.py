"""Meta-gradients that are not finite: they are counted, and ten in a row are explained."""

from typing import Any

import numpy as np
import optax

# One more and `optax.apply_if_finite` would apply the update all the same.
MOST_IN_A_ROW = 10


class Streak:
    """Outer steps in a row whose meta-gradient was not finite, each of which was skipped.

    Parameters
    ----------
    meta_optimizer_state
        Of `optax.apply_if_finite`, so that a resumed run goes on counting.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> state = optax.apply_if_finite(optax.sgd(0.1), MOST_IN_A_ROW).init(jnp.zeros(1))
    >>> streak = Streak(state)
    >>> for skipped in (1, 2):
    ...     streak.add(skipped, np.array([[-1, -1], [7, -1]]))
    >>> streak.length, streak.particles()
    (2, 'pair 1 (sign +) at inner step 7 of its episode; 1 of 4 particles')
    >>> streak.add(2, None)
    >>> streak.length
    0
    """

    def __init__(self, meta_optimizer_state: Any) -> None:
        self.length = int(optax.tree_utils.tree_get(meta_optimizer_state, "notfinite_count"))
        self.skipped = int(optax.tree_utils.tree_get(meta_optimizer_state, "total_notfinite"))
        self._first: np.ndarray | None = None
        self._task = ""

    def add(self, skipped: int, nonfinite_step: Any = None) -> None:
        """Record an outer step: the count of skipped ones so far, and, where the estimator tells,
        int32 ``[pairs, 2]``: the inner step of its episode at which each particle's loss first was
        not finite, -1 for none. Of several tasks the latter is a dictionary by name.
        """
        self.length = self.length + 1 if skipped > self.skipped else 0
        self.skipped = skipped
        self._task = ""
        if isinstance(nonfinite_step, dict):
            named = nonfinite_step.items()
            found = [name for name, first in named if np.any(np.asarray(first) >= 0)]
            self._task = (found or [*nonfinite_step])[0]
            nonfinite_step = nonfinite_step[self._task]
        self._first = None if nonfinite_step is None else np.asarray(nonfinite_step)

    @property
    def is_over(self) -> bool:
        """Whether the run must stop."""
        return self.length >= MOST_IN_A_ROW

    def particles(self) -> str:
        """Which particles have a loss that is not finite, and since when; "" where not told."""
        if self._first is None:
            return ""
        found = np.argwhere(self._first >= 0)
        if not len(found):
            return "every loss is finite, so the overflow is in the estimate itself"
        pair, sign = min(found.tolist(), key=lambda at: self._first[tuple(at)])  # type: ignore[index]
        of_task = f" of {self._task}" if self._task else ""
        return (
            f"pair {pair}{of_task} (sign {'+-'[sign]}) at inner step {self._first[pair, sign]} of "
            f"its episode; {len(found)} of {self._first.size} particles"
        )
