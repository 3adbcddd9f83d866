"""The core under JAX: the same functions, jitted, mapped and differentiated, equal to NumPy's."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nqm
from tests.nqm.strategies import hessian

RNG = np.random.default_rng(0)
H = hessian(RNG, 3, 1.0)
H = H / np.linalg.eigvalsh(H)[-1]
P = RNG.standard_normal((3, 3)) * 0.2
S = (P + P.T) / 2


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


# Functions of (H, P, alpha); S instead of P where they need a symmetric one.
ANY_P: dict[str, Callable[..., Any]] = {
    "step_matrix": lambda H, P, a: nqm.step_matrix(P, a),
    "update_matrix": nqm.update_matrix,
    "preconditioned": nqm.preconditioned_update_matrix,
    "loss_norm_matrix": nqm.loss_norm_matrix,
    "spectral_radius": lambda H, P, a: nqm.spectral_radius(nqm.update_matrix(H, P, a)),
    "plain": lambda H, P, a: nqm.plain_rule(H, P, a),
    "heavy_ball": lambda H, P, a: nqm.heavy_ball_rule(H, P, a, 0.9),
    "exponential": lambda H, P, a: nqm.exponential_average_rule(H, P, a, 0.9),
    "aggmo": lambda H, P, a: nqm.aggmo_rule(H, P, a, [0.0, 0.9]),
    "nesterov": lambda H, P, a: nqm.nesterov_rule(H, P, a, 0.9),
    "lookahead": lambda H, P, a: nqm.nesterov_rule(H, P, a, 0.9, lookahead=True),
    "adam": lambda H, P, a: nqm.frozen_adam_rule(H, P, a, 0.9, 0.1),
    "nominal": lambda H, P, a: nqm.nominal_momentum_rule(H, P, a, 0.9),
    "delayed": lambda H, P, a: nqm.delayed_rule(H, P, a, 2),
    "averaged": lambda H, P, a: nqm.averaged_rule(nqm.plain_rule(H, P, a), 0.9),
    "perturbed": lambda H, P, a: nqm.perturbed_rule(H, P, a, np.array([0.5, 1.0, 2.0])),
    "cancelled": lambda H, P, a: nqm.cancellation_rule(H, P, a, 0.7),
    "lemma3": lambda H, P, a: nqm.lemma3_bounds(H, a, np.array([0.5, 1.0, 2.0])),
    "theorem1 prime": nqm.theorem1_prime_norm,
    "descent": nqm.descent_norm,
    "second moment": lambda H, P, a: nqm.second_moment_step(H, nqm.step_matrix(P, a), 4.0, H),
    "mean square": lambda H, P, a: nqm.mean_square_matrix(nqm.update_matrix(H, P, a)[None]),
}
SYMMETRIC: dict[str, Callable[..., Any]] = {
    "symmetric_eigenvalues": nqm.symmetric_eigenvalues,
    "lemma2": lambda H, P, a: nqm.lemma2_interval(H, P + a * np.eye(3)),
    "momentum": lambda H, P, a: nqm.momentum_eigenvalues(H, [P, a * P], [0.5, 0.9]),
    "interval": lambda H, P, a: nqm.nominal_step_interval(H, P + a * np.eye(3)),
    "theorem1": lambda H, P, a: nqm.theorem1_interval(H, P + a * np.eye(3)),
}
ALL = {**ANY_P, **SYMMETRIC}


def total(result: Any) -> Any:
    """One number that depends on every entry of the result."""
    return sum(
        (leaf * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape)).sum()
        for leaf in jax.tree.leaves(result)
    )


@pytest.mark.parametrize("name", ALL)
def test_jit_and_vmap_agree_with_numpy(name: str) -> None:
    function, matrix = ALL[name], S if name in SYMMETRIC else P
    steps = np.array([0.1, 0.4, 0.9])
    mapped = jax.jit(jax.vmap(function, in_axes=(None, None, 0)))
    leaves = jax.tree.leaves(mapped(jnp.array(H), jnp.array(matrix), jnp.array(steps)))
    for k, step in enumerate(steps):
        expected = jax.tree.leaves(function(H, matrix, float(step)))
        assert all(isinstance(e, (np.ndarray, np.generic)) for e in expected)
        for ours, theirs in zip(leaves, expected, strict=True):
            assert ours.dtype == jnp.float64
            assert np.allclose(ours[k], theirs, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_grad_agrees_with_finite_differences(name: str) -> None:
    function, matrix = ALL[name], S if name in SYMMETRIC else P
    direction = S if name in SYMMETRIC else RNG.standard_normal((3, 3))

    def along(t: Any) -> Any:
        return total(function(jnp.array(H), jnp.array(matrix) + t * direction, 0.4 + t))

    gradient = float(jax.jit(jax.grad(along))(0.0))
    step = 1e-5
    numeric = (float(along(step)) - float(along(-step))) / (2 * step)
    assert gradient == pytest.approx(numeric, rel=1e-5, abs=1e-6)


def test_eigenvalues_run_under_jit() -> None:
    A = nqm.update_matrix(H, P, 0.4)
    ours = jax.jit(nqm.eigenvalues)(jnp.array(A))
    assert np.allclose(np.sort_complex(np.asarray(ours)), np.sort_complex(nqm.eigenvalues(A)))


def test_float32_stays_float32() -> None:
    A = nqm.update_matrix(jnp.array(H, dtype=jnp.float32), P, 0.4)
    assert A.dtype == jnp.float32


def test_nqm_itself_imports_no_jax() -> None:
    import subprocess
    import sys

    code = "import sys, nqm; [getattr(nqm, n) for n in nqm.__all__]; print('jax' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
