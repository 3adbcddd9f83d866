"""Data sets by name: read, fetched, converted and streamed."""
