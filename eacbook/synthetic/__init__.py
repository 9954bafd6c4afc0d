"""Synthetic faces of people who never lived. So the true label of every face is known."""
