"""Caption metrics against numbers worked out by hand, and the laws that they keep."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime.tasks.captioner.metrics import bleu, caption_metrics, cider_d, ngrams, rouge_l

words = st.lists(st.sampled_from("abcde"), min_size=1, max_size=9)
corpora = st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=3)), min_size=1, max_size=5)


def test_bleu_of_two_captions_counted_by_hand() -> None:
    """The cat: 5 of 6 words, 3 of 5 pairs, 1 of 4 triples. A dog runs: 3 of 3, 2 of 2, 1 of 1.

    The closest lengths are 6 and 3, which the candidates have: no brevity penalty.
    """
    candidates = [["the", "cat", "sat", "on", "the", "mat"], ["a", "dog", "runs"]]
    references = [
        [["the", "cat", "is", "on", "the", "mat"], ["there", "is", "a", "cat", "on", "the", "mat"]],
        [["a", "dog", "runs", "fast"], ["the", "dog", "runs"]],
    ]
    found = bleu(candidates, references)
    p1, p2, p3 = 8 / 9, 5 / 7, 2 / 5
    assert found[0] == pytest.approx(100 * p1)
    assert found[1] == pytest.approx(100 * math.sqrt(p1 * p2))
    assert found[2] == pytest.approx(100 * (p1 * p2 * p3) ** (1 / 3))
    assert found[3] == 0.0


def test_bleu_counts_a_repeated_word_as_often_as_one_reference_has_it() -> None:
    """The example of Papineni et al. 2002: "the" seven times has a precision of 2/7."""
    references = [[["the", "cat", "is", "on", "the", "mat"], ["there", "is", "a", "cat", "on", "the", "mat"]]]
    assert bleu([["the"] * 7], references)[0] == pytest.approx(100 * 2 / 7)


@pytest.mark.parametrize(
    ("candidate", "lengths", "closest"),
    [(5, (3, 9), 3), (5, (4, 6), 4), (5, (7, 8), 7), (5, (5, 20), 5)],
)
def test_brevity_compares_with_the_closest_reference_and_with_the_shorter_of_two(
    candidate: int, lengths: tuple[int, ...], closest: int
) -> None:
    expected = 100 * min(1.0, math.exp(1 - closest / candidate))
    assert bleu([["a"] * candidate], [[["a"] * length for length in lengths]])[0] == pytest.approx(
        expected * min(1.0, max(lengths) / candidate)
    )


def test_bleu_is_that_of_sacrebleu() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    candidates = ["a man rides a horse on the beach", "two dogs run through snow", "a girl in red smiles"]
    references = [
        ["a man is riding a horse on a beach", "the man rides on the beach"],
        ["two dogs run in the snow", "two dogs running through deep snow"],
        ["a girl in a red dress smiles", "a girl in red is smiling"],
    ]
    expected = sacrebleu.corpus_bleu(
        candidates,
        [[both[which] for both in references] for which in (0, 1)],
        tokenize="none",
        smooth_method="none",
    )
    found = bleu([one.split() for one in candidates], [[one.split() for one in both] for both in references])
    assert found[3] == pytest.approx(expected.score, rel=1e-9)


def test_rouge_l_of_a_caption_counted_by_hand() -> None:
    """The longest common subsequence of "a b c d e" and "a x c e" is a c e: P = 3/5, R = 3/4."""
    precision, recall = 3 / 5, 3 / 4
    expected = 100 * (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    assert rouge_l([["a", "b", "c", "d", "e"]], [[["a", "x", "c", "e"]]]) == pytest.approx(expected)


def test_rouge_l_takes_the_best_precision_and_the_best_recall_over_the_references() -> None:
    """References "a" (P 1/2, R 1) and "a b c d" (P 1, R 1/2): both are 1."""
    assert rouge_l([["a", "b"]], [[["a"], ["a", "b", "c", "d"]]]) == pytest.approx(100.0)


def test_cider_d_of_two_images_counted_by_hand() -> None:
    """Two images; idf is log 2 for what one of them has, 0 for "a", which both have.

    Image 1: candidate "a cat", reference "a cat sits". Unigrams: cat (log 2) against cat and sits: cosine
    1 / sqrt 2. Bigrams: "a cat" against "a cat", "cat sits": 1 / sqrt 2. No triples: 0. Lengths differ by 1.
    Image 2: the candidate is the reference, of two words: unigrams and bigrams 1, longer ones 0.
    """
    candidates = [["a", "cat"], ["a", "dog"]]
    references = [[["a", "cat", "sits"]], [["a", "dog"]]]
    first = math.exp(-1 / 72) * (2 / math.sqrt(2)) / 4
    second = 2 / 4
    assert cider_d(candidates, references) == pytest.approx(10 * (first + second) / 2)


def test_cider_d_does_not_reward_repetition() -> None:
    references = [[["a", "cat", "sits", "here"]], [["the", "dog", "runs", "there"]]]
    once = cider_d([["a", "cat", "sits", "here"], ["x"]], references)
    padded = cider_d([["a", "cat", "cat", "cat", "sits", "here"], ["x"]], references)
    assert once == pytest.approx(5.0)  # 10 for the first image, 0 for the second
    assert padded < once


@given(corpora)
def test_scores_lie_in_their_ranges(corpus: list[tuple[list[str], list[list[str]]]]) -> None:
    candidates, references = zip(*corpus, strict=True)
    scores = caption_metrics(candidates, references)
    assert all(0 <= scores[name] <= 100 + 1e-9 for name in scores if name != "cider_d")
    assert 0 <= scores["cider_d"] <= 10 + 1e-9
    assert scores["bleu1"] >= scores["bleu2"] - 1e-9 or scores["bleu2"] <= 100


@given(corpora)
def test_a_candidate_that_is_a_reference_has_full_marks(
    corpus: list[tuple[list[str], list[list[str]]]],
) -> None:
    references = [several for _, several in corpus]
    candidates = [several[0] for several in references]
    assert rouge_l(candidates, references) == pytest.approx(100)
    assert bleu(candidates, references)[0] == pytest.approx(100)


@given(corpora, st.randoms())
def test_the_order_of_images_and_references_does_not_matter(corpus: list, randomness: object) -> None:
    shuffled = [(candidate, list(reversed(several))) for candidate, several in corpus]
    randomness.shuffle(shuffled)  # type: ignore[attr-defined]
    scores = [caption_metrics(*map(list, zip(*which, strict=True))) for which in (corpus, shuffled)]
    assert scores[0] == pytest.approx(scores[1])


def test_ngrams_of_a_short_caption() -> None:
    assert ngrams(["a", "b", "a", "b"], 2) == {("a", "b"): 2, ("b", "a"): 1}
    assert not ngrams(["a"], 2)


def test_an_empty_candidate_scores_nothing() -> None:
    scores = caption_metrics([[]], [[["a"]]])
    assert set(scores.values()) == {0.0}


@pytest.mark.parametrize(
    ("candidates", "references", "message"),
    [
        ([["a"]], [], "1 candidates, but references for 0"),
        ([], [], "no caption to measure"),
        ([["a"]], [[]], "caption 0 has no reference"),
        (["a cat"], [[["a"]]], "split it into words"),
    ],
)
def test_what_cannot_be_measured_is_refused(candidates: list, references: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        caption_metrics(candidates, references)
