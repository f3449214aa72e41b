"""From probabilities to sequences: sampling, stop strings and beam search. Nothing here needs torch."""

from throughtime.generation.beam import Hypothesis, beam_search, beam_search_batch
from throughtime.generation.stop import StopStrings
from throughtime.runtime.sampling import Sampler, SamplingOptions, reference_sample

__all__ = [
    "Hypothesis",
    "Sampler",
    "SamplingOptions",
    "StopStrings",
    "beam_search",
    "beam_search_batch",
    "reference_sample",
]
