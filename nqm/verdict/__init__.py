"""`check`: posing the problem, deciding the verdict, and the report."""
