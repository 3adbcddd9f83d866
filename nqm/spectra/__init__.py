"""Eigenvalues of update matrices: enclosures, certificates, proofs, transients, mini-batches."""
