"""One label for a text, a vector, a sequence of numbers or a sound."""
