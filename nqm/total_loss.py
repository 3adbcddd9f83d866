"""The loss summed over T steps in O(log T) products, each doubling pairing the steps that are left.

For x' = F x + noise of covariance Q, the loss <W, x x^T> and Pi_{t+1} = F Pi_t F^T + Q, the total
f_T(F, Q, W, Pi_1) = sum_{t=1..T} <W, Pi_t> obeys, with LW = F^T W F,

    pairing      f_2n(F, Q, W, Pi) = n <W, Q> + f_n(F^2, Q + F Q F^T, W + LW, Pi)
    one step     f_n(F, Q, W, Pi)  = <W, Pi> + f_{n-1}(F, Q, W, F Pi F^T + Q)
    low rank     f_n(Z K, Q, W, Pi) = <W, Pi> + (n-1) <W, Q>
                                      + f_{n-1}(K Z, K Q K^T, Z^T W Z, K Pi K^T)
    the end      f_n(F, Q, W, Pi) = <W + LW, Pi> + (n-1) <W, Q> + (n-2) <LW, Q>
                 for n = 2, and for every n >= 2 once F^2 vanishes.

Nothing is inverted or subtracted, so no eigenvalue of F is special. Every array travels with a
power of two.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import qr

from nqm.doubling import (
    Scaled,
    add,
    congruence,
    inner,
    is_negligible,
    product,
    scaled,
    tamed,
    times,
)
from nqm.namespace import Namespace

SMALLEST_REDUCTION = 64  # states; below, a factorization costs more than it saves
REDUCED_AT = range(9, 1000, 3)  # doublings: a factorization costs nearly two of them


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
    doublings = 0
    while True:
        if doublings in REDUCED_AT:
            system, open_ = _reduced(xp, system, open_)
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
        system, doublings = _paired(xp, system, moved), doublings + 1


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


def _reduced(xp: Namespace, system: System, runs: dict[int, Sum]) -> tuple[System, dict[int, Sum]]:
    """The same totals from fewer states, once some have decayed to rounding (NumPy only)."""
    F, Q, W, stride = system
    size = F.hat.shape[0]
    if not isinstance(F.hat, np.ndarray) or size < SMALLEST_REDUCTION:
        return system, runs
    Z, R, order = qr(F.hat, mode="economic", pivoting=True, check_finite=False)
    pivots = np.abs(np.diag(R))
    most = min(pivots[0], 2.0 ** -float(F.exponent))  # beside one that grows, a frozen state stays
    rank = int(np.sum(pivots > size * np.finfo(float).eps * most))
    if not 0 < rank <= 0.9 * size:
        return system, runs
    base = Z[:, :rank]
    rows = np.empty((rank, size))
    rows[:, order] = R[:rank]
    K = Scaled(rows, F.exponent)
    each = inner(xp, W, Q)
    shorter = {
        T: Sum(
            run.left - 1,
            _across(xp, run.moment, _transposed(K)),
            add(xp, run.total, inner(xp, W, run.moment), times(run.left - 1, each)),
        )
        for T, run in runs.items()
    }
    weight, noise = _across(xp, W, Scaled(base, 0.0)), _across(xp, Q, _transposed(K))
    return System(tamed(xp, rows @ base, F.exponent), noise, weight, stride), shorter


def _across(xp: Namespace, moment: Scaled, factor: Scaled) -> Scaled:
    return tamed(xp, *congruence(moment, factor))


def _transposed(array: Scaled) -> Scaled:
    return Scaled(array.hat.T, array.exponent)
