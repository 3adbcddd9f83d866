"""Figures of what `lopt.monitor` sees: the edge of stability, and what eigenvalues foretell."""
