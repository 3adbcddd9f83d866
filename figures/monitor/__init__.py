"""Figures of `lopt.monitor`: the edge of stability, and what eigenvalues predict."""
