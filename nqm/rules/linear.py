"""Update rules as linear maps: x' = F x + B xi, phi = C x, x_0 = E phi_0.

Letters: H the hessian, alpha the nominal_step, P the preconditioner, M = alpha I + P the
step_matrix, A = I - M H the update_matrix, xi the noise on the minimum. Every function takes its
namespace from its arguments, so it serves NumPy on the host and JAX inside `jit`, `vmap`, `grad`.
"""

from typing import NamedTuple

from nqm.namespace import AnyArray, common
from nqm.spectra.eigenvalues import root_and_inverse_root


class UpdateRule(NamedTuple):
    """A linear optimizer on the quadratic: x' = F x + B xi, phi = C x, x_0 = E phi_0.

    A tuple of four arrays and nothing else, so it passes through `jax.jit` and `jax.vmap`. Any
    such tuple is a rule: build one to add your own.

    Attributes
    ----------
    joint_matrix : (K, K) array
        F, the map of the joint state: parameters and hidden state together.
    noise_matrix : (K, N) array
        B, how the noise xi on the minimum enters.
    readout : (N, K) array
        C, which reads the parameters from the state.
    lift : (K, N) array
        E, the state that belongs to the initial parameters; C E = I.

    Examples
    --------
    Sign flipping, phi' = -phi, noiseless:

    >>> import numpy as np
    >>> from nqm import UpdateRule
    >>> one = np.eye(1)
    >>> rule = UpdateRule(-one, 0 * one, one, one)
    >>> np.linalg.eigvals(rule.joint_matrix).real.tolist()
    [-1.0]
    """

    joint_matrix: AnyArray
    noise_matrix: AnyArray
    readout: AnyArray
    lift: AnyArray


def step_matrix(preconditioner: AnyArray, nominal_step: AnyArray) -> AnyArray:
    """M = alpha I + P, what multiplies the gradient in (5) for the nominal term alpha g.

    Parameters
    ----------
    preconditioner : (N, N) array
        P, any real matrix.
    nominal_step : scalar
        alpha.

    Returns
    -------
    (N, N) array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import step_matrix
    >>> P = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> bool(np.array_equal(step_matrix(P, 0.5) - P, 0.5 * np.eye(2)))
    True
    """
    xp, (P, alpha) = common(preconditioner, nominal_step)
    return P + alpha * xp.eye(P.shape[0], dtype=P.dtype)


def update_matrix(
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: AnyArray
) -> AnyArray:
    """A = I - (alpha I + P) H of phi' = A phi + (I - A) xi, equation (6).

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric.
    preconditioner : (N, N) array or None
        P, any real matrix; None means zero.
    nominal_step : scalar
        alpha.

    Returns
    -------
    (N, N) array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import update_matrix
    >>> H = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> P = np.array([[0.0, 2.0], [0.0, 0.5]])  # eigenvalues 0 and 1/2, yet A has -2
    >>> sorted(np.linalg.eigvals(update_matrix(H, P, 0.0)).real.round(12).tolist())
    [-2.0, 1.0]
    """
    xp, (H, P, alpha) = common(hessian, preconditioner, nominal_step)
    identity = xp.eye(H.shape[0], dtype=H.dtype)
    if P is None:
        return identity - alpha * H
    return identity - (alpha * identity + P) @ H


def plain_rule(
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: AnyArray
) -> UpdateRule:
    """phi' = phi - (alpha I + P) H (phi - xi) as an UpdateRule, equation (6).

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `update_matrix`.

    Returns
    -------
    UpdateRule
        F = A, B = I - A, C = E = I, all (N, N).

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import plain_rule, update_matrix
    >>> H = np.diag([1.0, 4.0])
    >>> rule = plain_rule(H, None, 0.25)
    >>> bool(np.array_equal(rule.joint_matrix, update_matrix(H, None, 0.25)))
    True
    >>> bool(np.allclose(rule.joint_matrix + rule.noise_matrix, np.eye(2)))
    True
    """
    return memoryless_rule(update_matrix(hessian, preconditioner, nominal_step))


def memoryless_rule(update_matrix: AnyArray) -> UpdateRule:
    """phi' = A phi + (I - A) xi as an UpdateRule, for any A.

    Parameters
    ----------
    update_matrix : (N, N) array
        A.

    Returns
    -------
    UpdateRule
        F = A, B = I - A, C = E = I.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import memoryless_rule
    >>> rule = memoryless_rule(np.diag([0.5, 0.25]))
    >>> np.diag(rule.noise_matrix).tolist()
    [0.5, 0.75]
    """
    xp, (A,) = common(update_matrix)
    identity = xp.eye(A.shape[0], dtype=A.dtype)
    return UpdateRule(A, identity - A, identity, identity)


def preconditioned_update_matrix(
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: AnyArray
) -> AnyArray:
    """A = I - H^-1/2 (alpha I + P) H, equation (12), again (A.19).

    H must be positive definite. JAX's derivative passes through an eigendecomposition of H and
    is not defined where H has a repeated eigenvalue.

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `update_matrix`.

    Returns
    -------
    (N, N) array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import preconditioned_update_matrix
    >>> H = np.diag([4.0, 9.0])
    >>> np.diag(preconditioned_update_matrix(H, None, 0.5)).tolist()  # 1 - sqrt(h)/2
    [0.0, -0.5]
    """
    xp, (H, P, alpha) = common(hessian, preconditioner, nominal_step)
    identity = xp.eye(H.shape[0], dtype=H.dtype)
    M = alpha * identity if P is None else alpha * identity + P
    return identity - root_and_inverse_root(H)[1] @ M @ H


def perturbed_preconditioner(preconditioner: AnyArray, disturbance: AnyArray) -> AnyArray:
    """P = Delta P~ with Delta = diag(d), equation (15).

    Parameters
    ----------
    preconditioner : (N, N) array
        P~, the preconditioner meant.
    disturbance : (N,) or (N, N) array
        d, or Delta itself.

    Returns
    -------
    (N, N) array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import perturbed_preconditioner
    >>> P = np.array([[1.0, 2.0], [2.0, 1.0]])
    >>> perturbed_preconditioner(P, np.array([1.0, 0.5])).tolist()
    [[1.0, 2.0], [1.0, 0.5]]
    """
    _, (P, d) = common(preconditioner, disturbance)
    return d[:, None] * P if d.ndim == 1 else d @ P


def cancelled_step_matrix(
    target: AnyArray, nominal_step: AnyArray, disturbance: AnyArray
) -> AnyArray:
    """M = alpha (I - Delta) + Delta P*, equation (18): P~ = P* - alpha I under the disturbance.

    For Delta = I it is P*, equation (14). For Delta = (1 - eps) I this is alpha eps I + (1 - eps)
    P*; equation (19) prints the second sign wrong.

    Parameters
    ----------
    target : (N, N) array
        P*, the step matrix wanted.
    nominal_step : scalar
        alpha, the step that P~ is to cancel.
    disturbance : (N,) or (N, N) array
        d, or Delta itself.

    Returns
    -------
    (N, N) array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import cancelled_step_matrix
    >>> target, eps = np.diag([1.0, 2.0]), 0.25
    >>> M = cancelled_step_matrix(target, 0.5, (1 - eps) * np.ones(2))
    >>> bool(np.allclose(M, 0.5 * eps * np.eye(2) + (1 - eps) * target))
    True
    """
    xp, (P, alpha, d) = common(target, nominal_step, disturbance)
    shifted = P - alpha * xp.eye(P.shape[0], dtype=P.dtype)
    return step_matrix(perturbed_preconditioner(shifted, d), alpha)


def perturbed_rule(
    hessian: AnyArray,
    preconditioner: AnyArray | None,
    nominal_step: AnyArray,
    disturbance: AnyArray,
) -> UpdateRule:
    """phi' = phi - (alpha I + Delta P~) g as an UpdateRule, equation (15).

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `update_matrix`, the preconditioner being P~.
    disturbance : scalar, (N,) or (N, N) array
        delta of Delta = delta I, d of Delta = diag(d), or Delta.

    Returns
    -------
    UpdateRule

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import perturbed_rule, plain_rule
    >>> H, P = np.diag([1.0, 2.0]), np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> perturbed = perturbed_rule(H, P, 0.5, 0.25)
    >>> bool(np.array_equal(perturbed.joint_matrix, plain_rule(H, 0.25 * P, 0.5).joint_matrix))
    True
    """
    _, (H, P, d) = common(hessian, preconditioner, disturbance)
    if P is not None:
        P = d * P if d.ndim == 0 else perturbed_preconditioner(P, d)
    return plain_rule(H, P, nominal_step)


def cancellation_rule(
    hessian: AnyArray,
    target: AnyArray | None,
    nominal_step: AnyArray,
    disturbance: AnyArray,
) -> UpdateRule:
    """phi' = phi - (alpha (I - Delta) + Delta P*) g as an UpdateRule, (18) and, corrected, (19).

    Without a disturbance, Delta = I, the nominal term is cancelled as in (14).

    Parameters
    ----------
    hessian : (N, N) array
        H.
    target : (N, N) array or None
        P*; None means zero.
    nominal_step : scalar
        alpha.
    disturbance : scalar, (N,) or (N, N) array
        As for `perturbed_rule`; delta = 1 - eps in (19).

    Returns
    -------
    UpdateRule

    Examples
    --------
    Only eps < 0 can destabilize: H = 1, alpha = 1, P* = 0, eps = -1/2.

    >>> import numpy as np
    >>> from nqm import cancellation_rule
    >>> cancellation_rule(np.eye(1), None, 1.0, 1.5).joint_matrix.tolist()
    [[1.5]]
    """
    xp, (H, P, alpha, d) = common(hessian, target, nominal_step, disturbance)
    identity = xp.eye(H.shape[0], dtype=H.dtype)
    P = 0 * identity if P is None else P
    Delta = d * identity if d.ndim == 0 else d
    return plain_rule(H, cancelled_step_matrix(P, alpha, Delta), 0.0 * alpha)
