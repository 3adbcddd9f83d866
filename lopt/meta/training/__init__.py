"""Meta-training step by step: the trainer, its loop, what it watches, its processes."""
