"""What the runs of section 5.3 say: outcomes, tables, verdicts."""
