"""Stability of learned optimizers on the noisy quadratic model, in float64 with NumPy and SciPy."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nqm.bounds import Condition as Condition
    from nqm.bounds import lemma2 as lemma2
    from nqm.bounds import lemma3 as lemma3
    from nqm.bounds import theorem1 as theorem1
    from nqm.bounds import theorem1_prime as theorem1_prime
    from nqm.bounds_general import descent as descent
    from nqm.bounds_general import eigenvector_condition as eigenvector_condition
    from nqm.bounds_general import numerical_radius as numerical_radius
    from nqm.bounds_general import numerical_radius_condition as numerical_radius_condition
    from nqm.certificates import LyapunovCertificate as LyapunovCertificate
    from nqm.certificates import check_lyapunov as check_lyapunov
    from nqm.certificates import lyapunov_certificate as lyapunov_certificate
    from nqm.checker import check as check
    from nqm.closed_forms import descent_norm as descent_norm
    from nqm.closed_forms import lemma2_interval as lemma2_interval
    from nqm.closed_forms import lemma3_bounds as lemma3_bounds
    from nqm.closed_forms import momentum_eigenvalues as momentum_eigenvalues
    from nqm.closed_forms import theorem1_interval as theorem1_interval
    from nqm.closed_forms import theorem1_prime_norm as theorem1_prime_norm
    from nqm.exact import Interval as Interval
    from nqm.exact import crossing_steps as crossing_steps
    from nqm.exact import nominal_step_interval as nominal_step_interval
    from nqm.exact import nominal_step_intervals as nominal_step_intervals
    from nqm.exact import second_compound as second_compound
    from nqm.examples import Example as Example
    from nqm.examples import example as example
    from nqm.files import read_array as read_array
    from nqm.gradient_samples import GradientSamples as GradientSamples
    from nqm.gradient_samples import sample_meta_gradients as sample_meta_gradients
    from nqm.gradient_variance import GradientVariance as GradientVariance
    from nqm.gradient_variance import meta_gradient_variance as meta_gradient_variance
    from nqm.judgement import judge as judge
    from nqm.judgement import symmetric_spectrum as symmetric_spectrum
    from nqm.limits import LimitLoss as LimitLoss
    from nqm.limits import LimitMoments as LimitMoments
    from nqm.limits import limit_loss as limit_loss
    from nqm.limits import limit_moments as limit_moments
    from nqm.metagradient import MetaGradient as MetaGradient
    from nqm.metagradient import expected_meta_gradient as expected_meta_gradient
    from nqm.minibatch import MeanSquare as MeanSquare
    from nqm.minibatch import mean_square_matrix as mean_square_matrix
    from nqm.minibatch import minibatch_mean_square as minibatch_mean_square
    from nqm.minibatch import minibatch_step_limit as minibatch_step_limit
    from nqm.minibatch import second_moment_step as second_moment_step
    from nqm.moments import ExpectedLoss as ExpectedLoss
    from nqm.moments import expected_loss as expected_loss
    from nqm.momentum import aggmo_limit as aggmo_limit
    from nqm.momentum import delay_limit as delay_limit
    from nqm.momentum import exponential_average_limit as exponential_average_limit
    from nqm.momentum import heavy_ball_ellipse as heavy_ball_ellipse
    from nqm.momentum import heavy_ball_limit as heavy_ball_limit
    from nqm.momentum import momentum_condition as momentum_condition
    from nqm.momentum import nesterov_limit as nesterov_limit
    from nqm.quadratic import NoisyQuadratic as NoisyQuadratic
    from nqm.report import StabilityReport as StabilityReport
    from nqm.rigorous import Proof as Proof
    from nqm.rigorous import prove_matrix as prove_matrix
    from nqm.rigorous import prove_stability as prove_stability
    from nqm.robust import RobustReport as RobustReport
    from nqm.robust import robust_stability as robust_stability
    from nqm.rule_table import NamedRule as NamedRule
    from nqm.rule_table import parse_rule as parse_rule
    from nqm.rules import aggmo_rule as aggmo_rule
    from nqm.rules import aggregated_momentum_rule as aggregated_momentum_rule
    from nqm.rules import averaged_rule as averaged_rule
    from nqm.rules import delayed_rule as delayed_rule
    from nqm.rules import exponential_average_rule as exponential_average_rule
    from nqm.rules import frozen_adam_rule as frozen_adam_rule
    from nqm.rules import heavy_ball_rule as heavy_ball_rule
    from nqm.rules import nesterov_rule as nesterov_rule
    from nqm.rules import nominal_momentum_rule as nominal_momentum_rule
    from nqm.simulate import Trajectories as Trajectories
    from nqm.simulate import sample_trajectories as sample_trajectories
    from nqm.spectrum import Spectrum as Spectrum
    from nqm.spectrum import eigenvalues as eigenvalues
    from nqm.spectrum import loss_norm_matrix as loss_norm_matrix
    from nqm.spectrum import spectral_radius as spectral_radius
    from nqm.spectrum import symmetric_eigenvalues as symmetric_eigenvalues
    from nqm.state_moments import Moments as Moments
    from nqm.state_moments import parameter_moments as parameter_moments
    from nqm.symmetric_loss import LossSpectrum as LossSpectrum
    from nqm.symmetric_loss import loss_spectrum as loss_spectrum
    from nqm.symmetric_loss import spectral_loss as spectral_loss
    from nqm.transient import Transient as Transient
    from nqm.transient import kreiss_constant as kreiss_constant
    from nqm.transient import transient_growth as transient_growth
    from nqm.updates import UpdateRule as UpdateRule
    from nqm.updates import cancellation_rule as cancellation_rule
    from nqm.updates import cancelled_step_matrix as cancelled_step_matrix
    from nqm.updates import memoryless_rule as memoryless_rule
    from nqm.updates import perturbed_preconditioner as perturbed_preconditioner
    from nqm.updates import perturbed_rule as perturbed_rule
    from nqm.updates import plain_rule as plain_rule
    from nqm.updates import preconditioned_update_matrix as preconditioned_update_matrix
    from nqm.updates import root_and_inverse_root as root_and_inverse_root
    from nqm.updates import step_matrix as step_matrix
    from nqm.updates import update_matrix as update_matrix

# Public name -> module. Loaded at first use, so that `import nqm` and `nqm --help` stay light.
EXPORTS = {
    "Condition": "bounds",
    "Example": "examples",
    "ExpectedLoss": "moments",
    "GradientSamples": "gradient_samples",
    "GradientVariance": "gradient_variance",
    "Interval": "exact",
    "LimitLoss": "limits",
    "LimitMoments": "limits",
    "LossSpectrum": "symmetric_loss",
    "LyapunovCertificate": "certificates",
    "MeanSquare": "minibatch",
    "MetaGradient": "metagradient",
    "Moments": "state_moments",
    "NamedRule": "rule_table",
    "NoisyQuadratic": "quadratic",
    "Proof": "rigorous",
    "RobustReport": "robust",
    "Spectrum": "spectrum",
    "StabilityReport": "report",
    "Trajectories": "simulate",
    "Transient": "transient",
    "UpdateRule": "updates",
    "aggmo_limit": "momentum",
    "aggmo_rule": "rules",
    "aggregated_momentum_rule": "rules",
    "averaged_rule": "rules",
    "cancellation_rule": "updates",
    "cancelled_step_matrix": "updates",
    "check": "checker",
    "check_lyapunov": "certificates",
    "crossing_steps": "exact",
    "delay_limit": "momentum",
    "delayed_rule": "rules",
    "descent": "bounds_general",
    "descent_norm": "closed_forms",
    "eigenvalues": "spectrum",
    "eigenvector_condition": "bounds_general",
    "example": "examples",
    "expected_loss": "moments",
    "expected_meta_gradient": "metagradient",
    "exponential_average_limit": "momentum",
    "exponential_average_rule": "rules",
    "frozen_adam_rule": "rules",
    "heavy_ball_ellipse": "momentum",
    "heavy_ball_limit": "momentum",
    "heavy_ball_rule": "rules",
    "judge": "judgement",
    "kreiss_constant": "transient",
    "lemma2": "bounds",
    "lemma2_interval": "closed_forms",
    "lemma3": "bounds",
    "lemma3_bounds": "closed_forms",
    "limit_loss": "limits",
    "limit_moments": "limits",
    "loss_norm_matrix": "spectrum",
    "loss_spectrum": "symmetric_loss",
    "lyapunov_certificate": "certificates",
    "mean_square_matrix": "minibatch",
    "memoryless_rule": "updates",
    "meta_gradient_variance": "gradient_variance",
    "minibatch_mean_square": "minibatch",
    "minibatch_step_limit": "minibatch",
    "momentum_condition": "momentum",
    "momentum_eigenvalues": "closed_forms",
    "nesterov_limit": "momentum",
    "nesterov_rule": "rules",
    "nominal_momentum_rule": "rules",
    "nominal_step_interval": "exact",
    "nominal_step_intervals": "exact",
    "numerical_radius": "bounds_general",
    "numerical_radius_condition": "bounds_general",
    "parameter_moments": "state_moments",
    "parse_rule": "rule_table",
    "perturbed_preconditioner": "updates",
    "perturbed_rule": "updates",
    "plain_rule": "updates",
    "preconditioned_update_matrix": "updates",
    "prove_matrix": "rigorous",
    "prove_stability": "rigorous",
    "read_array": "files",
    "robust_stability": "robust",
    "root_and_inverse_root": "updates",
    "sample_meta_gradients": "gradient_samples",
    "sample_trajectories": "simulate",
    "second_compound": "exact",
    "second_moment_step": "minibatch",
    "spectral_loss": "symmetric_loss",
    "spectral_radius": "spectrum",
    "step_matrix": "updates",
    "symmetric_eigenvalues": "spectrum",
    "symmetric_spectrum": "judgement",
    "theorem1": "bounds",
    "theorem1_interval": "closed_forms",
    "theorem1_prime": "bounds",
    "theorem1_prime_norm": "closed_forms",
    "transient_growth": "transient",
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
