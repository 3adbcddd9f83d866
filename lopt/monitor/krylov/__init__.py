"""Krylov factorizations and the eigenvalues that they give, with errors and enclosures."""
