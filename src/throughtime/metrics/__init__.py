"""How good predictions are, task by task. NumPy only; translation scores through sacrebleu."""
