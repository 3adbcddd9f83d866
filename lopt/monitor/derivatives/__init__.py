"""The linear maps that are watched: the Hessian, and one optimizer step about a state."""
