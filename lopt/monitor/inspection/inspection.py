"""One look at the stability of training at a state: `inspect`."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from lopt.monitor.derivatives.differentiable import obstacle, piecewise_constant
from lopt.monitor.derivatives.step import Batch, Loss, Params, State, require_float
from lopt.monitor.derivatives.wrapped import stars_inside
from lopt.monitor.growth import Growth, growth
from lopt.monitor.inspection.conditions import theorem_margins
from lopt.monitor.inspection.lockstep import StepFactorization, factorize_step, process_names
from lopt.monitor.inspection.report import Inspection, ResponseSummary
from lopt.monitor.inspection.settings import InspectSettings
from lopt.monitor.inspection.star import inspect_star, inspect_wrapped
from lopt.monitor.inspection.step_sizes import summarize_steps
from lopt.monitor.inspection.survey import Survey, survey
from lopt.monitor.krylov.eigenvalues import EigenEstimate, ritz_values
from lopt.monitor.krylov.values import NOTHING, Value, extreme, radius, skew_norm
from lopt.monitor.programs import Programs
from lopt.optimizers.star_update import Star

__all__ = ["inspect"]

PIECEWISE = "the update is piecewise constant in the gradient"


def inspect(
    transformation: optax.GradientTransformation,
    loss: Loss,
    params: Params,
    state: State,
    batch: Batch,
    *,
    blackbox: optax.GradientTransformation | None = None,
    batches: Batch | None = None,
    settings: InspectSettings | None = None,
) -> Inspection:
    """Sharpness, effective step and preconditioner, eigenvalues and margins of training, here.

    With u(params, g) the step that is subtracted, g the gradient, H the Hessian of the loss on
    `batch`, and the hidden state updating inside u:

    * M = du/dg. Effective alpha is the diagonal of M's nominal part: of all of M, or of M - P
      where the blackbox part's P is told apart by `blackbox`.
    * "preconditioned sharpness" is the largest Re lambda(M H), see
      `Inspection.normalized_sharpness`.
    * A = I - du/dparams - M H, the dynamics at a frozen incoming hidden state.
    * with `settings.joint`, the joint dynamics of parameters and hidden state, see
      `JointOperator`; else `joint` is None and `radius` not measured.
    * Theorem 1 and Theorem 1' for this M and H, see `theorem_margins`.

    Everything is found from products with these maps, in a compiled call and another for what an
    elementwise update does not need (see `survey`). They are compiled again for another
    `transformation`, `loss`, `blackbox` (compared by identity: keep the function, a lambda written
    again is another), `settings` or shapes, and forgotten when the loss is.

    Parameters
    ----------
    transformation : optax.GradientTransformation
        Any. `lopt.star` is differentiated by hand, alone and within the wrappers of optax
        (``chain``, ``masked``, ``multi_transform``, ``MultiSteps``, ``inject_hyperparams``,
        ``apply_if_finite``), unless `settings.joint`, where ``fused=False`` compiles far sooner.
    loss : callable, (params, batch) -> scalar
    params, state : pytrees
        Where to look; `state` is the transformation's.
    batch : pytree
        The data that is looked at; no other is drawn.
    blackbox : optax.GradientTransformation, optional
        The blackbox part alone, over the same state; `star_blackbox` gives STAR's. That of
        `lopt.star`, wrapped or not, is known unless `settings.joint`; given for a wrapped one, it
        is differentiated as any other.
    batches : pytree, optional
        Minibatches with a leading axis; with them the growth along real steps is measured too,
        see `growth`.
    settings : InspectSettings, optional

    Returns
    -------
    Inspection

    Raises
    ------
    ValueError
        If `params` is not real floating point or holds nothing, a setting is out of range, or
        the loss or the update cannot be differentiated, as with a line search.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> optimizer, params = optax.sgd(0.25), jnp.ones(3)
    >>> found = inspect(optimizer, lambda p, c: jnp.sum(c * p**2) / 2, params,
    ...                 optimizer.init(params), jnp.array([1.0, 2.0, 4.0]),
    ...                 settings=InspectSettings(joint=True))
    >>> [round(v.value, 3) for v in (found.sharpness, found.preconditioned_sharpness, found.radius)]
    [4.0, 1.0, 0.75]
    """
    settings = settings or InspectSettings()
    require_float(params)
    try:
        seen, found, flat = _look(transformation, loss, params, state, batch, blackbox, settings)
    except Exception as error:
        reason = obstacle(transformation, loss, params, state, batch)
        if not reason:
            raise
        raise ValueError(reason) from error
    window = None
    if batches is not None:
        window = growth(transformation, loss, params, state, batches, seed=settings.seed)
    return _resolve(seen, found, params, settings, window, flat)


class _Looked(NamedTuple):
    """What is read on the host, and how many coordinates have an update piecewise constant."""

    survey: Survey
    maps: StepFactorization
    flat: int


def _look(
    transformation: optax.GradientTransformation,
    loss: Loss,
    params: Params,
    state: State,
    batch: Batch,
    blackbox: optax.GradientTransformation | None,
    settings: InspectSettings,
) -> _Looked:
    arguments = params, state, batch
    by_hand = isinstance(transformation, Star) and hasattr(transformation, "config")
    if by_hand and not settings.joint and _float32(params):
        seen, found = jax.device_get(_star(loss, transformation, settings)(*arguments))
        return _Looked(seen, found, flat=0)
    if blackbox is None and not settings.joint and _float32(params):
        inside = stars_inside(transformation, loss, params, state, batch)
        if inside:
            learned = any(config.blackbox_term for config in inside)
            look = _wrapped(loss, transformation, settings, learned)
            seen, found, still = look(*arguments)
            seen, found = jax.device_get((seen, found))
            flat = int(_flat(loss, transformation)(*arguments, still)) if seen.still_count else 0
            return _Looked(seen, found, flat)
    reads_params = _reads_params(transformation, params, state)
    whole = settings.joint or reads_params
    seen, held, still = _surveyor(loss, transformation, blackbox, settings, whole)(*arguments)
    numbers, flat = jax.device_get(seen), 0
    if numbers.still_count:
        flat = int(_flat(loss, transformation)(*arguments, still))
    names = process_names(
        joint=settings.joint,
        product=not numbers.diagonal,
        frozen=reads_params,
        update=not numbers.diagonal,
        blackbox=blackbox is not None,
    )
    found = StepFactorization({}, {})
    if names:
        run = _factorizer(loss, transformation, blackbox, settings, names)
        found = jax.device_get(run(*arguments, held, seen.inverse_sharpness))
    return _Looked(numbers, found, flat)


def _float32(params: Params) -> bool:
    """Whether every tensor is of the precision of STAR's own arithmetic, and none is empty."""
    leaves = jax.tree.leaves(params)
    return all(jnp.result_type(x) == jnp.float32 and jnp.size(x) for x in leaves) and bool(leaves)


@Programs
def _star(
    loss: Loss, transformation: Star, settings: InspectSettings
) -> Callable[[Params, State, Batch], tuple[Survey, StepFactorization]]:
    def run(params: Params, state: State, batch: Batch) -> tuple[Survey, StepFactorization]:
        return inspect_star(transformation, loss, params, state, batch, settings)

    return jax.jit(run)


@Programs
def _wrapped(
    loss: Loss,
    transformation: optax.GradientTransformation,
    settings: InspectSettings,
    blackbox: bool,
) -> Callable[[Params, State, Batch], tuple[Survey, StepFactorization, Array]]:
    def run(params: Params, state: State, batch: Batch) -> tuple[Survey, StepFactorization, Array]:
        return inspect_wrapped(
            transformation, loss, params, state, batch, settings, blackbox=blackbox
        )

    return jax.jit(run)


@Programs
def _flat(
    loss: Loss, transformation: optax.GradientTransformation
) -> Callable[[Params, State, Batch, Array], Array]:
    def run(params: Params, state: State, batch: Batch, still: Array) -> Array:
        return piecewise_constant(transformation, loss, params, state, batch, still)

    return jax.jit(run)


@Programs
def _surveyor(
    loss: Loss,
    transformation: optax.GradientTransformation,
    blackbox: optax.GradientTransformation | None,
    settings: InspectSettings,
    whole: bool,
) -> Callable[[Params, State, Batch], tuple[Survey, Array, Array]]:
    def run(params: Params, state: State, batch: Batch) -> tuple[Survey, Array, Array]:
        return survey(transformation, loss, params, state, batch, settings, blackbox, whole=whole)

    return jax.jit(run)


@Programs
def _factorizer(
    loss: Loss,
    transformation: optax.GradientTransformation,
    blackbox: optax.GradientTransformation | None,
    settings: InspectSettings,
    names: tuple[str, ...],
) -> Callable[[Params, State, Batch, Array, Array], StepFactorization]:
    def run(
        params: Params, state: State, batch: Batch, held: Array, inverse: Array
    ) -> StepFactorization:
        return factorize_step(
            transformation,
            loss,
            params,
            state,
            batch,
            held,
            inverse,
            settings=settings,
            names=names,
            blackbox=blackbox,
        )

    return jax.jit(run)


def _reads_params(
    transformation: optax.GradientTransformation, params: Params, state: State
) -> bool:
    """Whether the update fails without the parameters, or reads the loss: then M H is not I - A."""
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x)),
                          (params, state))  # fmt: skip
    leaves, structure = jax.tree.flatten(shapes)
    try:
        return _fails_without_params(transformation, tuple(leaves), structure)
    except TypeError:  # functions that have no hash
        return _fails_without_params.__wrapped__(transformation, tuple(leaves), structure)


@lru_cache(maxsize=64)
def _fails_without_params(
    transformation: optax.GradientTransformation, leaves: tuple[Any, ...], structure: Any
) -> bool:
    params, state = jax.tree.unflatten(structure, leaves)
    try:
        jax.eval_shape(lambda g, s: transformation.update(g, s), params, state)
    except Exception:
        return True
    return False


def _resolve(
    seen: Survey,
    found: StepFactorization,
    params: Params,
    settings: InspectSettings,
    over_window: Growth | None,
    flat: int,
) -> Inspection:
    """The numbers of one survey and the factorizations after it (host, float64)."""
    tolerance, maps = settings.tolerance, found.maps
    hessian = ritz_values(seen.hessian, symmetric=True, tolerance=tolerance)
    both = {
        name: ritz_values(maps[name], left=maps[f"{name} left"], overlap=o, tolerance=tolerance)
        for name, o in found.overlaps.items()
    }
    joint, product = both.get("joint"), both.get("product") or _elementwise(seen, tolerance)
    frozen = both.get("frozen") or product.shifted(float(found.decay), float(found.drift))
    silent = flat > 0 and float(seen.least) == 0 == float(seen.largest)
    if silent:
        joint, product, frozen = joint and joint.unsure(), product.unsure(), frozen.unsure()
    sharpness, smallest = extreme(hessian, largest=True), extreme(hessian, largest=False)
    response = _diagonal(seen) if seen.diagonal else _response(found, "", tolerance)
    response = response.unsure() if silent else response
    distance = _distance(seen, found, sharpness, tolerance)
    steps = summarize_steps(seen.steps, float(seen.alpha_spread), params)
    theorem1, theorem1_prime = theorem_margins(
        sharpness,
        smallest,
        response.smallest,
        response.largest,
        response.asymmetry,
        distance,
        alpha=steps.median,
        outside=PIECEWISE if silent else "",
    )
    return Inspection(
        loss=float(seen.loss),
        hessian=hessian,
        sharpness=sharpness,
        smallest_curvature=smallest,
        steps=steps,
        response=response,
        blackbox=_response(found, "blackbox ", tolerance) if "blackbox skew" in maps else None,
        frozen=frozen,
        frozen_radius=radius(frozen),
        product=product,
        preconditioned_sharpness=extreme(product, largest=True),
        joint=joint,
        radius=radius(joint) if joint else NOTHING,
        theorem1=theorem1,
        theorem1_prime=theorem1_prime,
        growth=over_window,
        held=int(seen.held_count),
        flat=flat,
    )


def _elementwise(seen: Survey, tolerance: float) -> EigenEstimate:
    """The eigenvalues of M H for a diagonal M; real, and their errors bounds, where M >= 0."""
    if not seen.indefinite:
        return ritz_values(seen.product, symmetric=True, tolerance=tolerance)
    # The transpose's projection is the same, see `Survey.overlap`.
    return ritz_values(seen.product, left=seen.product, overlap=seen.overlap, tolerance=tolerance)


def _diagonal(seen: Survey) -> ResponseSummary:
    """The extremes of a diagonal M, exact to rounding."""
    rounding = _rounding(seen) * max(abs(float(seen.least)), abs(float(seen.largest)))
    low, high, zero = (
        Value(v, rounding, rounding, converged=bool(np.isfinite(v)))
        for v in (float(seen.least), float(seen.largest), 0.0)
    )
    return ResponseSummary(low, high, zero)


def _rounding(seen: Survey) -> float:
    return 16.0 * float(np.finfo(seen.least.dtype).eps)


def _response(found: StepFactorization, part: str, tolerance: float) -> ResponseSummary:
    """Extremes of the symmetric part and norm of the skew part."""
    symmetric = ritz_values(found.maps[f"{part}symmetric"], symmetric=True, tolerance=tolerance)
    size = float(np.abs(symmetric.values).max())
    return ResponseSummary(
        smallest=extreme(symmetric, largest=False),
        largest=extreme(symmetric, largest=True),
        asymmetry=skew_norm(found.maps[f"{part}skew"], size, tolerance),
    )


def _distance(seen: Survey, found: StepFactorization, sharpness: Value, tolerance: float) -> Value:
    """|M - I/h|_2, the root of the largest eigenvalue of (M - I/h)^T (M - I/h)."""
    if seen.diagonal:
        rounding = _rounding(seen)
        inverse = 1 / sharpness.value if sharpness.value > 0 else 0.0
        size = max(abs(float(end) - inverse) for end in (seen.least, seen.largest))
        return Value(size, rounding * size, rounding * size, converged=bool(np.isfinite(size)))
    squared = ritz_values(found.maps["distance"], symmetric=True, tolerance=tolerance)
    top = extreme(squared, largest=True)
    root = float(np.sqrt(max(top.value, 0.0)))
    # |sqrt a - sqrt b| <= |a - b| / sqrt a.
    scale = 1 / root if root > 0 else float("inf")
    return Value(root, top.residual * scale, top.error * scale, top.converged)
