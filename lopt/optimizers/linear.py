"""The optimizer of the paper's analysis: a nominal step plus a dense preconditioner."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lopt.optimizers.constants import require_count, require_number
from lopt.optimizers.parts.leaves import require_real
from nqm.rules.linear import step_matrix
from nqm.untrusted import one_line

# Of a dense P.
MOST_DIMENSIONS = 2**15


@dataclass(frozen=True)
class LinearConfig:
    """What is fixed by hand in `linear`; P is its meta-parameter, zero before meta-training.

    Parameters
    ----------
    dimension
        N, of the parameter vector.
    nominal_step
        alpha.

    Raises
    ------
    ValueError
        Where `nominal_step` is not finite, or P would have no entry or more than 2^30.

    Examples
    --------
    >>> LinearConfig(2, 0.1).init(jax.random.key(0)).shape
    (2, 2)
    """

    dimension: int
    nominal_step: float

    def __post_init__(self) -> None:
        require_count("dimension", self.dimension, MOST_DIMENSIONS)
        require_number("nominal_step", self.nominal_step)

    def init(self, key: jax.Array) -> jax.Array:
        """P = 0, ``[N, N]``."""
        del key
        return jnp.zeros((self.dimension, self.dimension), jnp.float32)

    def make(
        self, preconditioner: jax.Array, *, fused: bool = True
    ) -> optax.GradientTransformationExtraArgs:
        """The optimizer of P."""
        del fused
        return linear(preconditioner, self.nominal_step)


def linear(preconditioner: jax.Array, nominal_step: Any) -> optax.GradientTransformationExtraArgs:
    """The update -(alpha I + P) g of one parameter vector, equations (5) and (6).

    P is the meta-parameter that Figure 2 trains. On `lopt.tasks.quadratic.quadratic_task` the
    dynamics are ``nqm.plain_rule(H, P, alpha)``.

    Parameters
    ----------
    preconditioner
        P, any real ``[N, N]``.
    nominal_step
        alpha, a scalar.

    Raises
    ------
    ValueError
        Where alpha is not finite; on `init` or `update`, where the parameters or the gradient are
        not one real array ``[N]``.

    Examples
    --------
    >>> optimizer = linear(jnp.array([[0.0, 1.0], [0.0, 0.0]]), nominal_step=0.5)
    >>> params = jnp.zeros(2)
    >>> update, _ = optimizer.update(jnp.array([2.0, 4.0]), optimizer.init(params))
    >>> update
    Array([-5., -2.], dtype=float32)
    """
    size = preconditioner.shape[0]
    require_number("nominal_step", nominal_step)

    def check(tree: Any) -> None:
        shapes = [getattr(leaf, "shape", None) for leaf in jax.tree.leaves(tree)]
        if not hasattr(tree, "shape") or shapes != [(size,)]:
            raise ValueError(
                f"linear needs parameters that are one vector of {size} numbers; their shapes are "
                f"{one_line(str(shapes), 60)}. Pass jax.flatten_util.ravel_pytree(params)[0]."
            )
        require_real(tree)

    def init(params: Any) -> optax.EmptyState:
        check(params)
        return optax.EmptyState()

    def update(
        gradients: Any, state: optax.EmptyState, params: Any = None, **extra: Any
    ) -> tuple[Any, optax.EmptyState]:
        del params, extra
        check(gradients)
        matrix = step_matrix(preconditioner, nominal_step)
        return -(matrix @ gradients).astype(gradients.dtype), state

    return optax.GradientTransformationExtraArgs(init, update)
