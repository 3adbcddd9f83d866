"""The parts of STAR: accumulators, features, network, the sweep over a tensor, the derivative."""
