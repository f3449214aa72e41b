"""How much a file may ask for: bounds on what is read into memory, each with its reason.

A file of a few bytes can announce gigabytes: an image's size, an array's shape, the rate of a sound. What is
announced is checked against these bounds before anything is decoded. An environment variable raises each of
them, and the error names it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from throughtime.errors import DataError, OptionError


@dataclass(frozen=True)
class Limit:
    """A bound that an environment variable may move.

    Args:
        variable: its name.
        default: the bound where the variable is not set.
        unit: what is counted, in the plural.
    """

    variable: str
    default: int
    unit: str

    @property
    def value(self) -> int:
        """The bound that holds now.

        Raises:
            OptionError: the variable is no whole number above 0.
        """
        given = os.environ.get(self.variable, "").strip()
        if not given:
            return self.default
        # More than 18 digits would not fit the 64-bit numbers that some libraries take.
        if not (given.isascii() and given.isdigit() and len(given) <= 18 and int(given) > 0):
            raise OptionError(f"{self.variable} must be a whole number of {self.unit}, not {given!r}")
        return int(given)

    def check(self, amount: int, subject: str) -> None:
        """Refuse what is above the bound.

        Args:
            amount: what a file asks for.
            subject: the beginning of the error's sentence, such as "a.png holds".
        Raises:
            DataError: the amount is too large; the message names the variable.
        """
        if amount > self.value:
            raise DataError(f"{subject} {amount:,} {self.unit}: {self.exceeded()}")

    def exceeded(self) -> str:
        """The end of an error's sentence: what the bound is, and how to raise it."""
        return f"the limit is {self.value:,} {self.unit} (set {self.variable} to raise it)"


# A line of text, or a cell of a table. Read as JSON, 32 MB of "[],[],[]" become 1 GB of objects; a text or a
# sequence of 100,000 steps of 40 numbers is well below.
LINE = Limit("THROUGHTIME_MAX_LINE", 32 << 20, "characters")

# An image. Decoding one holds it about four times at 4 bytes a pixel: 1 GB. Cameras make up to 61 megapixels.
IMAGE_PIXELS = Limit("THROUGHTIME_MAX_IMAGE_PIXELS", 64_000_000, "pixels")

# A frame of a video. A decoder keeps up to 16 of them, and more for its threads, at 1.5 bytes a pixel: 1 GB.
# The largest that cameras record is 8K, 8192 x 4320.
FRAME_PIXELS = Limit("THROUGHTIME_MAX_FRAME_PIXELS", 36_000_000, "pixels")

# One example as a network reads it: an array out of a compressed file, the features of a sound, the frames of
# a clip. 512 MiB are nine hours of sound in 40 bands, or an hour and a half of video in 32 x 32 pixels.
EXAMPLE_BYTES = Limit("THROUGHTIME_MAX_EXAMPLE_BYTES", 512 << 20, "bytes")

# A file in a tar, before it is written to the disk. An hour of video in full HD takes 4 GiB.
MEMBER_BYTES = Limit("THROUGHTIME_MAX_MEMBER_BYTES", 4 << 30, "bytes")

# All series of a table as a forecaster reads them: a value, a mark and some features for each step. 4 GiB are
# 100 million steps with a calendar; --joint multiplies them by the number of series.
SERIES_BYTES = Limit("THROUGHTIME_MAX_SERIES_BYTES", 4 << 30, "bytes")

# Samples a second of a sound. Windows and filters grow with the rate; the fastest converters have 768 kHz.
SAMPLE_RATE = Limit("THROUGHTIME_MAX_SAMPLE_RATE", 768_000, "samples a second")

# A text to translate, or a translation to compare with. The search writes up to twice as much, and looks at
# all of the text for each token: for a line of 100,000 characters that would take hours.
SOURCE = Limit("THROUGHTIME_MAX_SOURCE", 4_000, "tokens")

# Brackets inside brackets in a table's JSON. A list of steps needs two; what goes deeper would overflow the
# stack of whatever walks through it.
NESTING = 64
