"""The meta-gradient of the expected loss: its mean, its variance, and samples of it."""
