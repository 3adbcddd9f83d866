"""Conditions of stability: the paper's, the general ones, momentum's, and the exact intervals."""
