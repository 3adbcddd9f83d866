"""STAR learned optimizers in JAX: use them from optax, meta-train them, watch their eigenvalues."""
