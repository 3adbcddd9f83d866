"""Transient growth: how far a stable iteration rises before it falls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from nqm import validate
from nqm.namespace import AnyArray
from nqm.spectra.lyapunov import lyapunov_certificate
from nqm.validate import EPS, Array

POWER_LIMIT = 4096
TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Transient:
    """sup_t |F^t|_2 between two bounds, and the Kreiss constant K <= sup_t |F^t| <= e N K.

    Attributes
    ----------
    peak : float
        The largest |F^t| seen, a lower bound on the supremum; infinite where unstable.
    peak_step : int
        The t of the peak.
    bound : float
        An upper bound: equal to `peak` where some |F^t| <= 1 was reached, otherwise
        sqrt(kappa(X)) of a Lyapunov certificate; infinite where there is none.
    kreiss : float
        sup over |z| > 1 of (|z| - 1) |(z I - F)^-1|, found by search: a lower bound.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import transient_growth
    >>> found = transient_growth(np.array([[0.5, -1000.0], [0.0, 0.5]]))
    >>> 1000 < found.peak < 1001, found.bound == found.peak, found.kreiss <= found.peak
    (True, True, True)
    """

    peak: float
    peak_step: int
    bound: float
    kreiss: float


def transient_growth(matrix: AnyArray) -> Transient:
    """sup_t |F^t|_2 and the Kreiss constant of F.

    (A.14) takes the norm of a power for a power of rho, which holds for normal F only; this is what
    the norms do. With F = J, the update in the norm of the loss (`loss_norm_matrix`), the square of
    the supremum is how many times its initial value the noiseless loss can reach. As soon as |F^k|
    <= 1, the largest of the powers before k is the supremum.

    Parameters
    ----------
    matrix : (K, K) array
        F.

    Returns
    -------
    Transient

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import transient_growth
    >>> found = transient_growth(np.diag([0.9, -0.5]))  # normal: no growth at all
    >>> found.peak, found.peak_step, found.bound
    (1.0, 0, 1.0)
    """
    F = validate.square("matrix", matrix)
    radius = float(np.max(np.abs(np.linalg.eigvals(F))))
    if radius > 1 + 8 * F.shape[0] * EPS:
        return Transient(float("inf"), -1, float("inf"), float("inf"))
    power, peak, peak_step, settled = np.eye(F.shape[0]), 1.0, 0, False
    for step in range(1, POWER_LIMIT + 1):
        power = F @ power
        frobenius = float(np.linalg.norm(power))
        # |.|_2 lies between |.|_F / sqrt(K) and |.|_F: look at it only where it can matter.
        if frobenius > peak or frobenius <= np.sqrt(F.shape[0]):
            norm = float(np.linalg.norm(power, 2))
            if norm > peak:
                peak, peak_step = norm, step
            if norm <= 1.0:
                settled = True
                break
    bound = peak if settled else max(lyapunov_certificate(F).growth_bound, peak)
    return Transient(peak, peak_step, bound, kreiss_constant(F))


def _resolvent_ratio(F: Array, radius: float, angle: float) -> float:
    z = (1 + radius) * np.exp(1j * angle)
    smallest = float(np.linalg.svd(z * np.eye(F.shape[0]) - F, compute_uv=False)[-1])
    return radius / max(smallest, TINY)


def kreiss_constant(matrix: AnyArray) -> float:
    """K = sup over |z| > 1 of (|z| - 1) |(z I - F)^-1|_2, a lower bound by search.

    On a grid of 33 angles and 25 distances from the circle, then by Nelder and Mead from the
    best point. Every value tried is a lower bound of sup_t |F^t| (Kreiss).

    Parameters
    ----------
    matrix : (K, K) array
        F, of spectral radius at most 1.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import kreiss_constant
    >>> bool(np.isclose(kreiss_constant(np.diag([0.5, -0.5])), 1.0, rtol=1e-3))  # normal
    True
    """
    F = validate.square("matrix", matrix)
    # F is real: the upper half circle is enough.
    logs, angles = np.meshgrid(np.linspace(-14, 7, 25), np.linspace(0, np.pi, 33), indexing="ij")
    z = ((1 + np.exp(logs)) * np.exp(1j * angles))[..., None, None]
    smallest = np.linalg.svd(z * np.eye(F.shape[0]) - F, compute_uv=False)[..., -1]
    values = np.exp(logs) / np.maximum(smallest, TINY)
    best = np.unravel_index(np.argmax(values), values.shape)
    found = minimize(
        lambda p: -_resolvent_ratio(F, float(np.exp(min(p[0], 50.0))), p[1]),
        [logs[best], angles[best]],
        method="Nelder-Mead",
        options={"maxiter": 80, "xatol": 1e-4, "fatol": 1e-6},
    )
    return max(float(values[best]), -float(found.fun), 1.0)
