"""A run folder as the Hugging Face Hub lays out a model: what is shared, the card, the cache, to and fro."""
