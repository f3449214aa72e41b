"""What networks say of many examples: batches in, NumPy out, whatever runs the network. Needs no torch."""
