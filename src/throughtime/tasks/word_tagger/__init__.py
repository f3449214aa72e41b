"""Tagging words: a tag for every word of a sentence, such as parts of speech and named entities."""
