"""The training loop; each of its parts has a module."""
