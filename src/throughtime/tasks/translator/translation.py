"""Text into text: tokens in, beam search, tokens out, unknown words copied from the source."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime.data import Tokenizer
from throughtime.data.limits import SOURCE
from throughtime.data.lines import check_text, shown
from throughtime.data.tables import BadRows
from throughtime.errors import DataError, NotANumberError
from throughtime.generation.beam import Hypothesis, beam_search_batch

END_TEXT = "<end>"
# Sources that are translated side by side: enough to fill the matrix products, few enough to answer soon.
BATCH = 50
# A translation that is this much longer than its source has lost itself in a loop.
_LONGEST_RATIO = 2
_LONGEST_EXTRA = 30


class Searcher(Protocol):
    """A translator that is stepped by hand."""

    end_token: int

    def begin(self, sources: Sequence[NDArray[np.int64]]) -> tuple[ArrayLike, Any]:
        """Read sources; log-probabilities (B, V + 1) of each first token, and the state."""
        ...

    def step(self, tokens: NDArray[np.int64], state: Any) -> tuple[ArrayLike, Any]:
        """Read a token each; the log-probabilities of the next, and the state."""
        ...

    def select(self, state: Any, rows: NDArray[np.int64]) -> Any:
        """The state whose row i is row rows[i] of the old one."""
        ...

    def penalties(self, state: Any) -> ArrayLike:
        """What the scores of sequences that end here lose by what they left uncovered."""
        ...

    def attend(
        self, sources: Sequence[NDArray[np.int64]], targets: Sequence[NDArray[np.int64]]
    ) -> list[NDArray[np.float32]] | None:
        """Where each target token looked: (T_i, S_i + 1) each, END the last; None without attention."""
        ...


@dataclass(frozen=True)
class Translated:
    """A source and what became of it.

    Args:
        source: the text that was given.
        text: its translation.
        log_probability: of the translation, in nats.
        score: what the search ranked it by.
        source_tokens, target_tokens: as text, one by one, END included where it was reached.
        attention: (target tokens, source tokens), each row summing to 1; None where it was not asked for, or
            the model has none.
        alternatives: the translations that the search found, best first, each with its score.
    """

    source: str
    text: str
    log_probability: float
    score: float
    source_tokens: list[str]
    target_tokens: list[str]
    attention: NDArray[np.float32] | None
    alternatives: list[tuple[str, float]] = field(default_factory=list)


class TextTranslator:
    """Translates texts, several at once.

    Args:
        searcher: the model.
        source_tokenizer, target_tokenizer: its vocabularies.
        prepare: what is done to a text first, such as lowercasing.
        width: beginnings that the beam keeps.
        length_penalty: alpha of Wu et al. 2016.
        copy_unknown: with word vocabularies, write the source's word that got the most attention in place of
            an unknown one (Jean et al. 2015, section 3.3, without a dictionary).
    """

    def __init__(
        self,
        searcher: Searcher,
        source_tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        prepare: Callable[[str], str],
        width: int = 5,
        length_penalty: float = 1.0,
        copy_unknown: bool = True,
    ) -> None:
        self._searcher = searcher
        self._source_tokenizer = source_tokenizer
        self._target_tokenizer = target_tokenizer
        self._prepare = prepare
        self._width = width
        self._length_penalty = length_penalty
        words = source_tokenizer.kind == "word" and target_tokenizer.kind == "word"
        self._copies = copy_unknown and words

    def encode(self, text: str, name: str = "the text", line: int = 1) -> NDArray[np.int64]:
        """A text's tokens.

        Raises:
            DataError: it is empty, too long, or holds a character that the model does not know.
        """
        try:
            check_text(text)
        except DataError as error:
            raise DataError(f"{name}, line {line}, {error}") from None
        tokens = self._source_tokenizer.encode(self._prepare(text), name, line)
        if len(tokens) == 0:
            raise DataError(f"{name} line {line}: there is nothing to translate")
        SOURCE.check(len(tokens), f"{name}, line {line}, has")
        return tokens

    def translate(
        self,
        texts: Sequence[str],
        tokens: Sequence[NDArray[np.int64]],
        with_attention: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> list[Translated]:
        """Translate texts, those of similar length side by side.

        Args:
            texts: any number.
            tokens: of `encode`, for each.
            with_attention: also tell where each word came from.
            progress: called with the share that is done.
        Returns:
            In the order of the texts.
        """
        by_length = sorted(range(len(texts)), key=lambda index: len(tokens[index]))
        results: dict[int, Translated] = {}
        for start in range(0, len(by_length), BATCH):
            batch = by_length[start : start + BATCH]
            found = self._side_by_side(
                [texts[index] for index in batch], [tokens[index] for index in batch], with_attention
            )
            results.update(zip(batch, found, strict=True))
            if progress is not None:
                progress(len(results) / len(texts))
        return [results[index] for index in range(len(texts))]

    def stream(
        self, blocks: Iterable[Sequence[str]], name: str, bad: BadRows, with_attention: bool = False
    ) -> Iterator[Translated]:
        """Translate texts as they come, in their order. A text of spaces only becomes an empty one.

        Args:
            blocks: texts that are there at the same time; they are translated together.
            name: where they come from, for errors.
            bad: what happens to a text with characters that the model does not know; one that is left out
                becomes an empty one, so that lines stay beside each other.
            with_attention: also tell where each word came from.
        Raises:
            DataError: a text is bad and `bad` does not skip; those before it are answered.
        """
        numbers = itertools.count(1)
        for block in blocks:
            tokens: list[NDArray[np.int64] | None] = []
            failure = None
            for text, line in zip(block, numbers, strict=False):
                try:
                    tokens.append(self.encode(text, name, line) if text.strip() else None)
                except DataError as error:
                    if not bad.skip:
                        failure = error
                        break
                    bad.report(name, line, str(error).removeprefix(f"{name}, line {line}, "))
                    tokens.append(None)
            encoded = list(zip(block, tokens, strict=False))
            wanted = [(text, one) for text, one in encoded if one is not None]
            texts, sources = [text for text, _ in wanted], [one for _, one in wanted]
            found = iter(self.translate(texts, sources, with_attention))
            for text, one in encoded:
                yield Translated(text, "", 0.0, 0.0, [], [], None) if one is None else next(found)
            if failure is not None:
                raise failure

    def _side_by_side(
        self, texts: Sequence[str], tokens: Sequence[NDArray[np.int64]], with_attention: bool
    ) -> list[Translated]:
        limits = [_LONGEST_RATIO * len(source) + _LONGEST_EXTRA for source in tokens]
        first, state = self._searcher.begin(tokens)
        try:
            found = beam_search_batch(
                self._searcher.step,
                first,
                state,
                self._searcher.select,
                self._width,
                limits,
                self._searcher.end_token,
                self._length_penalty,
                self._searcher.penalties,
            )
        except NotANumberError as error:
            if len(texts) == 1:
                raise NotANumberError(f"{shown(texts[0])}: {error}") from None
            # One by one, so that the text can be named.
            return [
                self._side_by_side([text], [one], with_attention)[0]
                for text, one in zip(texts, tokens, strict=True)
            ]
        best = [hypotheses[0] for hypotheses in found]
        targets = [np.array(hypothesis.tokens, dtype=np.int64) for hypothesis in best]
        attentions: Sequence[NDArray[np.float32] | None] | None = None
        if with_attention or self._copies:
            attentions = self._searcher.attend(tokens, targets)
        results = []
        for row, hypothesis in enumerate(best):
            attention = None if attentions is None else attentions[row]
            source_words = self._source_words(texts[row], tokens[row])
            words = self._target_words(targets[row], source_words, attention)
            results.append(
                Translated(
                    texts[row],
                    self._text(targets[row], words),
                    hypothesis.log_probability,
                    hypothesis.score,
                    [*source_words, END_TEXT],
                    words,
                    attention if with_attention else None,
                    self._alternatives(found[row], self._text(targets[row], words)),
                )
            )
        return results

    def _alternatives(self, hypotheses: Sequence[Hypothesis], best: str) -> list[tuple[str, float]]:
        """All that the search found as texts; in the best one, unknown words may have been copied."""
        others = []
        for hypothesis in hypotheses[1:]:
            tokens = np.array(hypothesis.tokens, dtype=np.int64)
            words = [
                self._target_tokenizer.token_text(token) for token in tokens[tokens < self._end].tolist()
            ]
            others.append((self._text(tokens[tokens < self._end], words), hypothesis.score))
        return [(best, hypotheses[0].score), *others]

    def _source_words(self, text: str, tokens: NDArray[np.int64]) -> list[str]:
        """Each source token as text; an unknown word as it stands in the text."""
        if self._source_tokenizer.kind == "word":
            words = self._prepare(text).split()
            if len(words) == len(tokens):
                return words
        return [self._source_tokenizer.token_text(int(token)) for token in tokens]

    def _target_words(
        self, tokens: NDArray[np.int64], source_words: list[str], attention: NDArray[np.float32] | None
    ) -> list[str]:
        end, unknown = self._searcher.end_token, self._target_tokenizer.unknown_token
        words = []
        for step, token in enumerate(tokens.tolist()):
            if token == end:
                words.append(END_TEXT)
            elif token == unknown and self._copies and attention is not None:
                # END is no word to copy.
                words.append(source_words[int(attention[step, : len(source_words)].argmax())])
            else:
                words.append(self._target_tokenizer.token_text(token))
        return words

    def _text(self, tokens: NDArray[np.int64], words: list[str]) -> str:
        if self._target_tokenizer.kind == "word":
            return " ".join(word for word, token in zip(words, tokens, strict=True) if token < self._end)
        return self._target_tokenizer.decode(tokens[tokens < self._end])

    @property
    def _end(self) -> int:
        return self._searcher.end_token
