"""Tasks that have a name of their own, and the suites that they form."""
