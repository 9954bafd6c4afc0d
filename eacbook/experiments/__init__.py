"""Stored runs, grids of runs, and tables of their results."""
