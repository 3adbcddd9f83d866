"""The stability of an optimizer along a fixed inner trajectory, in one compiled call."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from lopt.arrays import entry
from lopt.monitor.derivatives.joint import update_map
from lopt.monitor.derivatives.step import Batch, Loss, Params, common_length
from lopt.monitor.probing.point import (
    PointFactorization,
    PointMatrices,
    PointSpectrum,
    ProbeSettings,
    factorize,
    resolve,
)
from lopt.monitor.probing.verdict import SEVERITY

__all__ = ["Probe", "ProbeReport"]

MetaParameters = Any


@dataclass(frozen=True)
class ProbeReport:
    """The spectra along the probe's trajectory and the worst verdict among them.

    Attributes
    ----------
    points : tuple of PointSpectrum
        One for each probed inner step.
    finite_steps : int
        Inner steps taken before the parameters became non-finite.
    """

    points: tuple[PointSpectrum, ...]
    finite_steps: int

    @property
    def worst(self) -> PointSpectrum:
        """The first of the points with the gravest verdict."""
        return max(self.points, key=lambda p: SEVERITY.index(p.judgement.verdict))

    @property
    def verdict(self) -> str:
        """The gravest of the points': stable, marginal, unresolved, unstable, diverged."""
        return self.worst.judgement.verdict

    @property
    def direction(self) -> str:
        """What decided: oscillation, ascent, growth, or nothing."""
        return self.worst.judgement.direction

    def eigenvalues(self) -> list[np.ndarray]:
        """For each point the converged joint eigenvalues, complex: what a plot shows."""
        return [np.asarray(p.joint.values[p.joint.converged], complex) for p in self.points]

    def to_json(self) -> dict[str, Any]:
        """Every number, as plain Python; None for NaN."""
        return {
            "verdict": self.verdict,
            "direction": self.direction,
            "finite_steps": self.finite_steps,
            "points": [point.to_json() for point in self.points],
        }

    def text(self) -> str:
        """A few words for a progress line: the verdict and the number that decided it."""
        if self.verdict == "diverged":
            return f"diverged by inner step {self.worst.inner_step}"
        judgement = self.worst.judgement
        radii = {
            "oscillation": judgement.oscillatory_radius,
            "ascent": judgement.ascent_radius,
            "growth": judgement.growth,
            "radius": judgement.radius,
        }
        why = self.direction or ("oscillation" if radii["oscillation"] >= 0 else "radius")
        shown = f"{why} {radii[why]:.3f}, " if radii[why] == radii[why] else ""
        # Where nothing converged, or a missed eigenvalue may be larger than what is shown.
        if judgement.bound > np.nanmax([1e-3 + judgement.radius, 0.0]):
            shown += f"at most {judgement.bound:.3g}, "
        return f"{self.verdict} ({shown}sharpness {self.worst.sharpness:.3g})"


@dataclass(frozen=True, eq=False)
class Probe:
    """The stability of params' = U(params, state; theta) along one fixed trajectory.

    The transformation built from theta is run from the same parameters over the same batches at
    every call. At the inner steps `steps` the joint map of parameters and hidden state is
    linearized on the fixed `batch`, and its eigenvalues are found (see `joint_operator`,
    `arnoldi`, `VerdictRule`). `measure` is compiled at its first call and serves every theta of
    the same shapes after that.

    Parameters
    ----------
    make_transformation : callable, theta -> optax.GradientTransformation
        Called while tracing; theta may be any pytree of arrays.
    loss : callable, (params, batch) -> scalar
    params : pytree of float arrays
        Where every trajectory starts.
    batches : pytree
        The data of the trajectory, a leading axis for the inner step; step t uses t modulo its
        length.
    batch : pytree
        The data on which stability is measured.
    steps : tuple of int
        Inner steps to look at, increasing.
    settings : ProbeSettings
    loss_ceiling : float, optional
        A loss above it counts as diverged; by default the first loss plus ten times its modulus.
        A network whose units are saturated after an explosion has calm eigenvalues.
    value_and_grad : callable, (params, batch) -> (scalar, pytree), optional
        What the steps of the trajectory take for the loss and its gradient; see `update_map`.

    Raises
    ------
    ValueError
        If `steps` is empty, negative or not increasing, or the batches differ in length.

    Examples
    --------
    >>> probe = Probe(optax.sgd, lambda p, c: jnp.sum(c * p**2) / 2, jnp.ones(3),
    ...               batches=jnp.ones((1, 3)), batch=jnp.array([1.0, 2.0, 4.0]), steps=(5,))
    >>> probe.measure(0.25).verdict, probe.measure(0.75).verdict   # the edge is 2/4
    ('stable', 'unstable')
    """

    make_transformation: Callable[[MetaParameters], optax.GradientTransformation]
    loss: Loss
    params: Params
    batches: Batch
    batch: Batch
    steps: tuple[int, ...]
    settings: ProbeSettings = field(default_factory=ProbeSettings)
    loss_ceiling: float | None = None
    value_and_grad: Callable[[Params, Batch], tuple[Array, Params]] | None = None

    def __post_init__(self) -> None:
        steps = self.steps
        if not steps or steps[0] < 0 or any(a >= b for a, b in pairwise(steps)):
            raise ValueError(
                f"steps must be increasing inner steps from 0 on; got {steps}. Pass e.g. (50, 200)."
            )
        common_length(self.batches, least=1)

    def measure(self, meta_parameters: MetaParameters) -> ProbeReport:
        """The report for one theta: a trajectory, its spectra, a verdict."""
        outcome = self._compiled(meta_parameters, self.params, self.batches, self.batch)
        points, finite_steps, first_loss = jax.device_get(outcome)
        ceiling = self.loss_ceiling
        if ceiling is None:
            ceiling = float(first_loss + 10.0 * abs(first_loss))
        return ProbeReport(
            points=tuple(
                resolve(
                    entry(points, i),
                    self.settings,
                    inner_step=step,
                    loss_ceiling=ceiling,
                )
                for i, step in enumerate(self.steps)
            ),
            finite_steps=int(finite_steps),
        )

    @cached_property
    def _compiled(self) -> Callable[..., Any]:
        return jax.jit(self._run)

    def _run(
        self, meta_parameters: MetaParameters, params: Params, batches: Batch, batch: Batch
    ) -> tuple[PointFactorization | PointMatrices, Array, Array]:
        """Segments of the trajectory, each ended by a factorization: one scan, traced once."""
        transformation = self.make_transformation(meta_parameters)
        length = jax.tree.leaves(batches)[0].shape[0]

        def inner_step(index: Array, carry: tuple) -> tuple:
            params, state, finite = carry
            data = entry(batches, index % length)
            step = update_map(transformation, self.loss, data, self.value_and_grad)
            params, state = step(params, state)
            return params, state, finite + jnp.isfinite(jnp.sum(ravel_pytree(params)[0]))

        def segment(
            carry: tuple, bounds: Array
        ) -> tuple[tuple, PointFactorization | PointMatrices]:
            carry = jax.lax.fori_loop(bounds[0], bounds[1], inner_step, carry)
            params, state, _ = carry
            point = factorize(transformation, self.loss, params, state, batch, self.settings)
            return carry, point

        bounds = jnp.stack([jnp.array((0, *self.steps[:-1])), jnp.array(self.steps)], axis=1)
        carry = (params, transformation.init(params), jnp.array(0))
        (_, _, finite_steps), points = jax.lax.scan(segment, carry, bounds)
        return points, finite_steps, self.loss(params, batch)
