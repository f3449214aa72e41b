"""Throughtime: train, inspect and run recurrent sequence models."""

__version__ = "0.1.0"
