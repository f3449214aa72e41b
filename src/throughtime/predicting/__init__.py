"""Predicting for many files: a plan of units, a part for each that is whole or not there, and engines."""

from throughtime.predicting.predictor import Predictor

__all__ = ["Predictor"]
