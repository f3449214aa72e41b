"""Neurons: AUCs by hand and against scikit-learn; a unit that was built to know is found, noise is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime.errors import OptionError
from throughtime.inspection.neurons import PROPERTIES, area_under_curve, property_mask, rank_units


def test_the_area_by_hand() -> None:
    holds = np.array([True, True, False, False])
    assert area_under_curve(np.array([4.0, 3.0, 2.0, 1.0]), holds) == 1.0
    assert area_under_curve(np.array([1.0, 2.0, 3.0, 4.0]), holds) == 0.0
    assert area_under_curve(np.array([1.0, 1.0, 1.0, 1.0]), holds) == 0.5
    # Pairs: (3 > 2, 3 > 1, 2 = 2 half, 2 > 1) = 3.5 of 4.
    assert area_under_curve(np.array([3.0, 2.0, 2.0, 1.0]), holds) == 3.5 / 4
    with pytest.raises(OptionError, match="everywhere or nowhere"):
        area_under_curve(np.array([1.0]), np.array([True]))


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40))
def test_the_area_is_scikit_learns(pairs: list[tuple[int, bool]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    scores, holds = (np.array(part) for part in zip(*pairs, strict=True))
    if holds.all() or not holds.any():
        return
    assert area_under_curve(scores, holds) == pytest.approx(metrics.roc_auc_score(holds, scores))


def test_properties_hold_where_they_should() -> None:
    text = '    if x == "a b":  # (one) two\n'
    assert text[property_mask(PROPERTIES["inside double quotes"], text).argmax()] == '"'
    marked = "".join("^" if on else " " for on in property_mask(PROPERTIES["inside brackets"], text))
    assert marked.count("^") == len("(one)")
    assert property_mask(PROPERTIES["indentation"], text)[:5].tolist() == [True] * 4 + [False]
    with pytest.raises(OptionError, match=r"'\(' is not a regular expression"):
        property_mask("(", text)


def test_a_unit_that_knows_is_found_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(list('ab "'), 4000))
    mask = property_mask(PROPERTIES["inside double quotes"], text)
    hidden = rng.standard_normal((4000, 30))
    hidden[:, 7] = np.where(mask, -2, 2) + rng.standard_normal(4000)  # off inside quotes
    quotes = {"quotes": PROPERTIES["inside double quotes"], "never": "z"}
    (found,) = rank_units(hidden, text, properties=quotes, top=3)
    assert found.name == "quotes"
    assert found.share == pytest.approx(mask.mean())
    unit, area, is_on = found.units[0]
    assert (unit, is_on) == (7, False)
    assert area > 0.98
    assert 0.4 < found.units[1][1] < 0.6
    assert found.probe > 0.98


def test_tokens_have_the_property_of_their_last_character() -> None:
    text = "ab(cd)" * 40
    spans = [(start, start + 2) for start in range(0, len(text), 2)]
    mask = property_mask(r"\(..", text)
    known = np.array([mask[end - 1] for _, end in spans], dtype=float)[:, None]
    (found,) = rank_units(known, text, spans, {"bracket": r"\(.."}, top=1)
    assert found.units[0] == (0, 1.0, True)
    with pytest.raises(OptionError, match="spans"):
        rank_units(known, text)
