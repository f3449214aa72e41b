"""What a network learns to say of an example, or of a frame: one label, several labels, or numbers.

Each kind is one object, a `Target` (see target.py), which the classifier and the tagger share; kinds.py has
them all. NumPy only; torch is imported where a loss is asked for.
"""
