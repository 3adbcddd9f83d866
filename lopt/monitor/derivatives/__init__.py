"""The linear maps that the monitor analyses: the Hessian, and an optimizer step at a state."""
