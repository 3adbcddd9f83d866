"""The common parts of the figures: record, stored results, pictures and command line."""
