"""The loss summed over T steps in O(log T) products, each doubling pairing the steps that are left.

For x' = F x + noise of covariance Q, the loss <W, x x^T> and Pi_{t+1} = F Pi_t F^T + Q, the total
f_T(F, Q, W, Pi_1) = sum_{t=1..T} <W, Pi_t> obeys, with LW = F^T W F,

    pairing      f_2n(F, Q, W, Pi) = n <W, Q> + f_n(F^2, Q + F Q F^T, W + LW, Pi)
    one step     f_n(F, Q, W, Pi)  = <W, Pi> + f_{n-1}(F, Q, W, F Pi F^T + Q)
    the end      f_n(F, Q, W, Pi) = <W + LW, Pi> + (n-1) <W, Q> + (n-2) <LW, Q>
                 for n = 2, and for every n >= 2 once F^2 vanishes.

Nothing is inverted or subtracted, so no eigenvalue of F is special. Every array travels with a
power of two.
"""

from __future__ import annotations

from typing import NamedTuple

from nqm.moments.powers import (
    Scaled,
    add,
    congruence,
    inner,
    is_negligible,
    product,
    scaled,
    times,
)
from nqm.namespace import Namespace


class System(NamedTuple):
    """F, Q and W; one of its steps is `stride` steps of the original."""

    matrix: Scaled
    noise: Scaled
    weight: Scaled
    stride: int


class Sum(NamedTuple):
    """A total so far, and the second moment from which `left` steps remain to be summed."""

    left: int
    moment: Scaled
    total: Scaled


class Total(NamedTuple):
    """The sum of the losses, and the number of steps that its rounding grew through."""

    loss: Scaled
    steps: int


def total_losses(
    xp: Namespace, system: System, moment: Scaled, horizons: list[int]
) -> dict[int, Total]:
    """f_T for every T of `horizons`, from one ascent; `moment` is Pi_1.

    Examples
    --------
    The powers of 1/4 add up to 4/3:

    >>> import numpy as np
    >>> one = Scaled(np.eye(1), 0.0)
    >>> system = System(Scaled(np.eye(1) / 2, 0.0), times(0, one), one, 1)
    >>> found = total_losses(np, system, one, [100])
    >>> bool(np.isclose(found[100].loss.value(np), 4 / 3, rtol=1e-15))
    True
    """
    zero = scaled(xp, 0 * xp.sum(moment.hat))
    open_, found = {T: Sum(T, moment, zero) for T in set(horizons)}, {}
    while True:
        moved = congruence(system.weight, system.matrix)
        floor = inner(xp, system.weight, system.noise)
        settled = is_negligible(system.matrix, -18)  # then ||F^2||^2 < 2^-72 is what is left out
        for T, run in list(open_.items()):
            if run.left % 2 and run.left > 2 and not settled:
                run = _stepped(xp, system, run)
            if run.left <= 2 or settled:
                loss = _ended(xp, system, moved, run)
                found[T] = Total(loss, min(T, 2 * system.stride) if settled else T)
                del open_[T]
            else:
                half = run.left // 2
                open_[T] = Sum(half, run.moment, add(xp, run.total, times(half, floor)))
        if not open_:
            return found
        system = _paired(xp, system, moved)


def _paired(xp: Namespace, system: System, moved: Scaled) -> System:
    F, Q, W, stride = system
    noise = add(xp, Q, congruence(Q, _transposed(F)))
    return System(product(xp, F, F), noise, add(xp, W, moved), 2 * stride)


def _stepped(xp: Namespace, system: System, run: Sum) -> Sum:
    F, Q, W, _ = system
    moment = add(xp, congruence(run.moment, _transposed(F)), Q)
    return Sum(run.left - 1, moment, add(xp, run.total, inner(xp, W, run.moment)))


def _ended(xp: Namespace, system: System, moved: Scaled, run: Sum) -> Scaled:
    _, Q, W, _ = system
    total = add(xp, run.total, inner(xp, W, run.moment))
    if run.left == 1:
        return total
    per_step = times(run.left - 1, inner(xp, W, Q))
    later = times(run.left - 2, inner(xp, moved, Q))
    return add(xp, total, inner(xp, moved, run.moment), per_step, later)


def _transposed(array: Scaled) -> Scaled:
    return Scaled(array.hat.T, array.exponent)
