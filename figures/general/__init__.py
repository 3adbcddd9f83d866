"""The optimizer for tasks that it has not seen: meta-training runs, and their comparison."""
