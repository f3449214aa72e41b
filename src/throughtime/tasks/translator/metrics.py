"""Translation scores, as sacreBLEU defines them: with a signature that says how they were computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from throughtime.errors import MissingExtraError
from throughtime.extras import install_command


def translation_scores(
    translations: Sequence[str], references: Sequence[str], lowercase: bool = False
) -> dict[str, Any]:
    """BLEU (tokenised by 13a) and chrF of a whole test set, and the share that is exactly right.

    Args:
        translations, references: as many of each, plain text as people write it.
        lowercase: ignore case; the signature says so.
    Returns:
        bleu and chrf from 0 to 100, bleu_signature, chrf_signature, and exact_match from 0 to 1.
    Raises:
        MissingExtraError: sacrebleu is not installed.
    Source: BLEU Papineni et al. 2002; sacreBLEU Post 2018; chrF Popovic 2015.
    """
    require_sacrebleu()
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    if len(translations) != len(references):
        raise ValueError(f"{len(translations)} translations, but {len(references)} references")
    bleu, chrf = BLEU(lowercase=lowercase), CHRF(lowercase=lowercase)
    pairs = list(zip(translations, references, strict=True))
    if lowercase:
        pairs = [(translation.lower(), reference.lower()) for translation, reference in pairs]
    return {
        "bleu": bleu.corpus_score(list(translations), [list(references)]).score,
        "chrf": chrf.corpus_score(list(translations), [list(references)]).score,
        "exact_match": sum(translation == reference for translation, reference in pairs) / len(pairs),
        "bleu_signature": str(bleu.get_signature()),
        "chrf_signature": str(chrf.get_signature()),
    }


def require_sacrebleu() -> None:
    """Raise MissingExtraError where sacrebleu is not installed: before minutes of translating, not after."""
    try:
        import sacrebleu  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            f"translations are scored by sacrebleu: install it with `{install_command('translation')}`"
        ) from None
