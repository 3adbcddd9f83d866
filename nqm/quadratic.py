"""The noisy quadratic model: Hessian, noise and initial state, validated once."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from nqm import validate
from nqm.validate import Array


def _frozen(array: Array) -> Array:
    array.setflags(write=False)  # every array here is a copy already
    return array


@dataclass(frozen=True, eq=False)
class NoisyQuadratic:
    """The loss 1/2 (phi - xi)^T H (phi - xi) with xi ~ N(0, S), phi_0 ~ N(m, S0).

    Equation (4) of the paper. The noise sits on the minimum; `with_gradient_noise` takes
    the other convention, in which the covariance S_g = H S H is that of the gradient. Every
    array is checked, copied to float64 and made read-only.

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive semidefinite and not zero. An asymmetry below 1e-12 of the largest
        entry is averaged away. Eigenvalues below rounding count as zero: see `rank`.
    noise_covariance : (N, N) array, optional
        S, symmetric positive semidefinite, in units of phi squared. Default: no noise.
    initial_mean : (N,) array, optional
        m. Default: zero.
    initial_covariance : (N, N) array, optional
        S0, symmetric positive semidefinite. Default: zero, a fixed phi_0 = m.

    Raises
    ------
    ValueError
        If an argument has the wrong shape, is not finite, not symmetric or indefinite.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import NoisyQuadratic
    >>> model = NoisyQuadratic([[2.0, 1.0], [1.0, 2.0]], np.eye(2))
    >>> bool(np.allclose(model.hessian_eigenvalues, [1, 3]))
    True
    >>> H, S = model.hessian, model.noise_covariance
    >>> bool(np.allclose(model.gradient_noise_covariance, H @ S @ H))
    True
    """

    hessian: Array
    noise_covariance: Array = None  # type: ignore[assignment]
    initial_mean: Array = None  # type: ignore[assignment]
    initial_covariance: Array = None  # type: ignore[assignment]
    _hessian_ends: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        hessian = validate.symmetric("hessian", self.hessian)
        ends = validate.extreme_eigenvalues(hessian)
        validate.check_semidefinite("hessian", ends, hessian.shape[0])
        if not ends[-1] > 1 / validate.LARGEST:
            raise ValueError(
                "hessian must not be zero; its largest eigenvalue is "
                f"{ends[-1]:.6g}, not above {1 / validate.LARGEST:g}. Change the units."
            )
        n = hessian.shape[0]
        noise, mean, covariance = self.noise_covariance, self.initial_mean, self.initial_covariance
        values = {
            "hessian": hessian,
            "_hessian_ends": ends,
            "noise_covariance": np.zeros((n, n))
            if noise is None
            else validate.semidefinite("noise_covariance", noise, n),
            "initial_mean": np.zeros(n)
            if mean is None
            else validate.vector("initial_mean", mean, n),
            "initial_covariance": np.zeros((n, n))
            if covariance is None
            else validate.semidefinite("initial_covariance", covariance, n),
        }
        for name, value in values.items():
            object.__setattr__(self, name, _frozen(value))

    @classmethod
    def with_gradient_noise(
        cls,
        hessian: ArrayLike,
        gradient_noise_covariance: ArrayLike,
        initial_mean: ArrayLike | None = None,
        initial_covariance: ArrayLike | None = None,
    ) -> NoisyQuadratic:
        """The model whose gradient H phi + e has noise e ~ N(0, S_g): S = H^-1 S_g H^-1.

        Footnote 1 of the paper. Where H is singular, H^-1 is the pseudoinverse and S_g must lie
        in the range of H.

        Parameters
        ----------
        hessian, initial_mean, initial_covariance
            As for the class.
        gradient_noise_covariance : (N, N) array
            S_g, symmetric positive semidefinite.

        Raises
        ------
        ValueError
            As for the class, and if S_g reaches outside the range of H.

        Examples
        --------
        >>> import numpy as np
        >>> from nqm import NoisyQuadratic
        >>> model = NoisyQuadratic.with_gradient_noise([[2.0, 1.0], [1.0, 2.0]], np.eye(2))
        >>> bool(np.allclose(model.gradient_noise_covariance, np.eye(2)))
        True
        """
        bare = cls(hessian)  # type: ignore[arg-type]
        gradient_noise = validate.semidefinite(
            "gradient_noise_covariance", gradient_noise_covariance, bare.dimension
        )
        h, vectors = np.linalg.eigh(bare.hessian)
        inside = h > validate.rounding(h)
        outside = vectors[:, ~inside].T @ gradient_noise @ vectors[:, ~inside]
        leak = float(np.trace(outside)) if outside.size else 0.0
        if leak > 1e-10 * float(np.trace(gradient_noise)):
            raise ValueError(
                "gradient_noise_covariance must lie in the range of the hessian; its trace on the "
                f"null space is {leak:.6g}. Project it, or pass a positive definite hessian."
            )
        root = vectors[:, inside] / h[inside] @ vectors[:, inside].T
        noise = root @ gradient_noise @ root
        return cls(
            hessian,  # type: ignore[arg-type]
            noise / 2 + noise.T / 2,
            initial_mean,  # type: ignore[arg-type]
            initial_covariance,  # type: ignore[arg-type]
        )

    def with_noise(self, noise_covariance: ArrayLike) -> NoisyQuadratic:
        """The same model with another S; what is known of H is kept.

        Parameters
        ----------
        noise_covariance : (N, N) array
            S, symmetric positive semidefinite.

        Raises
        ------
        ValueError
            As for the class.

        Examples
        --------
        >>> from nqm import NoisyQuadratic
        >>> NoisyQuadratic([[2.0]]).with_noise([[3.0]]).noise_covariance.tolist()
        [[3.0]]
        """
        noise = validate.semidefinite("noise_covariance", noise_covariance, self.dimension)
        model = copy.copy(self)
        object.__setattr__(model, "noise_covariance", _frozen(noise))
        return model

    @property
    def dimension(self) -> int:
        """N, the number of parameters."""
        return int(self.hessian.shape[0])

    @cached_property
    def hessian_eigenvalues(self) -> Array:
        """All eigenvalues of H, ascending; (N,)."""
        return _frozen(np.linalg.eigvalsh(self.hessian))

    @property
    def extreme_hessian_eigenvalues(self) -> Array:
        """The smallest and the largest eigenvalue of H; (2,)."""
        return self._hessian_ends

    @cached_property
    def rank(self) -> int:
        """The number of eigenvalues of H above 8 N eps lambda_max(H)."""
        floor = validate.rounding(self._hessian_ends, self.dimension)
        if self._hessian_ends[0] > floor:
            return self.dimension
        return int(np.sum(self.hessian_eigenvalues > floor))

    @property
    def gradient_noise_covariance(self) -> Array:
        """S_g = H S H, the covariance of the gradient's noise."""
        return self.hessian @ self.noise_covariance @ self.hessian

    @property
    def initial_second_moment(self) -> Array:
        """Pi_0 = S0 + m m^T."""
        return self.initial_covariance + np.outer(self.initial_mean, self.initial_mean)
