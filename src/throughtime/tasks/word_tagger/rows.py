"""Tagged sentences as lines: one for each sentence on a terminal, one for each word in a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def by_sentence(predictions: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What a person reads: a sentence with its tags, how sure the least sure one is, and how many are wrong.

    Args:
        predictions: of `WordTaggerRun.predict`.
    """
    for found in predictions:
        row: dict[str, Any] = {"least_sure": min(found["probabilities"], default=None)}
        if "truth" in found:
            row["wrong"] = sum(tag != true for tag, true in zip(found["tags"], found["truth"], strict=True))
        yield {**row, "tagged": tagged_text(found)}


def by_word(predictions: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each word: sentence (from 1), word, tag, probability; and truth where it is known."""
    for number, found in enumerate(predictions, 1):
        columns = zip(found["words"], found["tags"], found["probabilities"], strict=True)
        for place, (word, tag, probability) in enumerate(columns):
            row = {"sentence": number, "word": word, "tag": tag, "probability": probability}
            yield {**row, "truth": found["truth"][place]} if "truth" in found else row


def tagged_text(found: dict[str, Any]) -> str:
    """The words with their tags: `[Angela Merkel: person] visited ...` for spans, else `the/DET dog/NOUN`."""
    words = found["words"]
    if "entities" not in found:
        return " ".join(f"{word}/{tag}" for word, tag in zip(words, found["tags"], strict=True))
    parts: list[str] = []
    place = 0
    for one in found["entities"]:
        parts += [*words[place : one["start"]], f"[{one['text']}: {one['type']}]"]
        place = one["end"]
    return " ".join([*parts, *words[place:]])
