"""The networks, one shape of problem a file."""

from throughtime.models.initialise import initialise
from throughtime.models.language_model import LanguageModel, TorchStepper

__all__ = ["LanguageModel", "TorchStepper", "initialise"]
