"""Krylov factorizations and what they say of eigenvalues, with errors and enclosures."""
