"""A run directory: configuration, metrics, checkpoints, the writer and the lock."""
