"""How good predictions are, in NumPy."""
