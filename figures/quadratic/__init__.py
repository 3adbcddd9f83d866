"""Figures on the noisy quadratic model, computed by `nqm`."""
