"""Robust stability under the uncertainty set (15): certificates, exact cases, search."""
