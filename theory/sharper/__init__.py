"""Statements that go beyond the paper, each with its proof."""
