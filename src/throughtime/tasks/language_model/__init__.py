"""Text that goes on: a language model of characters, bytes or tokens."""
