"""The first part of an inspection: the Hessian, the update's diagonal, M H where M is diagonal."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from lopt.arrays import flat_vector
from lopt.keys import random_key
from lopt.monitor.derivatives.joint import random_signs, random_uniform
from lopt.monitor.derivatives.mapped import is_short, mapped
from lopt.monitor.derivatives.step import (
    Batch,
    Cause,
    Loss,
    Params,
    Response,
    State,
    StepDerivative,
    linearize_step,
)
from lopt.monitor.inspection.settings import InspectSettings
from lopt.monitor.inspection.step_sizes import StepSample, sample_steps
from lopt.monitor.krylov.arnoldi import KrylovFactorization, arnoldi
from lopt.monitor.krylov.lanczos import symmetric_factorization
from lopt.monitor.krylov.settings import SpectrumSettings

__all__ = [
    "TILTED",
    "Survey",
    "bare",
    "inverse_sharpness",
    "start_vector",
    "survey",
    "toward",
]

PROBE_ROUNDING = 16.0
# The length of the random part of what `toward` gives.
TILTED = 1.0


class Survey(NamedTuple):
    """What `survey` leaves for the host.

    Attributes
    ----------
    hessian : KrylovFactorization
    product : KrylovFactorization
        Of |M|^(1/2) H |M|^(1/2) sign(M), whose eigenvalues are those of M H; meaningless unless
        `diagonal`.
    overlap : Array, shape (m, m)
        Q sign(M) Q^T for the basis Q of `product`, where `indefinite`. The transpose has sign(M) Q
        as its Krylov basis and the same projection, so no product with it is needed.
    indefinite : Array of bool
        Whether the diagonal M has a negative entry; `product` is of a symmetric operator if not.
    diagonal : Array of bool
        Whether M is diagonal, to the rounding of the probes.
    steps, alpha_spread : StepSample, Array of shape ()
        The diagonal alpha of the nominal part, sampled, and what that part has off its diagonal,
        relatively.
    least, largest : Array, shape ()
        Extremes of M's diagonal.
    inverse_sharpness : Array, shape ()
    held_count : Array, shape ()
        How many coordinates are held, see `JointOperator`.
    still_count : Array, shape ()
        In how many coordinates there is a gradient to which the update does not respond.
    loss : Array, shape ()
    """

    hessian: KrylovFactorization
    product: KrylovFactorization
    overlap: Array
    indefinite: Array
    diagonal: Array
    steps: StepSample
    alpha_spread: Array
    least: Array
    largest: Array
    inverse_sharpness: Array
    held_count: Array
    still_count: Array
    loss: Array


class _Probes(NamedTuple):
    """z * (M z) for random signs z: M's diagonal, exactly where M is diagonal."""

    first: Array
    sum: Array
    deviation: Array

    def add(self, index: Array, value: Array) -> "_Probes":
        first = jnp.where(index == 0, value, self.first)
        deviation = self.deviation + jnp.sum((value - first) ** 2)
        return _Probes(first, self.sum + value, deviation)

    def spread(self, count: Array) -> Array:
        """|d_k - d_0| / (sqrt(2) |d_0|), root mean square over k: the part off the diagonal."""
        size = jnp.sum(self.first**2)
        ratio = self.deviation / (2 * jnp.maximum(count - 1, 1) * jnp.where(size > 0, size, 1.0))
        return jnp.sqrt(ratio)


class _Found(NamedTuple):
    """The probes of the nominal part, where it is told apart, and of all of M; how many there were;
    what is held.
    """

    nominal: _Probes | None
    total: _Probes
    taken: Array
    held: Array

    def add(self, probe: Array, answer: Response) -> "_Found":
        """The probes found so far and one more."""
        total = self.total.add(self.taken, -probe * answer.update)
        nominal = self.nominal
        if nominal is not None:
            nominal = nominal.add(self.taken, probe * (answer.blackbox - answer.update))
        return _Found(nominal, total, self.taken + 1, self.held)

    @property
    def is_diagonal(self) -> Array:
        unit = jnp.finfo(self.total.first.dtype).eps
        return (self.taken > 1) & (self.total.spread(self.taken) <= PROBE_ROUNDING * unit)


def survey(
    transformation: optax.GradientTransformation,
    loss: Loss,
    params: Params,
    state: State,
    batch: Batch,
    settings: InspectSettings,
    blackbox: optax.GradientTransformation | None,
    *,
    whole: bool,
) -> tuple[Survey, Array, Array]:
    """The curvature, and the response of an elementwise update with its M H; jittable.

    Costs hessian_vectors products with the Hessian, 2 (where M is diagonal) to sweeps with the
    derivative of the update, and where M is diagonal another `vectors` with the Hessian. `whole`
    says whether more than M is looked at, so that parameters and state must have derivatives too.
    Besides the survey, which the host reads, the coordinates that are held, bool, ``[n + m]``, and
    those that stand still whatever becomes of their gradient nearby, bool, ``[n]``.
    """
    step = linearize_step(transformation, loss, params, state, batch, blackbox)
    n = step.params.shape[0]
    start, probe_key = start_vector(settings, step.params), random_key(settings.seed + 1)
    tilted = toward(start, step.gradient)
    hessian = symmetric_factorization(
        step.tree_hessian, step.unravel(tilted), min(settings.hessian_vectors, n), TILTED
    )
    probes = _probe(step, settings.sweeps, probe_key, split=blackbox is not None, whole=whole)
    diagonal, held = probes.is_diagonal, probes.held
    nominal = probes.nominal or probes.total
    total = probes.total.sum / probes.taken
    response = jnp.where(held[:n] | ~jnp.isfinite(total), 0.0, total)
    still = (total == 0) & (step.gradient != 0)
    product, overlap = _diagonal_product(step, response, start, settings.vectors, diagonal)
    found = Survey(
        hessian=bare(hessian),
        product=product,
        overlap=overlap,
        indefinite=jnp.any(response < 0),
        diagonal=diagonal,
        steps=sample_steps(nominal.sum / probes.taken, params),
        alpha_spread=nominal.spread(probes.taken),
        least=jnp.min(total),
        largest=jnp.max(total),
        inverse_sharpness=inverse_sharpness(hessian),
        held_count=jnp.sum(held),
        still_count=jnp.sum(still),
        loss=step.loss,
    )
    return found, held, still


def start_vector(settings: SpectrumSettings, like: Array) -> Array:
    """The first Krylov vector of every process over the coordinates of `like`."""
    return random_uniform(random_key(settings.seed), like)


def toward(start: Array, gradient: Array) -> Array:
    """A random start tilted half way to the gradient, which lies near the leading eigenvectors.

    With a million weights that saves some six products; the random half keeps every eigenvector in.
    """
    length = jnp.linalg.norm(gradient)
    return start / jnp.linalg.norm(start) + gradient / jnp.where(length > 0, length, 1.0)


def _probe(step: StepDerivative, sweeps: int, key: Array, *, split: bool, whole: bool) -> _Found:
    """The response to random signs, `sweeps` times; optax adds updates, so M = -du/dg.

    Besides them one in which everything moves where `whole`, for the coordinates without a finite
    derivative. A short derivative is repeated, so that XLA fuses it with its probes and holds
    nothing of it; two probes tell there whether M is diagonal, and more are taken only where it is
    not. A learned optimizer's is compiled once and mapped over all.
    """
    none, rest = jnp.zeros_like(step.params), jnp.zeros_like(step.state)
    n, always = none.shape[0], jnp.array(True)
    moving = random_signs(key, step.scale)
    everything = Cause(moving[:n], moving[:n], moving[n:])
    signs = [random_signs(jax.random.fold_in(key, index), none) for index in range(sweeps)]
    at_once = 2 if is_short(step.forward, everything) else sweeps
    calls = {"everything": (everything, always)} if whole else {}
    calls |= {str(i): (Cause(none, z, rest), always) for i, z in enumerate(signs[:at_once])}
    answers = mapped(step.forward, calls)
    if whole:
        moved = answers["everything"]
        held = ~jnp.isfinite(flat_vector((moving[:n] + moved.update, moved.state)))
    else:
        held = jnp.zeros(step.scale.shape, bool).at[:n].set(~jnp.isfinite(answers["0"].update))
    zero = _Probes(none, none, jnp.zeros((), none.dtype))
    found = _Found(zero if split else None, zero, jnp.array(0), held)
    for i, probe in enumerate(signs[:at_once]):
        found = found.add(probe, answers[str(i)])

    def more() -> _Found:
        further = found
        for probe in signs[at_once:]:
            further = further.add(probe, step.forward(Cause(none, probe, rest)))
        return further

    return jax.lax.cond(found.is_diagonal, lambda: found, more)


def _diagonal_product(
    step: StepDerivative, response: Array, start: Array, vectors: int, diagonal: Array
) -> tuple[KrylovFactorization, Array]:
    """M H for M = diag(`response`), in coordinates where it is symmetric if M >= 0."""
    root, signs = jnp.sqrt(jnp.abs(response)), jnp.where(response < 0, -1.0, 1.0)
    start = toward(start, root * step.gradient)
    vectors = min(vectors, start.shape[0])
    none = jnp.zeros((vectors, vectors), start.dtype)

    def symmetric() -> tuple[KrylovFactorization, Array]:
        roots = step.unravel(root)
        times = partial(jax.tree.map, jnp.multiply, roots)
        apply = lambda v: times(step.tree_hessian(times(v)))  # noqa: E731
        return bare(symmetric_factorization(apply, step.unravel(start), vectors, TILTED)), none

    def signed() -> tuple[KrylovFactorization, Array]:
        found = arnoldi(lambda v: signs * root * step.hessian(root * v), start, vectors, TILTED)
        overlap = jnp.matmul(found.basis * signs, found.basis.T, precision="highest")
        return bare(found), overlap

    shape = jax.eval_shape(symmetric)
    skip = lambda: jax.tree.map(jnp.zeros_like, shape)  # noqa: E731
    which = jnp.where(diagonal, 1 + jnp.any(response < 0), 0)
    return jax.lax.switch(which, (skip, symmetric, signed))


def bare(factorization: KrylovFactorization) -> KrylovFactorization:
    """What the host needs: a basis of a large network is gigabytes to move."""
    nothing = jnp.zeros((0, 0), factorization.projection.dtype)
    return factorization._replace(basis=nothing, following=nothing)


def inverse_sharpness(hessian: KrylovFactorization) -> Array:
    """1/h from the Lanczos matrix, 0 where no eigenvalue is positive."""
    projection = (hessian.projection + hessian.projection.T) / 2
    h = jnp.linalg.eigvalsh(projection)[-1]
    return jnp.where(h > 0, 1.0 / jnp.where(h > 0, h, 1.0), 0.0)
