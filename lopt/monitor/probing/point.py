"""The spectra at one state of an inner problem: factorized on the device, resolved on the host."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from lopt.arrays import entry, flat_vector
from lopt.keys import random_key
from lopt.monitor.derivatives.joint import hessian_operator, joint_operator
from lopt.monitor.derivatives.step import Batch, Loss, Params, State
from lopt.monitor.krylov.arnoldi import KrylovFactorization, arnoldi
from lopt.monitor.krylov.eigenvalues import (
    EigenEstimate,
    dense_eigenvalues,
    largest,
    ritz_values,
)
from lopt.monitor.krylov.settings import SpectrumSettings
from lopt.monitor.probing.verdict import Judgement, VerdictRule, judge
from nqm.json_values import json_value

__all__ = ["PointFactorization", "PointSpectrum", "ProbeSettings", "factorize", "resolve"]


@dataclass(frozen=True)
class ProbeSettings(SpectrumSettings):
    """How much work a probe does at one state, and when an eigenvalue counts as converged.

    Attributes
    ----------
    vectors : int
        Krylov vectors for the joint map, for the map at a frozen hidden state, and for the
        transpose of each, without which the errors could not be trusted.
    hessian_vectors : int
        Krylov vectors for the Hessian.
    sweeps : int
        Balancing sweeps of the joint map, each of which costs two products; may be 0.
    tolerance : float
        The largest error of a converged eigenvalue, relative to the largest modulus.
    seed : int
        The seed of the start vectors, which are the same at every call.
    dense_up_to : int
        Up to this many coordinates of parameters and hidden state together, the matrices
        themselves and all of their eigenvalues are computed, exact up to the rounding of float32.
    rule : VerdictRule

    Raises
    ------
    ValueError
        If a count is too small or the tolerance is not positive.
    """

    vectors: int = 40
    hessian_vectors: int = 24
    sweeps: int = 8
    tolerance: float = 1e-2
    seed: int = 0
    dense_up_to: int = 300
    rule: VerdictRule = field(default_factory=VerdictRule)

    @property
    def products(self) -> int:
        """Linearized steps, their transposes and Hessian products that `factorize` takes."""
        return 5 * self.vectors + 2 * self.sweeps + self.hessian_vectors


class PointFactorization(NamedTuple):
    """What `factorize` leaves for the host: Krylov factorizations and the curvature of modes.

    `right` and `left` hold two factorizations each, of the joint map (0) and of the frozen map (1)
    and of their transposes. `curvature` is B H B^T and `gram` B B^T, (m, m), where the rows of B
    are the frozen map's basis in the coordinates of the parameters.
    """

    right: KrylovFactorization
    left: KrylovFactorization
    hessian: KrylovFactorization
    curvature: Array
    gram: Array
    held: Array
    loss: Array


class PointMatrices(NamedTuple):
    """What `factorize` leaves for the host of a small problem: D^-1 J D of the joint map, with the
    diagonal of D, and H.
    """

    joint: Array
    scale: Array
    hessian: Array
    held: Array
    loss: Array


def factorize(
    transformation: optax.GradientTransformation,
    loss: Loss,
    params: Params,
    state: State,
    batch: Batch,
    settings: ProbeSettings,
) -> PointFactorization | PointMatrices:
    """Krylov factorizations of the joint map, of A = d params'/d params, and of H; jittable.

    Of a problem so small as `settings` says, the matrices themselves. Otherwise it costs
    2 vectors + sweeps products with the linearized step, as many with its transpose, and vectors +
    hessian_vectors with the Hessian. `resolve` turns the result into numbers.
    """
    flat, unravel = ravel_pytree(params)
    apply_hessian = hessian_operator(loss, params, batch)

    def hessian(vector: Array) -> Array:
        return flat_vector(apply_hessian(unravel(vector)))

    operator = joint_operator(transformation, loss, params, state, batch, sweeps=settings.sweeps)
    (n_joint,), (n,) = operator.scale.shape, flat.shape
    if n_joint <= settings.dense_up_to:
        return PointMatrices(
            joint=jax.vmap(operator.apply, out_axes=1)(
                jnp.eye(n_joint, dtype=operator.scale.dtype)
            ),
            scale=operator.scale,
            hessian=jax.vmap(hessian, out_axes=1)(jnp.eye(n, dtype=flat.dtype)),
            held=jnp.sum(operator.held),
            loss=loss(params, batch),
        )
    # The frozen map is the joint map between the parameters alone: one loop serves both.
    parts = jnp.stack([jnp.ones(n_joint, bool), jnp.arange(n_joint) < n])
    key, hessian_key = jax.random.split(random_key(settings.seed))
    start = jax.random.normal(key, (n_joint,), operator.scale.dtype)

    def factor(apply: Callable[[Array], Array]) -> KrylovFactorization:
        def one(part: Array) -> KrylovFactorization:
            masked = lambda v: jnp.where(part, apply(jnp.where(part, v, 0.0)), 0.0)  # noqa: E731
            found = arnoldi(masked, jnp.where(part, start, 0.0), min(settings.vectors, n_joint))
            return found._replace(dimension=jnp.sum(part))

        return jax.lax.map(one, parts)

    right = factor(operator.apply)
    modes = (right.basis[1] * operator.scale)[:, :n].astype(flat.dtype)
    hessian_start = jax.random.normal(hessian_key, (n,), flat.dtype)
    return PointFactorization(
        right=right,
        left=factor(operator.transpose),
        hessian=arnoldi(hessian, hessian_start, min(settings.hessian_vectors, n)),
        curvature=jax.lax.map(hessian, modes) @ modes.T,
        gram=modes @ modes.T,
        held=jnp.sum(operator.held),
        loss=loss(params, batch),
    )


@dataclass(frozen=True)
class PointSpectrum:
    """The spectra at one state of the inner problem.

    Attributes
    ----------
    inner_step : int
        Steps taken before.
    loss : float
        On the probe's batch.
    joint : EigenEstimate
        Of d(params', state')/d(params, state). Residuals are in balanced coordinates.
    frozen : EigenEstimate
        Of A = d params'/d params at the incoming hidden state: 1 - eigenvalues of M H, so
        `preconditioned_sharpness` is max Re(1 - lambda).
    hessian : EigenEstimate
        Extreme eigenvalues of the loss Hessian; errors are bounds.
    curvatures : ndarray
        Re x^H H x / x^H x along each eigenvector x of the frozen map.
    held : int
        Coordinates held because they could not be differentiated.
    judgement : Judgement
    """

    inner_step: int
    loss: float
    joint: EigenEstimate
    frozen: EigenEstimate
    hessian: EigenEstimate
    curvatures: np.ndarray
    held: int
    judgement: Judgement

    @property
    def sharpness(self) -> float:
        """The largest converged Hessian eigenvalue, NaN if there is none."""
        return largest(self.hessian.values[self.hessian.converged])

    @property
    def sharpness_bound(self) -> float:
        """What no Hessian eigenvalue exceeds, missed ones included, see `Enclosure`."""
        return self.hessian.largest_bound

    @property
    def preconditioned_sharpness(self) -> float:
        """max Re(1 - lambda) of the converged frozen eigenvalues; gradient descent's edge is 2."""
        return largest(1.0 - self.frozen.values[self.frozen.converged].real)

    def to_json(self) -> dict[str, Any]:
        """Every number, as plain Python; None for NaN."""
        return {
            "inner_step": self.inner_step,
            "loss": json_value(self.loss),
            "sharpness": json_value(self.sharpness),
            "sharpness_bound": json_value(self.sharpness_bound),
            "preconditioned_sharpness": json_value(self.preconditioned_sharpness),
            **self.judgement.to_json(),
            "held": self.held,
            "curvatures": json_value(self.curvatures),
            "joint": self.joint.to_json(),
            "frozen": self.frozen.to_json(),
            "hessian": self.hessian.to_json(),
        }

    def text(self) -> str:
        """One line for a person."""
        shown = {
            "loss": self.loss,
            "sharpness": self.sharpness,
            "largest converged": self.judgement.radius,
            "bound": self.judgement.bound,
            "oscillatory radius": self.judgement.oscillatory_radius,
        }
        numbers = ", ".join(f"{k} {v:.4g}" for k, v in shown.items() if v == v)
        why = f" ({self.judgement.direction})" if self.judgement.direction else ""
        return f"step {self.inner_step}: {self.judgement.verdict}{why}; {numbers}"


def resolve(
    point: PointFactorization | PointMatrices,
    settings: ProbeSettings,
    *,
    inner_step: int = 0,
    loss_ceiling: float = float("inf"),
) -> PointSpectrum:
    """The eigenvalues, residuals and verdict of one factorized state (host, float64)."""
    if isinstance(point, PointMatrices):
        parts = _dense_parts(point, settings)
    else:
        parts = _krylov_parts(point, settings)
    held, loss = int(point.held), float(point.loss)
    judgement = judge(parts.joint, parts.frozen, parts.curvatures, settings.rule)
    if held and judgement.verdict in ("stable", "marginal"):
        judgement = replace(judgement, verdict="unresolved", direction="")
    if not loss <= loss_ceiling or not np.isfinite(loss):
        judgement = Judgement("diverged")
    return PointSpectrum(
        inner_step=inner_step,
        loss=loss,
        **parts._asdict(),
        held=held,
        judgement=judgement,
    )


class _Parts(NamedTuple):
    """The fields of a `PointSpectrum` that its matrices decide."""

    joint: EigenEstimate
    frozen: EigenEstimate
    hessian: EigenEstimate
    curvatures: np.ndarray


def _krylov_parts(point: PointFactorization, settings: ProbeSettings) -> _Parts:
    joint, frozen = (
        ritz_values(
            entry(point.right, i),
            left=entry(point.left, i),
            tolerance=settings.tolerance,
        )
        for i in (0, 1)
    )
    hessian = ritz_values(point.hessian, symmetric=True, tolerance=settings.tolerance)
    return _Parts(joint, frozen, hessian, mode_curvatures(frozen, point.curvature, point.gram))


def _dense_parts(point: PointMatrices, settings: ProbeSettings) -> _Parts:
    unit, tolerance = float(jnp.finfo(point.joint.dtype).eps), settings.tolerance
    J, H = np.asarray(point.joint, np.float64), np.asarray(point.hessian, np.float64)
    n = H.shape[0]
    joint = dense_eigenvalues(J, unit, tolerance=tolerance)
    frozen = dense_eigenvalues(J[:n, :n], unit, tolerance=tolerance)
    hessian = dense_eigenvalues(H, unit, symmetric=True, tolerance=tolerance)
    D = np.diag(np.asarray(point.scale, np.float64)[:n])
    return _Parts(joint, frozen, hessian, mode_curvatures(frozen, D @ H @ D, D @ D))


def mode_curvatures(frozen: EigenEstimate, curvature: Any, gram: Any) -> np.ndarray:
    """Re x^H H x / x^H x for x = B^T y, y the eigenvectors in the basis that B holds."""
    y, size = frozen.vectors, frozen.vectors.shape[0]
    curvature = np.asarray(curvature, np.float64)[:size, :size]
    gram = np.asarray(gram, np.float64)[:size, :size]
    above = np.real(np.einsum("ik,ij,jk->k", y.conj(), curvature, y))
    below = np.real(np.einsum("ik,ij,jk->k", y.conj(), gram, y))
    return np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
