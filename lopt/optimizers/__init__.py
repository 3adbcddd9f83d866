"""STAR and its relatives as optax transformations."""
