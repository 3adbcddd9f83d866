"""The noisy quadratic of section 4 as a task, noise and initial state drawn in JAX."""

import jax
import jax.numpy as jnp
import numpy as np

from lopt.tasks.task import Task
from nqm.moments.simulation import covariance_root
from nqm.quadratic import NoisyQuadratic


def quadratic_task(
    quadratic: NoisyQuadratic,
    name: str = "quadratic",
    *,
    noisy_minimum: bool = True,
    loss_ceiling: float = float("inf"),
) -> Task:
    """1/2 (phi - xi)^T H (phi - xi) with a new xi ~ N(0, S) at every step, equation (4).

    Its gradient is H phi - H xi, of covariance H S H. Parameters are one float32 vector ``[N]``,
    drawn from N(m, S0). Appendix B.1's quadratic is ``nqm.example("paper").quadratic``.

    Parameters
    ----------
    quadratic
        H, S, m and S0.
    name
        How messages call the task.
    noisy_minimum
        False for the convention of footnote 1: the loss is 1/2 phi^T H phi, without noise, and
        its gradient is the same noisy one. Its second derivative is H in either convention.
    loss_ceiling
        Where the meta-loss is clipped; the paper clips none.

    Examples
    --------
    >>> import nqm
    >>> task = quadratic_task(nqm.NoisyQuadratic([[2.0, 1.0], [1.0, 2.0]]))   # S = 0
    >>> jax.grad(task.loss)(jnp.array([1.0, 0.0]), jax.random.key(0), ())
    Array([2., 1.], dtype=float32)
    """
    hessian = np.asarray(quadratic.hessian, np.float32)
    noise_root = np.asarray(covariance_root(quadratic.noise_covariance), np.float32)
    initial_root = np.asarray(covariance_root(quadratic.initial_covariance), np.float32)
    mean = np.asarray(quadratic.initial_mean, np.float32)
    shape = (quadratic.dimension,)

    def init(key: jax.Array) -> jax.Array:
        return jnp.asarray(mean) + initial_root @ jax.random.normal(key, shape, jnp.float32)

    def loss(params: jax.Array, key: jax.Array, batch: tuple[()]) -> jax.Array:
        del batch
        noise = noise_root @ jax.random.normal(key, shape, jnp.float32)
        if noisy_minimum:
            error = params - noise
            return 0.5 * error @ (hessian @ error)
        # Zero, with the gradient of the noise.
        tilt = (params - jax.lax.stop_gradient(params)) @ (hessian @ noise)
        return 0.5 * params @ (hessian @ params) - tilt

    return Task(name, init, loss, loss_ceiling=loss_ceiling, quadratic=quadratic)
