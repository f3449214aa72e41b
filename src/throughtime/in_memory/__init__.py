"""Data that a program holds in memory: written once in the formats that files have, and read as those are.

Recognition, refusals, held-out parts, folds and resumed trainings therefore work as with files: a training
keeps what it was given in RUN/given, and a message names the row where a file's would name the line.
"""

from throughtime.in_memory.evaluating import known_options, takes_data, takes_frames
from throughtime.in_memory.given import (
    GIVEN,
    Data,
    Given,
    Text,
    found_again,
    is_in_memory,
    on_disk,
    staged,
)

__all__ = [
    "GIVEN",
    "Data",
    "Given",
    "Text",
    "found_again",
    "is_in_memory",
    "known_options",
    "on_disk",
    "staged",
    "takes_data",
    "takes_frames",
]
