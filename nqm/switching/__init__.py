"""Products of updates in any order: the joint spectral radius of a set, between proved bounds."""
