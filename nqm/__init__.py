"""Stability of learned optimizers on the noisy quadratic model, in float64 with NumPy and SciPy."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nqm.bounds import Condition as Condition
    from nqm.bounds import theorem1 as theorem1
    from nqm.bounds import theorem1_interval as theorem1_interval
    from nqm.certificates import LyapunovCertificate as LyapunovCertificate
    from nqm.certificates import check_lyapunov as check_lyapunov
    from nqm.certificates import lyapunov_certificate as lyapunov_certificate
    from nqm.checker import check as check
    from nqm.exact import Interval as Interval
    from nqm.exact import nominal_step_interval as nominal_step_interval
    from nqm.examples import Example as Example
    from nqm.examples import example as example
    from nqm.files import read_array as read_array
    from nqm.momentum import aggmo_limit as aggmo_limit
    from nqm.momentum import delay_limit as delay_limit
    from nqm.momentum import exponential_average_limit as exponential_average_limit
    from nqm.momentum import heavy_ball_ellipse as heavy_ball_ellipse
    from nqm.momentum import heavy_ball_limit as heavy_ball_limit
    from nqm.momentum import momentum_condition as momentum_condition
    from nqm.momentum import nesterov_limit as nesterov_limit
    from nqm.quadratic import NoisyQuadratic as NoisyQuadratic
    from nqm.report import StabilityReport as StabilityReport
    from nqm.rules import aggmo_rule as aggmo_rule
    from nqm.rules import aggregated_momentum_rule as aggregated_momentum_rule
    from nqm.rules import averaged_rule as averaged_rule
    from nqm.rules import delayed_rule as delayed_rule
    from nqm.rules import exponential_average_rule as exponential_average_rule
    from nqm.rules import frozen_adam_rule as frozen_adam_rule
    from nqm.rules import heavy_ball_rule as heavy_ball_rule
    from nqm.rules import nesterov_rule as nesterov_rule
    from nqm.rules import nominal_momentum_rule as nominal_momentum_rule
    from nqm.spectrum import Spectrum as Spectrum
    from nqm.spectrum import eigenvalues as eigenvalues
    from nqm.spectrum import judge as judge
    from nqm.spectrum import loss_norm_matrix as loss_norm_matrix
    from nqm.spectrum import spectral_radius as spectral_radius
    from nqm.spectrum import symmetric_eigenvalues as symmetric_eigenvalues
    from nqm.spectrum import symmetric_spectrum as symmetric_spectrum
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
    "Condition": "bounds",
    "Example": "examples",
    "Interval": "exact",
    "LyapunovCertificate": "certificates",
    "NoisyQuadratic": "quadratic",
    "Spectrum": "spectrum",
    "StabilityReport": "report",
    "UpdateRule": "updates",
    "aggmo_limit": "momentum",
    "aggmo_rule": "rules",
    "aggregated_momentum_rule": "rules",
    "averaged_rule": "rules",
    "cancelled_step_matrix": "updates",
    "check": "checker",
    "check_lyapunov": "certificates",
    "delay_limit": "momentum",
    "delayed_rule": "rules",
    "eigenvalues": "spectrum",
    "example": "examples",
    "exponential_average_limit": "momentum",
    "exponential_average_rule": "rules",
    "frozen_adam_rule": "rules",
    "heavy_ball_ellipse": "momentum",
    "heavy_ball_limit": "momentum",
    "heavy_ball_rule": "rules",
    "judge": "spectrum",
    "loss_norm_matrix": "spectrum",
    "lyapunov_certificate": "certificates",
    "memoryless_rule": "updates",
    "momentum_condition": "momentum",
    "nesterov_limit": "momentum",
    "nesterov_rule": "rules",
    "nominal_momentum_rule": "rules",
    "nominal_step_interval": "exact",
    "perturbed_preconditioner": "updates",
    "plain_rule": "updates",
    "preconditioned_update_matrix": "updates",
    "read_array": "files",
    "root_and_inverse_root": "updates",
    "spectral_radius": "spectrum",
    "step_matrix": "updates",
    "symmetric_eigenvalues": "spectrum",
    "symmetric_spectrum": "spectrum",
    "theorem1": "bounds",
    "theorem1_interval": "bounds",
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
