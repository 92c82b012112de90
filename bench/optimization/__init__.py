"""Measures what model optimisation gains here; one module a command, see docs/optimization."""
