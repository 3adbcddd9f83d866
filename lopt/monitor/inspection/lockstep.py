"""Every Krylov process of an inspection, advanced together so that the step is compiled once."""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from lopt.arrays import flat_vector
from lopt.keys import random_key
from lopt.monitor.derivatives.joint import balancing_sweep, random_signs
from lopt.monitor.derivatives.mapped import mapped
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
from lopt.monitor.inspection.survey import bare, start_vector
from lopt.monitor.krylov.arnoldi import KrylovFactorization, KrylovProcess, begin, expand, finish

__all__ = ["StepFactorization", "factorize_step", "process_names"]

# The maps of the parameters alone, by the names of their processes.
FREE = ("frozen", "product")
PARTS = ("symmetric", "skew")


class StepFactorization(NamedTuple):
    """What `factorize_step` leaves for the host.

    `maps` holds a factorization by name, see `process_names`: "joint", "product" and "frozen" each
    with its "... left". Their bases are dropped; `overlaps` holds what is needed of them. Where
    there is no "frozen", A - (1 - `decay`) I + M H is at most `drift` on the space of "product".
    """

    maps: dict[str, KrylovFactorization]
    overlaps: dict[str, Array]
    decay: Array | float = 0.0
    drift: Array | float = 0.0


def process_names(
    *, joint: bool, product: bool, frozen: bool, update: bool, blackbox: bool
) -> tuple[str, ...]:
    """The maps that are looked at: of the step, and of the update's response M and part P.

    "joint" is the whole step, "product" M H, "frozen" A = I - du/dparams - M H; "symmetric" and
    "skew" are the parts of M, "distance" is (M - I/h)^T (M - I/h), and "blackbox symmetric" and
    "blackbox skew" are the parts of P.
    """
    step = {"joint": joint, "product": product, "frozen": frozen}
    names = [name for name, wanted in step.items() if wanted]
    names += [*PARTS, "distance"] if update else []
    return tuple(names + ([f"blackbox {part}" for part in PARTS] if blackbox else []))


def factorize_step(
    transformation: optax.GradientTransformation,
    loss: Loss,
    params: Params,
    state: State,
    batch: Batch,
    held: Array,
    inverse_sharpness: Array,
    settings: InspectSettings,
    names: tuple[str, ...],
    blackbox: optax.GradientTransformation | None,
) -> StepFactorization:
    """Krylov factorizations of the step's maps and of its update's response; jittable.

    Parameters
    ----------
    held, inverse_sharpness : Array
        From `survey`.
    names : tuple of str
        From `process_names`.
    """
    step = linearize_step(transformation, loss, params, state, batch, blackbox)
    n = step.params.shape[0]
    key = random_key(settings.seed + 2)
    start = start_vector(settings, step.scale)
    both = [name for name in names if name == "joint" or name in FREE]
    starts = {name: start if name == "joint" else start[:n] for name in names}
    starts |= {f"{name} left": starts[name] for name in both}
    maps = {name: begin(v, min(settings.vectors, v.shape[0])) for name, v in starts.items()}
    together = _Lockstep(
        step=step,
        held=held,
        inverse_sharpness=inverse_sharpness,
        curvature=jnp.abs(step.hessian(random_signs(key, step.params))),
        sweeps=settings.sweeps,
        rounds=max(process.columns.shape[1] for process in maps.values()),
        joint="joint" in names,
        key=key,
    )
    rounds = settings.sweeps + together.rounds
    carry = jax.lax.fori_loop(0, rounds, together.advance, _Carry(maps, step.scale))
    found = {name: finish(process) for name, process in carry.maps.items()}
    return StepFactorization(
        maps={name: bare(f) for name, f in found.items()},
        overlaps={
            name: jnp.matmul(found[f"{name} left"].basis, found[name].basis.T, precision="highest")
            for name in both
        },
    )


class _Carry(NamedTuple):
    maps: dict[str, KrylovProcess]
    scale: Array


class _Lockstep(NamedTuple):
    """One round: all Hessian products, all responses, all transposed responses, all expansions.

    The first `sweeps` rounds balance the joint map, with |H z| standing for the Hessian; the
    Krylov processes run after them.
    """

    step: StepDerivative
    held: Array
    inverse_sharpness: Array
    curvature: Array
    sweeps: int
    rounds: int
    joint: bool
    key: Array

    def advance(self, index: Array, carry: _Carry) -> _Carry:
        late = index >= self.sweeps
        signs = random_signs(jax.random.fold_in(self.key, index), carry.scale)
        vectors = self._vectors(carry.maps, signs, late)
        right = self._right(carry.scale, vectors, late)
        left = self._left(carry.scale, vectors, right, late)
        products = self._products(carry.scale, vectors, right, left, late)
        balanced = balancing_sweep(index, carry.scale, products["joint"], products["joint left"])

        def grow(maps: dict[str, KrylovProcess]) -> dict[str, KrylovProcess]:
            count = index - self.sweeps
            return {
                name: _within(process, count, products[name], self.rounds)
                for name, process in maps.items()
            }

        return _Carry(
            maps=jax.lax.cond(late, grow, lambda maps: maps, carry.maps),
            scale=jnp.where(late, carry.scale, balanced),
        )

    def _whole(self, late: Array) -> Array:
        """Whether the joint map is needed in this round."""
        return jnp.array(True) if self.joint else ~late

    def _vectors(
        self, maps: dict[str, KrylovProcess], signs: Array, late: Array
    ) -> dict[str, Array]:
        """What every operator is applied to; the joint map to random signs while it is balanced."""
        found = {name: process.vector for name, process in maps.items()}
        for name in ("joint", "joint left"):
            found[name] = jnp.where(late, found[name], signs) if name in found else signs
        held = {name: self.held[: vector.shape[0]] for name, vector in found.items()}
        return {name: jnp.where(held[name], 0.0, vector) for name, vector in found.items()}

    def _right(self, scale: Array, vectors: dict[str, Array], late: Array) -> dict[str, Response]:
        """The step's response in the direction of every process."""
        n = self.step.params.shape[0]
        joint = vectors["joint"] * scale
        moved = {name: vectors[name] * scale[:n] for name in FREE if name in vectors}
        slopes = self._hessians(moved | ({"joint": joint[:n]} if self.joint else {}), late)
        flat = self.curvature * joint[:n]
        slopes["joint"] = jnp.where(late, slopes["joint"], flat) if self.joint else flat
        none, rest = jnp.zeros_like(self.step.params), jnp.zeros_like(self.step.state)
        causes = {"joint": (Cause(joint[:n], slopes["joint"], joint[n:]), self._whole(late))}
        for name, vector in moved.items():
            causes[name] = Cause(none if name == "product" else vector, slopes[name], rest), late
        for name in _update_maps(vectors):
            causes[name] = Cause(none, vectors[name], rest), late
        return mapped(self.step.forward, causes)

    def _left(
        self,
        scale: Array,
        vectors: dict[str, Array],
        right: dict[str, Response],
        late: Array,
    ) -> dict[str, Cause]:
        """The transposed response in the direction of every process that needs it."""
        n = self.step.params.shape[0]
        joint = vectors["joint left"] / scale
        rest, part = jnp.zeros_like(self.step.state), jnp.zeros_like(right["joint"].blackbox)
        responses = {"joint left": (Response(joint[:n], joint[n:], part), self._whole(late))}
        for name in FREE:
            if name in vectors:
                vector = vectors[f"{name} left"] / scale[:n]
                responses[f"{name} left"] = Response(vector, rest, part), late
        for name in _update_maps(vectors):
            vector = vectors[name]
            if name == "distance":
                vector = self._free(-right[name].update) - self.inverse_sharpness * vector
            ours = (jnp.zeros_like(vector), vector) if "blackbox" in name else (vector, part)
            responses[name] = Response(ours[0], rest, ours[1]), late
        return mapped(self.step.backward, responses)

    def _products(
        self,
        scale: Array,
        vectors: dict[str, Array],
        right: dict[str, Response],
        left: dict[str, Cause],
        late: Array,
    ) -> dict[str, Array]:
        """The product of every process's operator with its vector."""
        n = self.step.params.shape[0]
        lefts = [name for name in left if name.endswith("left")]
        needed = {name: self._whole(late) if name == "joint left" else late for name in lefts}
        slopes = mapped(
            self.step.hessian, {name: (left[name].gradient, needed[name]) for name in lefts}
        )
        found = {}
        for name in ("joint", "frozen"):
            if name not in vectors:
                continue
            answer, cause = right[name], left[f"{name} left"]
            ahead = [vectors[name][:n] + answer.update / scale[:n]]
            slope = slopes[f"{name} left"]
            back = [vectors[f"{name} left"][:n] + (cause.params + slope) * scale[:n]]
            if name == "joint":
                ahead.append(answer.state / scale[n:])
                back.append(cause.state * scale[n:])
            for which, parts in ((name, ahead), (f"{name} left", back)):
                whole = flat_vector(parts)
                found[which] = jnp.where(self.held[: whole.shape[0]], 0.0, whole)
        if "product" in vectors:
            found["product"] = self._free(-right["product"].update / scale[:n])
            found["product left"] = self._free(-slopes["product left"] * scale[:n])
        for name in _update_maps(vectors):
            answer, transposed = right[name], -left[name].gradient
            product = -(answer.blackbox if "blackbox" in name else answer.update)
            if name == "distance":
                residue = self._free(product) - self.inverse_sharpness * vectors[name]
                found[name] = self._free(transposed) - self.inverse_sharpness * residue
            else:
                sign = 1.0 if "symmetric" in name else -1.0
                found[name] = self._free((product + sign * transposed) / 2)
        return found

    def _hessians(self, vectors: dict[str, Array], active: Array) -> dict[str, Array]:
        return mapped(self.step.hessian, {name: (v, active) for name, v in vectors.items()})

    def _free(self, vector: Array) -> Array:
        """`vector` over the parameters, zero where they are held."""
        return jnp.where(self.held[: self.step.params.shape[0]], 0.0, vector)


def _update_maps(maps: Iterable[str]) -> list[str]:
    """The maps of the update's response alone."""
    return [name for name in maps if name.split()[-1] in ("symmetric", "skew", "distance")]


def _within(process: KrylovProcess, count: Array, product: Array, rounds: int) -> KrylovProcess:
    """The process with one more product, unless it has room for no more."""
    room = process.columns.shape[1]
    grown = expand(process, jnp.minimum(count, room - 1), product)
    if room == rounds:
        return grown
    return jax.tree.map(lambda a, b: jnp.where(count < room, a, b), grown, process)
