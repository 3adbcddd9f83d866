"""Figures of meta-trained optimizers on Fashion-MNIST, and the runs behind them."""
