"""What a hidden unit knows: how well it, or all units together, tell a property of the text.

A property is a regular expression: it holds at each character that a match covers. Units are ranked by the
area under the ROC curve (AUC), chosen on the first part of the text and reported on the rest, so that the
best of many units is not the luckiest. The probe over all units is a logistic regression, fitted and reported
likewise.

Source: Karpathy, Johnson and Fei-Fei 2016 ("Visualizing and Understanding Recurrent Networks"), section 4.2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from throughtime.errors import OptionError

# Properties that character models are known to track. A user's own are regular expressions like these.
PROPERTIES: dict[str, str] = {
    "inside double quotes": r'"[^"\n]*"',
    "inside brackets": r"\([^()\n]*\)|\[[^\[\]\n]*\]|\{[^{}\n]*\}",
    "indentation": r"(?m)^[ \t]+",
    "word start": r"\b\w",
    "line start": r"(?m)^.",
    "late in the line": r"(?m)(?<=^.{40}).+$",
    "upper case": r"[A-Z]",
    "number": r"\d+",
}
_TRAINING_SHARE = 0.5
_PENALTY = 1e-3  # of the probe's squared weights, on standardised units
_FEWEST = 5  # positions with and without the property, in each part


@dataclass(frozen=True)
class Probe:
    """How well a property of the text can be read off the hidden state.

    Args:
        name: of the property.
        pattern: its regular expression.
        share: of the characters that have it.
        units: the best units, best first: (unit, AUC on the held-out part, whether it is on where the
            property holds). Unit numbers count through the layers, from 0.
        probe: the AUC of all units together, on the held-out part.
    """

    name: str
    pattern: str
    share: float
    units: list[tuple[int, float, bool]]
    probe: float


def area_under_curve(scores: NDArray[np.floating], holds: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The probability that a random position with the property scores above one without, ties half.

    Args:
        scores: (N,) or (N, U), each column on its own.
        holds: (N,).
    Returns:
        () or (U,), in [0, 1]; 0.5 is chance.
    """
    columns = scores[:, None] if scores.ndim == 1 else scores
    positives = int(holds.sum())
    negatives = len(holds) - positives
    if positives == 0 or negatives == 0:
        raise OptionError("the property holds everywhere or nowhere: there is nothing to tell apart")
    areas = np.empty(columns.shape[1])
    for unit in range(columns.shape[1]):
        values, inverse, counts = np.unique(columns[:, unit], return_inverse=True, return_counts=True)
        ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse.ravel()]  # mean ranks of ties, from 1
        areas[unit] = (ranks[holds].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    return areas[0] if scores.ndim == 1 else areas


def property_mask(pattern: str, text: str) -> NDArray[np.bool_]:
    """(len(text),): where a match of the regular expression covers the character.

    Raises:
        OptionError: it is no regular expression.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise OptionError(f"{pattern!r} is not a regular expression: {error}") from None
    mask = np.zeros(len(text), dtype=bool)
    for match in compiled.finditer(text):
        mask[match.start() : match.end()] = True
    return mask


def rank_units(
    hidden: NDArray[np.floating],
    text: str,
    spans: Sequence[tuple[int, int]] | None = None,
    properties: dict[str, str] | None = None,
    top: int = 5,
) -> list[Probe]:
    """Rank hidden units by how well they tell each property, best property first.

    Args:
        hidden: (N, U), the hidden state after each token.
        text: what was read.
        spans: for each token the characters [start, end) that it stands for; None where they are one each.
        properties: {name: regular expression}; None is `PROPERTIES`.
        top: units to list for each.
    Returns:
        The properties that occur (and fail to occur) often enough to be measured.
    Raises:
        OptionError: a pattern is no regular expression, or sizes do not agree.
    """
    if spans is None:
        if len(hidden) != len(text):
            raise OptionError(f"{len(hidden)} states for {len(text)} characters: give the tokens' spans")
    elif len(spans) != len(hidden):
        raise OptionError(f"{len(hidden)} states for {len(spans)} tokens")
    cut = int(len(hidden) * _TRAINING_SHARE)
    values = hidden.astype(np.float32)
    found = []
    for name, pattern in (PROPERTIES if properties is None else properties).items():
        mask = property_mask(pattern, text)
        if spans is not None:
            # A token has the property if its last character has: that is what the state has just read.
            mask = np.array([bool(mask[end - 1]) if end > start else False for start, end in spans])
        first, rest = mask[:cut], mask[cut:]
        if any(min(part.sum(), (~part).sum()) < _FEWEST for part in (first, rest)):
            continue
        chosen = area_under_curve(values[:cut], first)
        order = np.argsort(-np.abs(chosen - 0.5), kind="stable")[:top]
        areas = area_under_curve(values[cut:, order], rest)
        units = []
        for unit, area in zip(order, areas, strict=True):
            is_on = bool(chosen[unit] >= 0.5)
            units.append((int(unit), float(area if is_on else 1 - area), is_on))
        scores = _fit_probe(values[:cut], first)(values[cut:])
        probe = float(area_under_curve(scores, rest))
        found.append(Probe(name, pattern, float(mask.mean()), units, probe))
    return sorted(found, key=lambda probe: -probe.units[0][1])


def _fit_probe(values: NDArray[np.float32], holds: NDArray[np.bool_]):  # noqa: ANN202
    """A logistic regression with balanced classes: a function from states to scores."""
    x = torch.from_numpy(values)
    mean, scale = x.mean(0), x.std(0).clamp_min(1e-6)
    x, y = (x - mean) / scale, torch.from_numpy(holds).float()
    weight, bias = torch.zeros(x.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    balance = (1 - y.mean()) / y.mean()
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = x @ weight + bias
        value = nn.functional.binary_cross_entropy_with_logits(logits, y, pos_weight=balance)
        value = value + _PENALTY * (weight**2).sum()
        value.backward()
        return value

    optimizer.step(loss)  # type: ignore[arg-type]
    w, m, s = weight.detach().numpy(), mean.numpy(), scale.numpy()
    return lambda new: ((new - m) / s) @ w
