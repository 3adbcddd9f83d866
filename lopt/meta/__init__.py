"""Meta-training: estimators of the meta-gradient, the trainer, runs, evaluation."""
