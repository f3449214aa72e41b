"""Text into text, with a translator whose every step is known."""

from __future__ import annotations

import numpy as np
import pytest

from throughtime.data import Tokenizer
from throughtime.data.tables import BadRows
from throughtime.errors import DataError
from throughtime.tasks.translator.translation import END_TEXT, TextTranslator

WORDS = ["the", "red", "house", "<unk>"]


class Echo:
    """Says the source again, token by token, then END; its attention is on the token that it says.

    A row of the state is (its source, how many tokens are said).
    """

    def __init__(self, vocabulary_size: int) -> None:
        self.end_token = vocabulary_size
        self.batches: list[int] = []

    def begin(self, sources):
        self.batches.append(len(sources))
        return self._predict([(tuple(source), 0) for source in sources])

    def step(self, tokens, state):
        return self._predict([(source, said + 1) for source, said in state])

    def select(self, state, rows):
        return [state[row] for row in rows]

    def penalties(self, state):
        return np.zeros(len(state))

    def attend(self, sources, targets):
        return [
            np.eye(len(target), len(source) + 1, dtype=np.float32)
            for source, target in zip(sources, targets, strict=True)
        ]

    def _predict(self, state):
        log_probabilities = np.full((len(state), self.end_token + 1), -9.0)
        for row, (source, said) in enumerate(state):
            log_probabilities[row, source[said] if said < len(source) else self.end_token] = -0.1
        return log_probabilities, state


def echo(kind: str = "word", text: str = "the red house", **options) -> tuple[TextTranslator, Echo]:
    tokenizer = Tokenizer.train_on_texts(kind, [text])
    searcher = Echo(tokenizer.vocabulary_size)
    return TextTranslator(searcher, tokenizer, tokenizer, str.strip, **options), searcher


def translate(translator: TextTranslator, *texts: str, **options):
    return translator.translate(texts, [translator.encode(text) for text in texts], **options)


@pytest.mark.parametrize("kind", ["word", "character", "byte", "bpe"])
def test_every_tokeniser_finds_its_way_back_to_text(kind):
    translator, _ = echo(kind, "the red höuse")
    result = translate(translator, "red höuse the")[0]
    assert (result.source, result.text) == ("red höuse the", "red höuse the")
    assert result.log_probability == pytest.approx(-0.1 * len(result.target_tokens))
    assert result.source_tokens[-1] == result.target_tokens[-1] == END_TEXT


def test_an_unknown_word_is_copied_from_where_the_attention_was():
    translator, _ = echo()
    result = translate(translator, "the Zugspitze red")[0]
    assert result.text == "the Zugspitze red"
    assert result.target_tokens == ["the", "Zugspitze", "red", END_TEXT]
    plain, _ = echo(copy_unknown=False)
    assert translate(plain, "the Zugspitze red")[0].text == "the <unk> red"


def test_end_is_never_copied():
    translator, searcher = echo()
    searcher.attend = lambda sources, targets: [  # all attention on END, a little on the second word
        np.array([[0.0, 0.1, 0.9]] * len(target), dtype=np.float32) for target in targets
    ]
    assert translate(translator, "Zug red")[0].text == "red red"


def test_attention_is_given_where_it_was_asked_for():
    translator, _ = echo()
    assert translate(translator, "the red")[0].attention is None
    np.testing.assert_array_equal(
        translate(translator, "the red", with_attention=True)[0].attention, np.eye(3)
    )


def test_many_texts_are_translated_in_batches_and_returned_in_order():
    translator, searcher = echo()
    texts = [" ".join(["red"] * (1 + index * 7 % 10)) for index in range(120)]
    shares: list[float] = []
    results = translate(translator, *texts, progress=shares.append)
    assert [result.text for result in results] == texts
    assert searcher.batches == [50, 50, 20]
    assert shares == sorted(shares) and shares[-1] == 1


def test_a_stream_answers_what_came_together_before_it_reads_more():
    translator, searcher = echo()
    read = []

    def blocks():
        for block in (["the red"], ["house", "the", "red"]):
            read.append(block)
            yield block

    answers = translator.stream(blocks(), "standard input", BadRows())
    assert next(answers).text == "the red"
    assert read == [["the red"]]
    assert [answer.text for answer in answers] == ["house", "the", "red"]
    assert searcher.batches == [1, 3]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_lines_stay_beside_each_other_whatever_is_in_them(size):
    translator, _ = echo("character", "abc ")
    lines = ["abc", "", "  ", "x", "ca"]
    blocks = [lines[start : start + size] for start in range(0, len(lines), size)]
    answers = translator.stream(blocks, "in.txt", BadRows())
    assert [next(answers).text for _ in range(3)] == ["abc", "", ""]
    with pytest.raises(DataError, match="in.txt, line 4, column 1: character 'x'"):
        next(answers)
    bad = BadRows(skip=True)
    results = list(translator.stream(blocks, "in.txt", bad))
    assert [result.text for result in results] == ["abc", "", "", "", "ca"]
    assert [result.source for result in results] == lines
    assert bad.count == 1
    assert bad.examples[0].startswith("in.txt line 4: column 1: character 'x'")


def test_a_translation_that_never_ends_is_cut():
    translator, searcher = echo("character", "ab")
    searcher._predict = lambda state: (np.full((len(state), 3), [-0.1, -9.0, -np.inf]), state)
    result = translate(translator, "ab")[0]
    assert result.text == "a" * 34
    assert END_TEXT not in result.target_tokens


def test_nothing_to_translate_is_an_error_of_its_own():
    translator, _ = echo()
    with pytest.raises(DataError, match="nothing to translate"):
        translator.encode("   ")


def test_a_text_that_would_take_hours_is_refused_with_the_limit(monkeypatch):
    monkeypatch.setenv("THROUGHTIME_MAX_SOURCE", "3")
    translator, _ = echo()
    assert len(translator.encode("the red house")) == 3
    with pytest.raises(DataError, match="line 2, has 4 tokens: the limit is 3 tokens .*MAX_SOURCE"):
        translator.encode("the red red house", line=2)
