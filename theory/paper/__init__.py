"""The statements of the paper: as printed, corrected, or with a counterexample."""
