"""Sphinx extensions of this site: reference, configuration, equations and math."""
