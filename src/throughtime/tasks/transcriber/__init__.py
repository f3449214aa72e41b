"""A text for a sound or a sequence of numbers, learned without knowing what is where (CTC)."""
