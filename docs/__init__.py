"""The documentation: pages, and in `extensions` what Sphinx generates from the code."""
