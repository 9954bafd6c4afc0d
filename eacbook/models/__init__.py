"""Networks with a head that gives class activation maps, and the weights that they start from."""
