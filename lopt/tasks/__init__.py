"""What is trained in the inner loop, and its data."""
