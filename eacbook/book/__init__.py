"""Shared parts of the notebooks: faces, runs, exercises and explorers."""
