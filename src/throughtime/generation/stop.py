"""Stop strings in text that arrives piece by piece."""

from __future__ import annotations

from collections.abc import Sequence

from throughtime.errors import OptionError


class StopStrings:
    """Watches streaming text for the user's end marks, and lets only text through that is not part of one.

    The stop string that is complete first wins, so the text let through does not depend on how it was cut
    into pieces.

    Example:
        stop = StopStrings(["\\n\\n", "User:"])
        for piece in pieces:
            text, stopped = stop.push(piece)
            print(text, end="")
            if stopped:
                break
        else:
            print(stop.flush(), end="")

    Args:
        stops: the strings to stop at; none at all lets everything through.
    Raises:
        OptionError: a stop string is empty, or `stops` is one string rather than a list of them.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        if isinstance(stops, str):
            raise OptionError(
                f"stops must be a list of strings, not the one string {stops!r}: write [{stops!r}]"
            )
        if any(not stop for stop in stops):
            raise OptionError("a stop string must not be empty: generation would end before it begins")
        self._stops = tuple(stops)
        self._held = ""
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether a stop string has been met."""
        return self._stopped

    def push(self, piece: str) -> tuple[str, bool]:
        """Take the next piece of text.

        Returns:
            The text that is safe to emit now, and whether a stop string has been met. The end of the text is
            held back while it could be the beginning of a stop string. After the stop nothing more comes out.
        """
        if self._stopped:
            return "", True
        text = self._held + piece
        # The held text has no complete stop string, so every match found here ends in the new piece.
        matches = [(start + len(stop), start) for stop in self._stops if (start := text.find(stop)) >= 0]
        if matches:
            # The earliest end; of stop strings that end together the longest, as all of it is to be left out.
            _, start = min(matches)
            self._held, self._stopped = "", True
            return text[:start], True
        safe = len(text) - self._length_to_hold(text)
        self._held = text[safe:]
        return text[:safe], False

    def flush(self) -> str:
        """Return what was held back, at the end of a text in which no stop string came."""
        held, self._held = self._held, ""
        return held

    def _length_to_hold(self, text: str) -> int:
        """The length of the longest end of the text that begins a stop string."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
