"""Networks of the suite's tasks and the layers that they are made of."""
