"""Data sets of faces: images with labels, in memory or in a prepared folder."""
