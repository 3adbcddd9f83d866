"""Moments of the parameters and the expected loss, at any horizon and in the limit."""
