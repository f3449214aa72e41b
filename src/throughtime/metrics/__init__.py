"""How good predictions are. NumPy only."""
