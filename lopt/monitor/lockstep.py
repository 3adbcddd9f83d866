"""Every Krylov process of an inspection, advanced together so that the step is compiled once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from lopt.monitor.krylov import (
    KrylovFactorization,
    KrylovProcess,
    arnoldi,
    begin,
    expand,
    finish,
)
from lopt.monitor.linearize import balancing_sweep, held_coordinates, random_signs
from lopt.monitor.step import (
    Batch,
    Cause,
    Loss,
    Params,
    Response,
    State,
    StepDerivative,
    flat_vector,
    linearize_step,
)

__all__ = ["InspectSettings", "StepFactorization", "factorize_step"]

PROBE_ROUNDING = 16.0
# Equations up to which a derivative's code is repeated rather than mapped over.
SHORT_PROGRAM = 100
# The maps of the parameters alone, by the names of their processes.
FREE = ("frozen", "product")


@dataclass(frozen=True)
class InspectSettings:
    """How much an inspection spends, and when an eigenvalue counts as converged.

    Attributes
    ----------
    hessian_vectors : int
        Krylov vectors for the Hessian, one product each.
    vectors : int
        Krylov vectors for each of the other maps, and as many for their transposes.
    sweeps : int
        Rounds of balancing and of probing the diagonal before them, at least 2.
    tolerance : float
        Largest error of a converged value, relative to the largest modulus.
    seed : int
        Of the start vectors; the same at every call.

    Raises
    ------
    ValueError
        If a count is too small or the tolerance not positive.
    """

    hessian_vectors: int = 10
    vectors: int = 8
    sweeps: int = 4
    tolerance: float = 1e-2
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("hessian_vectors", 1), ("vectors", 1), ("sweeps", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}; it is {getattr(self, name)}.")
        if not self.tolerance > 0:
            raise ValueError(f"tolerance must be positive; it is {self.tolerance}.")


class StepFactorization(NamedTuple):
    """What `factorize_step` leaves for the host.

    `maps` holds a factorization by name: "joint", "product" (of M H) and, where A is not I - M H,
    "frozen" (of A), each with its "... left"; of the update's M the "symmetric" and the "skew"
    part, the "distance" (M - I/h)^T (M - I/h), and of the blackbox part P the "blackbox symmetric"
    and "blackbox skew". Their bases are dropped; `overlaps` holds what is needed of them. Where
    `diagonal`, those of the update are empty: `total` is M's diagonal.
    """

    hessian: KrylovFactorization
    maps: dict[str, KrylovFactorization]
    overlaps: dict[str, Array]
    alpha: Array
    alpha_spread: Array
    total: Array
    diagonal: Array
    held: Array
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

    def spread(self, count: int) -> Array:
        """|d_k - d_0| / (sqrt(2) |d_0|), root mean square over k: the part off the diagonal."""
        size = jnp.sum(self.first**2)
        ratio = self.deviation / (2 * (count - 1) * jnp.where(size > 0, size, 1.0))
        return jnp.sqrt(ratio)


def _no_probes(like: Array) -> _Probes:
    return _Probes(jnp.zeros_like(like), jnp.zeros_like(like), jnp.zeros((), like.dtype))


def factorize_step(
    transformation: optax.GradientTransformation,
    loss: Loss,
    params: Params,
    state: State,
    batch: Batch,
    settings: InspectSettings,
    *,
    blackbox: optax.GradientTransformation | None,
    moves_with_params: bool,
) -> StepFactorization:
    """Krylov factorizations of H, of the step's maps and of its update's response; jittable.

    Parameters
    ----------
    moves_with_params : bool
        Whether the update reads the parameters besides the gradient: then A is not I - M H.
    """
    step = linearize_step(transformation, loss, params, state, batch, blackbox)
    n = step.params.shape[0]
    keys = jax.random.split(jax.random.key(settings.seed), 3)
    start = jax.random.normal(keys[0], step.scale.shape, step.scale.dtype)
    hessian = arnoldi(step.hessian, start[:n], min(settings.hessian_vectors, n))
    together = _Lockstep(
        step=step,
        held=held_coordinates(step),
        inverse_sharpness=_inverse_sharpness(hessian),
        curvature=jnp.abs(step.hessian(random_signs(keys[1], step.params))),
        sweeps=settings.sweeps,
        rounds=min(settings.vectors, step.scale.shape[0]),
        split=blackbox is not None,
        key=keys[2],
    )
    names = ["joint", "product", *(["frozen"] if moves_with_params else [])]
    parts = ["symmetric", "skew"]
    update = [*parts, "distance", *(f"blackbox {part}" for part in parts if blackbox)]
    starts = {name: start if name == "joint" else start[:n] for name in names}
    starts |= {f"{name} left": starts[name] for name in names}
    starts |= dict.fromkeys(update, start[:n])
    carry = _Carry(
        maps={
            name: begin(vector, min(settings.vectors, vector.shape[0]))
            for name, vector in starts.items()
        },
        scale=step.scale,
        nominal=_no_probes(step.params),
        total=_no_probes(step.params),
    )
    carry = jax.lax.fori_loop(0, settings.sweeps + together.rounds, together.advance, carry)
    found = {name: finish(process) for name, process in carry.maps.items()}
    return StepFactorization(
        hessian=_without_basis(hessian),
        maps={name: _without_basis(f) for name, f in found.items()},
        overlaps={
            name: jnp.matmul(found[f"{name} left"].basis, found[name].basis.T, precision="highest")
            for name in names
        },
        alpha=carry.nominal.sum / settings.sweeps,
        alpha_spread=carry.nominal.spread(settings.sweeps),
        total=carry.total.sum / settings.sweeps,
        diagonal=together.is_diagonal(carry),
        held=jnp.sum(together.held),
        loss=step.loss,
    )


def _without_basis(factorization: KrylovFactorization) -> KrylovFactorization:
    """What the host needs: a basis of a large network is gigabytes to move."""
    nothing = jnp.zeros((0, 0), factorization.basis.dtype)
    return factorization._replace(basis=nothing, following=nothing)


def _inverse_sharpness(hessian: KrylovFactorization) -> Array:
    """1/h from the Lanczos matrix, 0 where no eigenvalue is positive."""
    projection = (hessian.projection + hessian.projection.T) / 2
    h = jnp.linalg.eigvalsh(projection)[-1]
    return jnp.where(h > 0, 1.0 / jnp.where(h > 0, h, 1.0), 0.0)


class _Carry(NamedTuple):
    maps: dict[str, KrylovProcess]
    scale: Array
    nominal: _Probes
    total: _Probes


class _Lockstep(NamedTuple):
    """One round: all Hessian products, all responses, all transposed responses, all expansions.

    The first `sweeps` rounds balance the joint map, with |H z| standing for the Hessian, and
    probe the diagonal of the update's response; the Krylov processes run after them.
    """

    step: StepDerivative
    held: Array
    inverse_sharpness: Array
    curvature: Array
    sweeps: int
    rounds: int
    split: bool
    key: Array

    def is_diagonal(self, carry: _Carry) -> Array:
        unit = jnp.finfo(carry.scale.dtype).eps
        return carry.total.spread(self.sweeps) <= PROBE_ROUNDING * unit

    def advance(self, index: Array, carry: _Carry) -> _Carry:
        late = index >= self.sweeps
        general = late & ~self.is_diagonal(carry)
        key, size = jax.random.fold_in(self.key, index), carry.scale
        signs = jax.lax.cond(late, jnp.zeros_like, lambda s: random_signs(key, s), size)
        vectors = self._vectors(carry.maps, signs, late)
        right = self._right(carry, vectors, signs, late, general)
        left = self._left(carry, vectors, right, late, general)
        products = self._products(carry.scale, vectors, right, left)
        scale = balancing_sweep(index, carry.scale, products["joint"], products["joint left"])
        probe = signs[: self.step.params.shape[0]]
        nominal, total = (_Probes.add(p, index, probe * v) for p, v in zip(
            (carry.nominal, carry.total), self._diagonals(right["probe"]), strict=True
        ))  # fmt: skip
        early = lambda new, old: jax.tree.map(lambda a, b: jnp.where(late, b, a), new, old)  # noqa: E731
        return _Carry(
            maps=self._expanded(carry.maps, products, index, late, general),
            scale=jnp.where(late, carry.scale, scale),
            nominal=early(nominal, carry.nominal),
            total=early(total, carry.total),
        )

    def _diagonals(self, answer: Response) -> tuple[Array, Array]:
        """Nominal and total response to the probe; optax adds updates, so M = -du/dg."""
        nominal = answer.update - answer.blackbox if self.split else answer.update
        return -nominal, -answer.update

    def _vectors(
        self, maps: dict[str, KrylovProcess], signs: Array, late: Array
    ) -> dict[str, Array]:
        """What every operator is applied to; the joint map to random signs while it is balanced."""
        found = {name: process.vector for name, process in maps.items()}
        for name in ("joint", "joint left"):
            found[name] = jnp.where(late, found[name], signs)
        held = {name: self.held[: vector.shape[0]] for name, vector in found.items()}
        return {name: jnp.where(held[name], 0.0, vector) for name, vector in found.items()}

    def _right(
        self,
        carry: _Carry,
        vectors: dict[str, Array],
        signs: Array,
        late: Array,
        general: Array,
    ) -> dict[str, Response]:
        """The step's response in the direction of every process, and of the probe."""
        n, scale = self.step.params.shape[0], carry.scale
        joint = vectors["joint"] * scale
        moved = {name: vectors[name] * scale[:n] for name in FREE if name in vectors}
        slopes = self._hessians(moved | {"joint": joint[:n]}, late)
        slopes["joint"] = jnp.where(late, slopes["joint"], self.curvature * joint[:n])
        none, rest = jnp.zeros_like(self.step.params), jnp.zeros_like(self.step.state)
        causes = {"joint": (Cause(joint[:n], slopes["joint"], joint[n:]), jnp.array(True))}
        for name, vector in moved.items():
            causes[name] = Cause(none if name == "product" else vector, slopes[name], rest), late
        causes["probe"] = Cause(none, signs[:n], rest), ~late
        for name in _update_maps(vectors):
            causes[name] = Cause(none, vectors[name], rest), general
        return _mapped(self.step.forward, causes)

    def _left(
        self,
        carry: _Carry,
        vectors: dict[str, Array],
        right: dict[str, Response],
        late: Array,
        general: Array,
    ) -> dict[str, Cause]:
        """The transposed response in the direction of every process that needs it."""
        n, scale = self.step.params.shape[0], carry.scale
        joint = vectors["joint left"] / scale
        rest, part = jnp.zeros_like(self.step.state), jnp.zeros_like(right["probe"].blackbox)
        responses = {"joint left": (Response(joint[:n], joint[n:], part), jnp.array(True))}
        for name in FREE:
            if name in vectors:
                vector = vectors[f"{name} left"] / scale[:n]
                responses[f"{name} left"] = Response(vector, rest, part), late
        for name in _update_maps(vectors):
            vector = vectors[name]
            if name == "distance":
                vector = self._free(-right[name].update) - self.inverse_sharpness * vector
            ours = (jnp.zeros_like(vector), vector) if "blackbox" in name else (vector, part)
            responses[name] = Response(ours[0], rest, ours[1]), general
        return _mapped(self.step.backward, responses)

    def _products(
        self,
        scale: Array,
        vectors: dict[str, Array],
        right: dict[str, Response],
        left: dict[str, Cause],
    ) -> dict[str, Array]:
        """The product of every process's operator with its vector."""
        n = self.step.params.shape[0]
        lefts = [name for name in left if name.endswith("left")]
        slopes = self._hessians({name: left[name].gradient for name in lefts}, jnp.array(True))
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

    def _expanded(
        self,
        maps: dict[str, KrylovProcess],
        products: dict[str, Array],
        index: Array,
        late: Array,
        general: Array,
    ) -> dict[str, KrylovProcess]:
        update = set(_update_maps(maps))
        result: dict[str, KrylovProcess] = {}
        for group, active in ((set(maps) - update, late), (update, general)):
            chosen = {name: maps[name] for name in sorted(group)}
            ours = {name: products[name] for name in chosen}
            count = index - self.sweeps

            def grow(pair: Any, count: Array = count) -> Any:
                old, new = pair
                return {name: _within(old[name], count, new[name], self.rounds) for name in old}

            result |= jax.lax.cond(active, grow, lambda pair: pair[0], (chosen, ours))
        return result

    def _hessians(self, vectors: dict[str, Array], active: Array) -> dict[str, Array]:
        return _mapped(self.step.hessian, {name: (v, active) for name, v in vectors.items()})

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


def _mapped(apply: Callable, calls: dict[str, tuple[Any, Array]]) -> dict[str, Any]:
    """`apply` to every argument that is active, else zeros.

    A long program, such as a learned optimizer's derivative, is compiled once and mapped over the
    arguments; a short one is repeated, which saves stacking them.
    """
    arguments, active = zip(*calls.values(), strict=True)
    shape = jax.eval_shape(apply, arguments[0])
    empty = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shape)

    def one(call: tuple[Any, Array]) -> Any:
        return jax.lax.cond(call[1], apply, lambda _: empty, call[0])

    if len(jax.make_jaxpr(apply)(arguments[0]).eqns) <= SHORT_PROGRAM:
        return {name: one(call) for name, call in calls.items()}
    stacked = jax.tree.map(_stacked, *arguments)
    answers = jax.lax.map(one, (stacked, jnp.stack(active)))
    return {name: jax.tree.map(lambda leaf, i=i: leaf[i], answers) for i, name in enumerate(calls)}


def _stacked(*leaves: Array) -> Array:
    """The leaves along a new leading axis, written one by one; see `flat_vector`."""
    whole = jnp.zeros((len(leaves), *leaves[0].shape), leaves[0].dtype)
    for index, leaf in enumerate(leaves):
        whole = whole.at[index].set(leaf)
    return whole
