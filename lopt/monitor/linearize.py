"""The linear maps whose eigenvalues are watched: the loss Hessian and one optimizer step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

__all__ = ["JointOperator", "balance", "hessian_operator", "joint_operator", "update_map"]

Params = Any
State = Any
Batch = Any
Loss = Callable[[Params, Batch], Array]
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


def update_map(transformation: optax.GradientTransformation, loss: Loss, batch: Batch) -> StepMap:
    """(params, state) -> (params + update, next state), one inner step on a batch that is held.

    Parameters
    ----------
    transformation : optax.GradientTransformation
        Its `update` is also given `value`, `grad` and `value_fn` if it takes extra arguments.
    loss : callable, (params, batch) -> scalar
    batch : pytree
        The data of the step; the map never draws another.

    Examples
    --------
    >>> step = update_map(optax.sgd(0.25), lambda p, c: 0.5 * c * p**2, 2.0)
    >>> float(step(jnp.array(1.0), optax.sgd(0.25).init(jnp.array(1.0)))[0])   # 1 - 0.25 * 2
    0.5
    """
    update = optax.with_extra_args_support(transformation).update

    def step(params: Params, state: State) -> tuple[Params, State]:
        value, grad = jax.value_and_grad(loss)(params, batch)
        value_fn = lambda p: loss(p, batch)  # noqa: E731
        updates, state = update(grad, state, params, value=value, grad=grad, value_fn=value_fn)
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
    _require_float(params)
    split = _split(state)
    point, unravel = ravel_pytree((params, [_off_zero(leaf) for leaf in split.floats]))
    step = update_map(transformation, loss, batch)

    def flat_step(vector: Array) -> Array:
        at, floats = unravel(vector)
        params_next, state_next = step(at, split.join(floats))
        return ravel_pytree((params_next, _split(state_next).floats))[0]

    successor, tangent = jax.linearize(flat_step, point)
    cotangent = jax.linear_transpose(tangent, point)
    held = ~jnp.isfinite(tangent(_signs(jax.random.key(0), point)))
    count = ravel_pytree(params)[0].shape[0]

    def keep(vector: Array) -> Array:
        return jnp.where(held, 0.0, vector)

    def operator(scale: Array) -> tuple[Callable, Callable]:
        return (
            lambda z: keep(tangent(keep(z) * scale) / scale),
            lambda z: keep(cotangent(keep(z) / scale)[0] * scale),
        )

    scale = balance(operator, _leaf_scale(unravel(point), unravel(successor)), sweeps)
    apply, transpose = operator(scale)

    def frozen(vector: Array) -> Array:
        return apply(jnp.zeros_like(point).at[:count].set(vector))[:count]

    return JointOperator(apply, transpose, frozen, scale, held)


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
        signs = _signs(jax.random.fold_in(jax.random.key(1), index), scale)
        row, column = jnp.abs(apply(signs)), jnp.abs(transpose(signs))
        usable = (row > 0) & (column > 0) & jnp.isfinite(row) & jnp.isfinite(column)
        ratio = jnp.where(usable, row, 1.0) / jnp.where(usable, column, 1.0)
        exponent = 0.5 / jnp.maximum(index - 1.0, 1.0)
        return scale * jnp.clip(
            ratio.astype(scale.dtype) ** exponent.astype(scale.dtype), 1e-3, 1e3
        )

    return jax.lax.fori_loop(0, sweeps, sweep, scale)


def _signs(key: Array, like: Array) -> Array:
    return jax.random.rademacher(key, like.shape).astype(like.dtype)


class _SplitState(NamedTuple):
    floats: list[Array]
    join: Callable[[list[Array]], State]


def _is_float(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def _split(state: State) -> _SplitState:
    """The float leaves of a state, and the state as a function of them."""
    leaves, structure = jax.tree.flatten(state)
    places = [i for i, leaf in enumerate(leaves) if _is_float(leaf)]

    def join(floats: list[Array]) -> State:
        replaced = dict(zip(places, floats, strict=True))
        merged = [replaced.get(i, leaf) for i, leaf in enumerate(leaves)]
        return jax.tree.unflatten(structure, merged)

    return _SplitState([jnp.asarray(leaves[i]) for i in places], join)


def _off_zero(leaf: Array) -> Array:
    """`leaf` with 1e-20 in place of exact zeros, see `joint_operator`."""
    tiny = max(1e-20, float(jnp.finfo(leaf.dtype).tiny))
    return jnp.where(leaf == 0, jnp.asarray(tiny, leaf.dtype), leaf)


def _leaf_scale(*trees: Any) -> Array:
    """The root mean square of each leaf over equal trees, one value for all its entries.

    A leaf of zeros gets 1. The step's result counts as well as its start: at the first step the
    hidden state is zero, and what the step makes of it shows its size.
    """

    def spread(*leaves: Array) -> Array:
        size = jnp.sqrt(jnp.mean(jnp.square(jnp.stack(leaves))))
        return jnp.full_like(leaves[0], jnp.where((size > 0) & jnp.isfinite(size), size, 1.0))

    return ravel_pytree(jax.tree.map(spread, *trees))[0]


def _require_float(params: Params) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not _is_float(leaf):
            name = jax.tree_util.keystr(path) or "itself"
            raise ValueError(
                f"params must be real floating point; leaf {name} is "
                f"{jnp.result_type(leaf)}. Convert it, or keep it out of params."
            )
