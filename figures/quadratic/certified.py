"""The nominal steps that a condition certifies, found from its margin."""

from collections.abc import Callable

from scipy.optimize import brentq, minimize_scalar

from nqm import Interval

ROUNDING = 1e-12


def certified_steps(margin: Callable[[float], float], low: float, high: float) -> Interval | None:
    """Return all alpha in [low, high] with margin(alpha) >= 0, or None, for a concave margin.

    A condition that bounds a norm of a matrix which is affine in alpha has a concave margin.

    Examples
    --------
    >>> found = certified_steps(lambda a: 1 - abs(a - 2), 0.0, 10.0)
    >>> round(found.lower, 9), round(found.upper, 9)
    (1.0, 3.0)
    >>> certified_steps(lambda a: -1 - a**2, 0.0, 10.0) is None
    True
    """
    best = minimize_scalar(
        lambda a: -margin(a), bounds=(low, high), method="bounded", options={"xatol": 1e-10}
    )
    top = float(best.x)
    if margin(top) < 0:
        return None

    def end(outside: float) -> float:
        if margin(outside) >= 0:
            return outside
        return float(brentq(margin, top, outside, xtol=ROUNDING))

    return Interval(end(low), end(high))
