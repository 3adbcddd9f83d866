"""STAR learned optimizers in JAX: use them from optax, meta-train them, watch their eigenvalues."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
