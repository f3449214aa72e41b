"""How good captions are, against several references each: BLEU, ROUGE-L, CIDEr-D. Words in, numbers out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

Words = Sequence[str]
Weights = dict[tuple[str, ...], float]
_NGRAMS = 4
# Lin 2004 leaves beta open; the implementation that captioning papers use weighs recall by 1.2.
_ROUGE_BETA = 1.2
_CIDER_SIGMA = 6.0


def caption_metrics(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> dict[str, float]:
    """All metrics, in percent but for CIDEr-D, which is 10 for a perfect match.

    Args:
        candidates: N captions, each a sequence of words.
        references: for each of them one caption or more.
    Returns:
        bleu1, bleu2, bleu3, bleu4, rouge_l, cider_d.
    Raises:
        ValueError: the counts differ, a candidate has no reference, or there is nothing to measure.
    """
    scores = {f"bleu{order}": value for order, value in enumerate(bleu(candidates, references), 1)}
    return {**scores, "rouge_l": rouge_l(candidates, references), "cider_d": cider_d(candidates, references)}


def bleu(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """BLEU-1 to BLEU-4 of the whole corpus, in percent.

    The brevity penalty compares with the references' closest lengths, the shorter one of two that are equally
    close. Nothing is smoothed: one order without a match makes it and all above it 0.

    Args:
        candidates, references: as in `caption_metrics`.
    Source: Papineni et al. 2002, section 2.3.
    """
    _check(candidates, references)
    matches, totals = [0] * _NGRAMS, [0] * _NGRAMS
    candidate_length = reference_length = 0
    for candidate, several in zip(candidates, references, strict=True):
        candidate_length += len(candidate)
        reference_length += min(
            (len(one) for one in several), key=lambda length: (abs(length - len(candidate)), length)
        )
        for order in range(1, _NGRAMS + 1):
            most: Counter[tuple[str, ...]] = Counter()
            for one in several:
                most |= ngrams(one, order)
            counts = ngrams(candidate, order)
            matches[order - 1] += sum((counts & most).values())
            totals[order - 1] += sum(counts.values())
    if candidate_length == 0:
        return [0.0] * _NGRAMS
    brevity = min(1.0, math.exp(1 - reference_length / candidate_length))
    scores, log_precision = [], 0.0
    for order in range(_NGRAMS):
        log_precision += math.log(matches[order] / totals[order]) if matches[order] else -math.inf
        scores.append(100 * brevity * math.exp(log_precision / (order + 1)))
    return scores


def rouge_l(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """The mean over captions of the F measure of the longest common subsequence, in percent.

    Precision and recall are each the best over the references.

    Args:
        candidates, references: as in `caption_metrics`.
    Source: Lin 2004, section 3.1, with beta = 1.2.
    """
    _check(candidates, references)
    total = 0.0
    for candidate, several in zip(candidates, references, strict=True):
        if not candidate:
            continue
        common = [_longest_common_subsequence(candidate, one) for one in several]
        precision = max(common) / len(candidate)
        recall = max(length / len(one) if one else 0.0 for length, one in zip(common, several, strict=True))
        if precision and recall:
            total += (1 + _ROUGE_BETA**2) * precision * recall / (recall + _ROUGE_BETA**2 * precision)
    return 100 * total / len(candidates)


def cider_d(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """CIDEr-D: how far a caption says what its references agree on and other images' references do not.

    N-grams are weighed by inverse document frequency over the images given here, so that with one image
    every weight, and the score, is 0. Words are not stemmed.

    Args:
        candidates, references: as in `caption_metrics`.
    Source: Vedantam, Zitnick and Parikh 2015, equations 1 to 4.
    """
    _check(candidates, references)
    frequency: Counter[tuple[str, ...]] = Counter()
    for several in references:
        frequency.update({ngram for one in several for order in _orders() for ngram in ngrams(one, order)})
    images = math.log(len(references))

    def weigh(words: Words) -> list[Weights]:
        return [
            {
                ngram: count * (images - math.log(max(frequency[ngram], 1)))
                for ngram, count in ngrams(words, order).items()
            }
            for order in _orders()
        ]

    total = 0.0
    for candidate, several in zip(candidates, references, strict=True):
        found = weigh(candidate)
        for one in several:
            difference = len(candidate) - len(one)
            closeness = math.exp(-(difference**2) / (2 * _CIDER_SIGMA**2))
            total += closeness * sum(map(_clipped_cosine, found, weigh(one))) / _NGRAMS / len(several)
    return 10 * total / len(candidates)


def ngrams(words: Words, order: int) -> Counter[tuple[str, ...]]:
    """How often each sequence of `order` words occurs."""
    return Counter(tuple(words[start : start + order]) for start in range(len(words) - order + 1))


def _clipped_cosine(candidate: Weights, reference: Weights) -> float:
    """The cosine, with the candidate's weights cut down to the reference's: repetition must not pay."""
    shared = ((weight, reference[ngram]) for ngram, weight in candidate.items() if ngram in reference)
    product = sum(min(found, wanted) * wanted for found, wanted in shared)
    norms = math.hypot(*candidate.values()) * math.hypot(*reference.values())
    return product / norms if norms else 0.0


def _longest_common_subsequence(first: Words, second: Words) -> int:
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for column, other in enumerate(second, 1):
            diagonal, row[column] = (
                row[column],
                (diagonal + 1 if word == other else max(row[column], row[column - 1])),
            )
    return row[-1]


def _orders() -> range:
    return range(1, _NGRAMS + 1)


def _check(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> None:
    if len(candidates) != len(references):
        raise ValueError(f"{len(candidates)} candidates, but references for {len(references)}")
    if not candidates:
        raise ValueError("there is no caption to measure")
    for number, several in enumerate(references):
        if not several:
            raise ValueError(f"caption {number} has no reference")
        if isinstance(candidates[number], str) or any(isinstance(one, str) for one in several):
            raise ValueError(f"caption {number} is a string: split it into words")
