"""Sentences as rows: of tables that are tagged, and of what is shown of tagged ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from throughtime.data.tables import BadRows, Row
from throughtime.errors import DataError
from throughtime.run.row_prediction import Kind
from throughtime.tasks.word_tagger.conll import Sentence
from throughtime.tasks.word_tagger.sentences import table_columns

if TYPE_CHECKING:
    from throughtime.tasks.word_tagger.run import WordTaggerRun


class TaggedRows:
    """A word tagger on rows that hold lists of words, or texts; see `RowPredictor`.

    Args:
        run: the word tagger.
    """

    def __init__(self, run: WordTaggerRun) -> None:
        self._run = run
        self.kinds: dict[str, Kind] = {"words": [str], "tags": [str], "probabilities": [float]}
        if run.marks_spans:
            entity = {"type": str, "text": str, "start": int, "end": int, "probability": float}
            self.kinds["entities"] = [entity]

    def needed(self, columns: Sequence[str], name: str) -> list[str]:
        """As of `RowPredictor`."""
        return [table_columns(columns, name, self._run.config.data.word_column, None, needs_tags=False)[0]]

    def predict(
        self, rows: Sequence[Row], columns: Sequence[str], name: str, bad: BadRows
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """As of `RowPredictor`."""
        (words,) = self.needed(columns, name)
        reader = self._run.reader()
        sentences: list[Sentence] = []
        for row in rows:
            try:
                sentences.append(reader.sentence(row.values, words, None, row.line))
            except DataError as error:
                bad.report(name, row.line, str(error))
        try:
            found = list(self._run.tag_sentences(sentences))
        except DataError as error:
            if len(sentences) == 1:
                bad.report(name, sentences[0].line, str(error))
                return
            # One by one, so that the row can be named.
            one_by_one = {row.line: row for row in rows}
            for sentence in sentences:
                yield from self.predict([one_by_one[sentence.line]], columns, name, bad)
            return
        for sentence, tagged in zip(sentences, found, strict=True):
            yield sentence.line, tagged


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
