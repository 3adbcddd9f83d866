"""Sphinx extensions of this site: reference, command lines, configuration, equations, math."""
