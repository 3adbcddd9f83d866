"""The curvature of a loss over many batches: extremes, sampling error, density, by tensor."""
