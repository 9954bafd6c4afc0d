"""Evaluation of trained networks: predictions, and attention."""
