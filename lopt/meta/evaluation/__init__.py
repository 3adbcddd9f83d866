"""A trained optimizer beside tuned baselines, on held-out seeds."""
