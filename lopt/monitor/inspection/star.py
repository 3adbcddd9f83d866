"""An inspection of STAR, alone or in a wrapper, at a frozen hidden state, by its derivative that is
written by hand.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from lopt.arrays import entry, flat_vector
from lopt.keys import random_key
from lopt.monitor.derivatives.joint import random_signs
from lopt.monitor.derivatives.step import (
    Batch,
    Loss,
    LossDerivative,
    Params,
    State,
    linearize_loss,
    require_float,
)
from lopt.monitor.derivatives.wrapped import wrapped_response
from lopt.monitor.inspection.lockstep import StepFactorization
from lopt.monitor.inspection.settings import InspectSettings
from lopt.monitor.inspection.step_sizes import sample_steps
from lopt.monitor.inspection.survey import (
    TILTED,
    Survey,
    bare,
    inverse_sharpness,
    start_vector,
    toward,
)
from lopt.monitor.krylov.arnoldi import KrylovFactorization, arnoldi
from lopt.monitor.krylov.lanczos import LARGE_BASIS, lanczos, norm, symmetric_factorization
from lopt.optimizers.parts.response import Moved
from lopt.optimizers.star_response import StarResponse, star_response
from lopt.optimizers.star_update import Star

__all__ = ["inspect_star", "inspect_wrapped"]

Map = Callable[[Params], Params]

# Range of the squares of the coordinates' scales.
SCALE_RANGE = 1e-12
# Where memory traffic is what costs: Krylov vectors for the response's own maps, whose extremes are
# near single coordinates, and the share of `vectors` for the transpose of M H, which starts near
# the eigenvectors that it is to find.
RESPONSE_VECTORS, LEFT_SHARE = 4, 0.5
# The length of the random part of a start beside extreme entries.
BESIDE = 0.1


class Response(Protocol):
    """The derivative of an update by the gradient; a `StarResponse` or a `WrappedResponse`."""

    def __call__(self, by_gradient: Params, /) -> Moved:
        """Return the changes of the update and of its blackbox part."""

    def elementwise(self) -> Moved:
        """Nearly the diagonals of the two."""


class Decay(NamedTuple):
    """du/dparams: minus a number, and how much more at most, see `StepFactorization`."""

    decay: Array
    drift: Array


# From the scale of the coordinates and the bases of the Krylov spaces of M H and of its transpose.
ByParameters = Callable[[Params, tuple[Array, ...]], Decay]


def inspect_star(
    transformation: Star,
    loss: Loss,
    params: Params,
    state: State,
    batch: Batch,
    settings: InspectSettings,
) -> tuple[Survey, StepFactorization]:
    """What `survey` and `factorize_step` find for any optimizer but the joint map; jittable."""
    require_float(params)
    at, config = linearize_loss(loss, params, batch), transformation.config
    response = star_response(transformation.meta_parameters, config, params, at.gradient, state)

    def by_parameters(scale: Params, bases: tuple[Array, ...]) -> Decay:
        return Decay(jnp.asarray(config.weight_decay), _drift(response, scale, bases))

    return _inspect(response, by_parameters, at, params, settings, blackbox=config.blackbox_term)


def inspect_wrapped(
    transformation: optax.GradientTransformation,
    loss: Loss,
    params: Params,
    state: State,
    batch: Batch,
    settings: InspectSettings,
    *,
    blackbox: bool,
) -> tuple[Survey, StepFactorization, Array]:
    """The same for an optimizer that has STAR inside, and the coordinates that stand still, as
    `survey` gives them; `blackbox` says whether STAR's has a blackbox term.
    """
    require_float(params)
    at, seed = linearize_loss(loss, params, batch), settings.seed + 2
    response = wrapped_response(transformation, loss, params, state, batch, at, seed)

    def by_parameters(scale: Params, bases: tuple[Array, ...]) -> Decay:
        return _decay(response.by_params, scale, bases, seed)

    seen, found = _inspect(response, by_parameters, at, params, settings, blackbox=blackbox)
    moved, gradient = flat_vector(response.diagonal.update), flat_vector(at.gradient)
    still = (moved == 0) & (gradient != 0)
    return seen._replace(still_count=jnp.sum(still)), found, still


def _inspect(
    response: Response,
    by_parameters: ByParameters,
    at: LossDerivative,
    params: Params,
    settings: InspectSettings,
    *,
    blackbox: bool,
) -> tuple[Survey, StepFactorization]:
    """The inspection by an update's response.

    M is nearly its diagonal D: M H is looked at in the coordinates sqrt|D|, in which it is nearly
    symmetric where D > 0. So its transpose starts at the extreme eigenvectors of the symmetric
    part, and the maps of M alone at the entries where D is extreme; few vectors do then. A differs
    from (1 - weight decay) I - M H by what the blackbox term makes of the parameters themselves, of
    which there is a bound on the Krylov spaces.
    """
    unravel = ravel_pytree(params)[1]
    maps = _response_maps(response, at.gradient)
    gradient = flat_vector(at.gradient)
    n = gradient.shape[0]
    start = start_vector(settings, gradient)
    hessian = symmetric_factorization(
        at.hessian, unravel(toward(start, gradient)), min(settings.hessian_vectors, n), TILTED
    )
    inverse = inverse_sharpness(hessian)
    update, learned = maps.free(maps.diagonal.update), maps.free(maps.diagonal.blackbox)
    total, random = flat_vector(update), unravel(start)
    apply, transpose = maps.pair("update")
    product = _product(at, apply, transpose, total, start, settings)
    found = {"product": product.right, "product left": product.left}
    count = min(settings.vectors, n)
    count = min(RESPONSE_VECTORS, count) if _sparing(settings, n) else count
    found |= _extremes(apply, transpose, update, random, count, inverse)
    if blackbox:
        own = _extremes(*maps.pair("blackbox"), learned, random, count)
        found |= {f"blackbox {name}": extremes for name, extremes in own.items()}
    nominal = total - flat_vector(learned)
    seen = Survey(
        hessian=bare(hessian),
        product=bare(product.right),
        overlap=product.overlap,
        indefinite=jnp.array(True),
        diagonal=jnp.array(False),
        steps=sample_steps(nominal, params),
        alpha_spread=_off_diagonal(maps, nominal, unravel, settings.seed + 1),
        least=jnp.min(total),
        largest=jnp.max(total),
        inverse_sharpness=inverse,
        held_count=jnp.sum(~flat_vector(maps.finite)),
        still_count=jnp.zeros((), int),
        loss=at.value,
    )
    beside = by_parameters(unravel(product.scale), (product.right.basis, product.left.basis))
    return seen, StepFactorization(
        maps={name: bare(one) for name, one in found.items()},
        overlaps={"product": product.overlap},
        decay=beside.decay,
        drift=beside.drift,
    )


@dataclass(frozen=True)
class _ResponseMaps:
    """M and its blackbox part P as maps; optax adds updates, so that M = -du/dg.

    Coordinates where the diagonal of M is not finite are held: their rows and columns are zero.
    """

    response: Response
    gradient: Params
    diagonal: Moved
    finite: Params

    def free(self, tree: Params) -> Params:
        """The tree, zero where coordinates are held."""
        return jax.tree.map(lambda f, v: jnp.where(f, v, 0.0), self.finite, tree)

    def pair(self, part: Literal["update", "blackbox"]) -> tuple[Map, Map]:
        """M or P, and its transpose."""

        def apply(tree: Params) -> Params:
            return jax.tree.map(jnp.negative, getattr(self.response(tree), part))

        transpose = jax.linear_transpose(apply, self.gradient)
        free = self.free
        return lambda v: free(apply(free(v))), lambda v: free(transpose(free(v))[0])


def _response_maps(response: Response, gradient: Params) -> _ResponseMaps:
    diagonal = jax.tree.map(jnp.negative, response.elementwise())
    return _ResponseMaps(response, gradient, diagonal, jax.tree.map(jnp.isfinite, diagonal.update))


class _Product(NamedTuple):
    """The Krylov factorizations of M H and of its transpose, in the coordinates sqrt|D|."""

    right: KrylovFactorization
    left: KrylovFactorization
    overlap: Array
    scale: Array


def _product(
    at: LossDerivative,
    apply: Map,
    transpose: Map,
    diagonal: Array,
    start: Array,
    settings: InspectSettings,
) -> _Product:
    """M H and its transpose, by the maps of M and of its transpose and the diagonal D of M."""
    unravel = ravel_pytree(at.gradient)[1]
    size, top = jnp.abs(diagonal), jnp.max(jnp.abs(diagonal))
    scale = jnp.sqrt(jnp.where(top > 0, jnp.clip(size / top, SCALE_RANGE, 1.0), 1.0))

    def ahead(vector: Array) -> Array:
        return flat_vector(apply(at.hessian(unravel(scale * vector)))) / scale

    def back(vector: Array) -> Array:
        return scale * flat_vector(at.hessian(transpose(unravel(vector / scale))))

    n = start.shape[0]
    vectors = min(settings.vectors, n)
    right = arnoldi(ahead, toward(start, scale * flat_vector(at.gradient)), vectors, TILTED)
    fewer = max(1, round(LEFT_SHARE * vectors)) if _sparing(settings, n) else vectors
    left = arnoldi(back, _extreme_vectors(right), fewer)
    # Row by row: on a CPU the product of two matrices so long takes ten times as long.
    overlap = jax.lax.map(
        lambda row: jnp.matmul(left.basis, row, precision="highest"), right.basis
    ).T
    return _Product(right, left, overlap, scale)


def _sparing(settings: InspectSettings, coordinates: int) -> bool:
    """Whether memory traffic dominates the cost."""
    return coordinates * settings.vectors > LARGE_BASIS


def _off_diagonal(
    maps: _ResponseMaps, nominal: Array, unravel: Callable[[Array], Params], seed: int
) -> Array:
    """What the nominal part of M has off its diagonal `nominal`, relatively, by random signs."""
    signs = random_signs(random_key(seed), nominal)
    moved = maps.response(maps.free(unravel(signs)))
    change = jax.tree.map(jnp.subtract, moved.blackbox, moved.update)
    probed = signs * flat_vector(maps.free(change))
    known = jnp.linalg.norm(nominal)
    return jnp.linalg.norm(probed - nominal) / jnp.where(known > 0, known, 1.0)


def _drift(response: StarResponse, scale: Params, bases: tuple[Array, ...]) -> Array:
    """A bound on what du/dparams makes of the unit vectors in the spaces of these bases, in the
    coordinates of M H.
    """
    own, pairs = response.by_parameters()
    diagonal = flat_vector(own)
    squares = [reduce(add, [row * row for row in basis]) for basis in bases]
    parts = [jnp.sqrt(jnp.vdot(diagonal * diagonal, s, precision="highest")) for s in squares]
    ranks = [
        jax.tree.leaves(jax.tree.map(lambda b, c, s: norm(b / s) * norm(c * s), b, c, scale))
        for b, c in pairs
    ]
    sums = [reduce(add, tensor) for tensor in zip(*ranks, strict=True)]
    return reduce(jnp.maximum, parts) + reduce(jnp.maximum, sums)


def _decay(apply: Map, scale: Params, bases: tuple[Array, ...], seed: int) -> Decay:
    """du/dparams as minus a number, and the norm of the rest on the spaces of these bases, in the
    coordinates of M H, from its products with every vector of them.
    """
    right, left = bases
    scales, unravel = flat_vector(scale), ravel_pytree(scale)[1]
    transpose = jax.linear_transpose(apply, scale)
    signs = random_signs(random_key(seed), scales)
    decay = -jnp.mean(signs * flat_vector(apply(unravel(signs))))

    def squares(product: Callable[[Array], Array], basis: Array) -> Array:
        each = jax.lax.map(lambda row: jnp.sum((product(row) + decay * row) ** 2), basis)
        return jnp.sum(each)

    ahead = squares(lambda v: flat_vector(apply(unravel(scales * v))) / scales, right)
    back = squares(lambda v: scales * flat_vector(transpose(unravel(v / scales))[0]), left)
    return Decay(decay, jnp.sqrt(jnp.maximum(ahead, back)))


def _extreme_vectors(factorization: KrylovFactorization) -> Array:
    """The sum of the Ritz vectors at both ends of the symmetric part."""
    projection = factorization.projection
    vectors = jnp.linalg.eigh((projection + projection.T) / 2)[1]
    return jnp.matmul(vectors[:, 0] + vectors[:, -1], factorization.basis, precision="highest")


def _extremes(
    apply: Map,
    transpose: Map,
    diagonal: Params,
    start: Params,
    vectors: int,
    inverse: Array | None = None,
) -> dict[str, KrylovFactorization]:
    """The symmetric and the skew part of a map M near its diagonal, and its distance from `inverse`
    times the identity: Lanczos' method, for one after the other so that M is compiled once.

    Each begins near the entries at which the diagonal is extreme, with something of every other.
    """
    shift = jnp.zeros(()) if inverse is None else inverse
    away = jax.tree.map(lambda d: jnp.abs(d - shift), diagonal)
    least = jax.tree.map(jnp.negative, diagonal)
    starts = {
        "symmetric": _beside(start, diagonal, least),
        "skew": start,
        "distance": _beside(start, away),
    }
    if inverse is None:
        del starts["distance"]
    random_norms = jnp.stack([norm(start) if n == "skew" else BESIDE for n in starts])

    def one(given: tuple[Array, Array, Array, Params]) -> KrylovFactorization:
        distance, sign, random_norm, begin = given

        def product(v: Params) -> Params:
            ahead = apply(v)
            moved = jax.tree.map(lambda a, x: jnp.where(distance, a - shift * x, x), ahead, v)
            return jax.tree.map(
                lambda a, b, m: jnp.where(distance, b - shift * m, (a + sign * b) / 2),
                ahead,
                transpose(moved),
                moved,
            )

        return bare(lanczos(product, begin, vectors, sign, random_norm))

    names = list(starts)
    kinds = jnp.array([n == "distance" for n in names])
    signs = jnp.array([-1.0 if n == "skew" else 1.0 for n in names])
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts.values())
    found = jax.lax.map(one, (kinds, signs, random_norms, stacked))
    return {n: entry(found, i) for i, n in enumerate(names)}


def _beside(start: Params, *trees: Params) -> Params:
    """A unit vector where each tree has its largest entry, and `BESIDE` of the start everywhere."""
    size = norm(start)
    found = jax.tree.map(lambda v: BESIDE / size * v, start)
    for tree in trees:
        top = reduce(jnp.maximum, [jnp.max(x, initial=-jnp.inf) for x in jax.tree.leaves(tree)])
        at = jax.tree.map(lambda leaf, top=top: (leaf == top).astype(top.dtype), tree)
        inverse = 1.0 / jnp.maximum(norm(at), 1.0)
        found = jax.tree.map(lambda f, a, by=inverse: f + by * a, found, at)
    return found
