"""Stability of learned optimizers on the noisy quadratic model, in float64 with NumPy and SciPy."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
