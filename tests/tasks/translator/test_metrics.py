"""Translation scores: sacreBLEU's own numbers, and a signature that says how."""

from __future__ import annotations

import sys

import pytest

from throughtime.errors import MissingExtraError
from throughtime.tasks.translator.metrics import translation_scores

pytest.importorskip("sacrebleu")


def test_bleu_by_hand():
    # 1-grams 5/6, 2-grams 3/5, 3-grams 2/4, 4-grams 1/3, and no brevity penalty: lengths are equal.
    scores = translation_scores(["the cat sat on a mat"], ["the cat sat on the mat"])
    assert scores["bleu"] == pytest.approx(100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)
    assert scores["exact_match"] == 0


def test_a_perfect_translation_has_every_score_at_its_top():
    scores = translation_scores(
        ["Ein Hund läuft.", "Zwei Katzen schlafen."] * 2, ["Ein Hund läuft.", "Zwei Katzen schlafen."] * 2
    )
    assert (scores["bleu"], scores["chrf"], scores["exact_match"]) == (pytest.approx(100), 100, 1)


def test_the_signature_says_tokeniser_and_case():
    scores = translation_scores(["A dog runs over the grass"], ["a dog runs over the grass"])
    assert "tok:13a" in scores["bleu_signature"] and "case:mixed" in scores["bleu_signature"]
    lowered = translation_scores(["A dog runs over the grass"], ["a dog runs over the grass"], lowercase=True)
    assert "case:lc" in lowered["bleu_signature"]
    assert (lowered["bleu"], lowered["exact_match"]) == (pytest.approx(100), 1)
    assert scores["bleu"] < 100 and scores["exact_match"] == 0


def test_unequal_counts_are_a_fault():
    with pytest.raises(ValueError, match="1 translations, but 2 references"):
        translation_scores(["a"], ["a", "b"])


def test_without_sacrebleu_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*sacrebleu"):
        translation_scores(["a"], ["a"])
