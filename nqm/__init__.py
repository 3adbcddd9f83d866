"""Stability of learned optimizers on the noisy quadratic model, in float64 with NumPy and SciPy."""
