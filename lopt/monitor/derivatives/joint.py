"""The linear maps whose eigenvalues are watched: the loss Hessian and one optimizer step."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from lopt.arrays import flat_vector
from lopt.keys import random_key
from lopt.monitor.derivatives.step import (
    Batch,
    Cause,
    Loss,
    Params,
    Response,
    State,
    StepDerivative,
    informed_update,
    linearize_step,
)

__all__ = ["JointOperator", "balance", "hessian_operator", "joint_operator", "update_map"]

StepMap = Callable[[Params, State], tuple[Params, State]]


def hessian_operator(loss: Loss, params: Params, batch: Batch) -> Callable[[Params], Params]:
    """v -> H v, H = d^2 loss / d params^2, by forward over reverse differentiation.

    Parameters
    ----------
    loss : callable, (params, batch) -> scalar
    params : pytree of float arrays
        Where the Hessian is taken.
    batch : pytree
        The data, held.

    Returns
    -------
    callable
        Takes and returns a pytree shaped like `params`. The gradient is linearized once; every
        call costs about two gradient evaluations.

    References
    ----------
    .. [1] Pearlmutter, Neural Computation 6 (1994) 147-160.

    Examples
    --------
    >>> apply = hessian_operator(lambda p, c: c * p[0] ** 2 * p[1], jnp.array([1.0, 2.0]), 1.0)
    >>> [float(x) for x in apply(jnp.array([1.0, 0.0]))]   # H = [[2 p1, 2 p0], [2 p0, 0]]
    [4.0, 2.0]
    """
    return jax.linearize(lambda p: jax.grad(loss)(p, batch), params)[1]


def update_map(
    transformation: optax.GradientTransformation,
    loss: Loss,
    batch: Batch,
    value_and_grad: Callable[[Params, Batch], tuple[Array, Params]] | None = None,
) -> StepMap:
    """(params, state) -> (params + update, next state), one inner step on a batch that is held.

    Parameters
    ----------
    transformation : optax.GradientTransformation
        Its `update` is also given the extra arguments that it takes, see `informed_update`.
    loss : callable, (params, batch) -> scalar
    batch : pytree
        The data of the step; the map never draws another.
    value_and_grad : callable, (params, batch) -> (scalar, pytree), optional
        The loss and what the step takes for its gradient; by default that of `loss`.

    Examples
    --------
    >>> step = update_map(optax.sgd(0.25), lambda p, c: 0.5 * c * p**2, 2.0)
    >>> float(step(jnp.array(1.0), optax.sgd(0.25).init(jnp.array(1.0)))[0])   # 1 - 0.25 * 2
    0.5
    """
    update = informed_update(transformation, loss, batch)

    def step(params: Params, state: State) -> tuple[Params, State]:
        value, grad = (value_and_grad or jax.value_and_grad(loss))(params, batch)
        updates, state = update(grad, state, params, value)
        return optax.apply_updates(params, updates), state

    return step


class JointOperator(NamedTuple):
    """z -> D^-1 J D z, J = d(params', state') / d(params, state), on flat vectors.

    D is diagonal, so the eigenvalues are those of J; residuals, however, are measured in the
    scaled coordinates z.

    Attributes
    ----------
    apply, transpose : callable, (n,) -> (n,)
        The operator and its transpose.
    frozen : callable, (n_params,) -> (n_params,)
        The operator with the incoming hidden state held, A = d params' / d params.
    scale : Array, shape (n,)
        The diagonal of D: parameters first, then the float leaves of the state.
    held : Array of bool, shape (n,)
        Coordinates whose successor has no finite derivative here. They are held as data: their
        rows and columns are zero. Seldom any, see `joint_operator`.
    """

    apply: Callable[[Array], Array]
    transpose: Callable[[Array], Array]
    frozen: Callable[[Array], Array]
    scale: Array
    held: Array


def joint_operator(
    transformation: optax.GradientTransformation,
    loss: Loss,
    params: Params,
    state: State,
    batch: Batch,
    *,
    sweeps: int = 8,
) -> JointOperator:
    """J = d(params', state') / d(params, state) of `update_map`, matrix-free and balanced.

    The float leaves of the state are joined to the parameters; counters, keys and other leaves
    are data. The map is linearized once (one step's cost), each product then costs one jvp.
    Second moments (gradient squared) and parameters differ by ten orders of magnitude, so J is
    badly scaled and an Arnoldi process in float32 on it finds rounding errors. D starts as the
    root mean square of each leaf and is refined by `balance`.

    Entries of the state that are exactly zero are taken as 1e-20: at a weight that never had a
    gradient (a black pixel) Adam's second moment is zero, where its square root has no derivative.
    The weight does not move and its gradient is constant, so no eigenvalue depends on the value.

    Parameters
    ----------
    transformation : optax.GradientTransformation
    loss : callable, (params, batch) -> scalar
    params, state : pytrees
        Where the map is linearized; `state` is the transformation's.
    batch : pytree
        The data of the step, held.
    sweeps : int
        Balancing sweeps, each two products; 0 keeps the scaling by leaf.

    Returns
    -------
    JointOperator

    Raises
    ------
    ValueError
        If a leaf of `params` is not real floating point.

    References
    ----------
    .. [1] Harrison, Metz, Sohl-Dickstein, "A Closer Look at Learned Optimization: Stability,
       Robustness, and Inductive Biases" (2022), section 4.4 and appendix A.4.

    Examples
    --------
    >>> op = joint_operator(optax.sgd(0.1, 0.9), lambda p, c: jnp.sum(c * p**2) / 2,
    ...                     jnp.ones(1), optax.sgd(0.1, 0.9).init(jnp.ones(1)), 2.0)
    >>> J = jax.vmap(op.apply, out_axes=1)(jnp.eye(2))
    >>> [round(float(x), 4) for x in (jnp.trace(J), jnp.linalg.det(J))]   # 1 + 0.9 - 0.2, 0.9
    [1.7, 0.9]
    """
    step = linearize_step(transformation, loss, params, state, batch)
    held = held_coordinates(step)
    count = step.params.shape[0]

    def operator(scale: Array) -> tuple[Callable, Callable]:
        return scaled_step(step, held, scale), scaled_transpose(step, held, scale)

    scale = balance(operator, step.scale, sweeps)
    apply, transpose = operator(scale)

    def frozen(vector: Array) -> Array:
        return apply(jnp.zeros_like(scale).at[:count].set(vector))[:count]

    return JointOperator(apply, transpose, frozen, scale, held)


def held_coordinates(step: StepDerivative) -> Array:
    """Where the step has no finite derivative; see `JointOperator`."""
    ones = jnp.ones_like(step.scale)
    everything = scaled_step(step, jnp.zeros(ones.shape, bool), ones)
    return ~jnp.isfinite(everything(random_signs(random_key(0), ones)))


def scaled_step(step: StepDerivative, held: Array, scale: Array) -> Callable[[Array], Array]:
    """z -> D^-1 J D z, with the rows and columns of held coordinates zero."""
    count = step.params.shape[0]

    def apply(z: Array) -> Array:
        moved = jnp.where(held, 0.0, z) * scale
        dp, ds = moved[:count], moved[count:]
        answer = step.forward(Cause(dp, step.hessian(dp), ds))
        return jnp.where(held, 0.0, flat_vector((dp + answer.update, answer.state)) / scale)

    return apply


def scaled_transpose(step: StepDerivative, held: Array, scale: Array) -> Callable[[Array], Array]:
    """The transpose of `scaled_step`; the Hessian is its own."""
    count, blackbox = step.params.shape[0], jax.eval_shape(step.forward, _zero_cause(step)).blackbox

    def transpose(z: Array) -> Array:
        moved = jnp.where(held, 0.0, z) / scale
        du, ds = moved[:count], moved[count:]
        cause = step.backward(Response(du, ds, jnp.zeros(blackbox.shape, blackbox.dtype)))
        dp = du + cause.params + step.hessian(cause.gradient)
        return jnp.where(held, 0.0, flat_vector((dp, cause.state)) * scale)

    return transpose


def _zero_cause(step: StepDerivative) -> Cause:
    return Cause(*(jnp.zeros_like(x) for x in (step.params, step.gradient, step.state)))


def balance(
    operator: Callable[[Array], tuple[Callable, Callable]], scale: Array, sweeps: int
) -> Array:
    """D with |row_i| ~ |column_i| of D^-1 A D, from products with A and A^T only.

    One sweep multiplies the random signs z by the operator and its transpose: |A z|_i and
    |A^T z|_i estimate the norms of row i and column i, and d_i becomes d_i sqrt(row / column).
    Coordinates with a zero row or column keep their scale. Krylov balancing, KrylovAtz of [1]_;
    from the fourth sweep on the exponent shrinks like 1/k, which averages the noise of z away.

    Parameters
    ----------
    operator : callable
        D -> (v -> D^-1 A D v, v -> D A^T D^-1 v).
    scale : Array, shape (n,)
        The first diagonal of D.
    sweeps : int

    References
    ----------
    .. [1] Chen, Demmel, "Balancing sparse matrices for computing eigenvalues",
       Linear Algebra Appl. 309 (2000) 261-287.

    Examples
    --------
    >>> A = jnp.array([[1.0, 1e6], [1e-6, 1.0]])
    >>> act = lambda d: (lambda v: A @ (d * v) / d, lambda v: d * (A.T @ (v / d)))
    >>> d = balance(act, jnp.ones(2), 20)
    >>> bool(0.3 < d[0] / d[1] / 1e6 < 3.0)
    True
    """

    def sweep(index: Array, scale: Array) -> Array:
        apply, transpose = operator(scale)
        signs = random_signs(jax.random.fold_in(random_key(1), index), scale)
        return balancing_sweep(index, scale, apply(signs), transpose(signs))

    return jax.lax.fori_loop(0, sweeps, sweep, scale)


def balancing_sweep(index: Array, scale: Array, row: Array, column: Array) -> Array:
    """D after sweep number `index` of `balance`, from the products A z and A^T z with signs z."""
    row, column = jnp.abs(row), jnp.abs(column)
    usable = (row > 0) & (column > 0) & jnp.isfinite(row) & jnp.isfinite(column)
    ratio = jnp.where(usable, row, 1.0) / jnp.where(usable, column, 1.0)
    exponent = 0.5 / jnp.maximum(index - 1.0, 1.0)
    return scale * jnp.clip(ratio.astype(scale.dtype) ** exponent.astype(scale.dtype), 1e-3, 1e3)


def random_signs(key: Array, like: Array) -> Array:
    """Independent +1 and -1, shaped like the vector `like`."""
    return jnp.where(_random_bits(key, like) >> 31 == 0, 1.0, -1.0).astype(like.dtype)


def random_uniform(key: Array, like: Array) -> Array:
    """Independent and uniform on [-1, 1), shaped like the vector `like`."""
    return (_random_bits(key, like) >> 8).astype(like.dtype) * 2.0**-23 - 1.0


def _random_bits(key: Array, like: Array) -> Array:
    """A hash of the place: on a CPU fifty times as fast as `jax.random`, which outweighed products.

    Multiply-xorshift rounds with the constants of Wellons' hash-prospector "lowbias32".
    """
    seed = jax.random.bits(key, (2,), jnp.uint32)
    bits = jax.lax.iota(jnp.uint32, like.shape[0]) * jnp.uint32(0x9E3779B9) + seed[0]
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        bits = (bits ^ (bits >> shift)) * jnp.uint32(factor)
    bits = (bits ^ (bits >> 16)) + seed[1]
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        bits = (bits ^ (bits >> shift)) * jnp.uint32(factor)
    return bits ^ (bits >> 16)
