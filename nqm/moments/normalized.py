"""Where a step of fixed root mean square settles: the limit of SGD whose step follows its gradient.

Letters: phi' = phi - eta g/rms(g), g = H (phi - xi); h_i and s_i, the eigenvalues of H and the
noise's variance along their eigenvectors; alpha = eta/rms(g), the step in effect.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nqm import validate
from nqm.moments.loss import Quadratic, checked_model
from nqm.validate import Array

# Halvings of an interval that is at most 2/h_max wide: more digits than a float64 has.
HALVINGS = 100
# Below it 2 - alpha h is rounding, and the variance follows from the mean square of the gradient.
EDGE = 1e-8


class NormalizedLimit(NamedTuple):
    """Where SGD with a normalized gradient settles.

    Attributes
    ----------
    loss : float
        The limit of 1/2 E (phi - xi)^T H (phi - xi).
    excess : float
        1/2 tr(H Cov(phi)), by which it exceeds the loss of a phi that stands at the minimum.
    step : float
        alpha = eta/rms(g), the step in effect: never above 2/h_max.

    Examples
    --------
    >>> from nqm import NoisyQuadratic, NormalizedLimit, normalized_limit
    >>> limit = normalized_limit(NoisyQuadratic([[4.0]]), 0.1)
    >>> isinstance(limit, NormalizedLimit), limit.step
    (True, 0.5)
    """

    loss: float
    excess: float
    step: float


def normalized_limit(model: Quadratic, step: float) -> NormalizedLimit:
    r"""The loss that phi' = phi - eta g/rms(g) settles to, with rms(g) at its limit.

    SGD with the step alpha has the variances :math:`v_i = \alpha h_i s_i/(2 - \alpha h_i)`, and its
    gradient the mean square :math:`\frac{1}{N} \sum_i 2 h_i^2 s_i/(2 - \alpha h_i)`. The step in
    effect is the one with :math:`\alpha^2 \mathrm{rms}(g)^2 = \eta^2`. The left side rises with
    alpha to infinity at 2/h_max, so that there is one for every eta: a normalized step is never
    unstable, but settles further away. Without noise along the eigenvector of h_max, phi alternates
    on it at alpha = 2/h_max.

    The excess loss is proportional to eta while the noise of the gradient is larger than what the
    step makes of it, as with :math:`\eta h N \sqrt{s}/4` for H = h I and S = s I, and to eta
    squared without noise, where it is :math:`N h_\mathrm{max} \eta^2/8`.

    Parameters
    ----------
    model : NoisyQuadratic
        Or any object with its four arrays. Those of the start have no effect.
    step : float
        eta > 0, the root mean square of a step over all N coordinates.

    Returns
    -------
    NormalizedLimit
        To leading order in 1/N: rms(g) varies about its limit. For S = s I, H = h I and small eta
        the excess is too small by the factor :math:`E \chi_N/\sqrt{N}`, which is 0.80 for N = 1 and
        1 - 1/(4 N) for large N.

    Raises
    ------
    ValueError
        For malformed arguments.

    Examples
    --------
    Without noise the loss grows with the square of the step, in much noise with the step itself:

    >>> import numpy as np
    >>> from nqm import NoisyQuadratic, normalized_limit
    >>> H = np.diag([1.0, 2.0])
    >>> [round(normalized_limit(NoisyQuadratic(H), eta).excess, 12) for eta in (0.1, 0.2)]
    [0.005, 0.02]
    >>> noisy = NoisyQuadratic(H, 100.0 * np.eye(2))
    >>> ratio = normalized_limit(noisy, 2e-4).excess / normalized_limit(noisy, 1e-4).excess
    >>> round(ratio, 3)
    2.0
    """
    eta = validate.scalar("step", step)
    if not eta > 0.0:
        raise ValueError(f"step must be positive; it is {eta:g}. Pass e.g. 1e-3.")
    model = checked_model(model)
    values, vectors = np.linalg.eigh(model.hessian)
    inside = values > validate.rounding(values)
    h, basis = values[inside], vectors[:, inside]
    s = np.maximum(np.sum(basis * (model.noise_covariance @ basis), axis=0), 0.0)
    power = eta * eta * len(values)
    alpha = _step_in_effect(h, s, power)
    gap = 2.0 - alpha * h
    apart = gap > EDGE
    v = np.where(apart, alpha * h * s / np.where(apart, gap, 1.0), 0.0)
    if not apart[-1]:  # what the others lack of the gradient's mean square is the last one's
        rest = power / alpha**2 - float(np.sum(h * h * (v + s)))
        v[-1] += max(rest, 0.0) / h[-1] ** 2
    excess = float(np.sum(h * v)) / 2
    return NormalizedLimit(excess + float(np.sum(h * s)) / 2, excess, alpha)


def _step_in_effect(h: Array, s: Array, target: float) -> float:
    """alpha in (0, 2/h_max] with alpha^2 sum 2 h_i^2 s_i/(2 - alpha h_i) = target, or the end."""
    low, high = 0.0, 2.0 / float(h[-1])
    for _ in range(HALVINGS):
        middle = low + (high - low) / 2
        gap = np.maximum(2.0 - middle * h, validate.EPS)
        if 2.0 * float(np.sum((middle * h) ** 2 * s / gap)) < target:
            low = middle
        else:
            high = middle
    return high
