"""The parts of STAR: accumulators, features, network and the sweep over a tensor."""
