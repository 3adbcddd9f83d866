"""Stability of learned optimizers on the noisy quadratic model, in float64 with NumPy and SciPy."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nqm.quadratic import NoisyQuadratic as NoisyQuadratic
    from nqm.updates import UpdateRule as UpdateRule
    from nqm.updates import cancelled_step_matrix as cancelled_step_matrix
    from nqm.updates import memoryless_rule as memoryless_rule
    from nqm.updates import perturbed_preconditioner as perturbed_preconditioner
    from nqm.updates import plain_rule as plain_rule
    from nqm.updates import preconditioned_update_matrix as preconditioned_update_matrix
    from nqm.updates import root_and_inverse_root as root_and_inverse_root
    from nqm.updates import step_matrix as step_matrix
    from nqm.updates import update_matrix as update_matrix

# Public name -> module. Loaded at first use, so that `import nqm` and `nqm --help` stay light.
EXPORTS = {
    "NoisyQuadratic": "quadratic",
    "UpdateRule": "updates",
    "cancelled_step_matrix": "updates",
    "memoryless_rule": "updates",
    "perturbed_preconditioner": "updates",
    "plain_rule": "updates",
    "preconditioned_update_matrix": "updates",
    "root_and_inverse_root": "updates",
    "step_matrix": "updates",
    "update_matrix": "updates",
}

__all__ = sorted(EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in EXPORTS:
        raise AttributeError(f"module 'nqm' has no attribute {name!r}")
    value = getattr(import_module(f"nqm.{EXPORTS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
