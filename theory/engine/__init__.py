"""What a proof is made of: symbols, exact decisions, steps, statements."""
