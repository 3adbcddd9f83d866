"""Figures of optimizers that were meta-trained on one MLP, on other tasks."""
