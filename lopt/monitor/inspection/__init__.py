"""`inspect`: one look at the stability of training at a state."""
