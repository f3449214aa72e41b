"""What a forecaster says of a step: its parameters as means, quantiles, probabilities and draws. In NumPy.

Parameters (..., K) are of scaled values:

| distribution | K | parameters |
| --- | --- | --- |
| point | 1 | the value |
| gaussian | 2 | mean, deviation before softplus |
| student-t | 3 | location; scale, and degrees of freedom - 2, before softplus |
| quantiles | 7 | one for each of `LEVELS`, sorted where they cross (Chernozhukov et al. 2010) |
| negative-binomial | 2 | mean before softplus (times the scale), dispersion before softplus |
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Both ends of the 95 % and of the 80 % interval, the quartiles and the median.
LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
MEDIAN = LEVELS.index(0.5)
# Scales, degrees of freedom and dispersions that no loss can push to where logarithms end.
LEAST_SCALE, LEAST_FREEDOM, LEAST_DISPERSION = 1e-3, 2.0, 1e-4
# Degrees of freedom up to which Student's t is told from a normal distribution.
_MOST_FREEDOM = 200.0
# Draws that stand for a negative binomial distribution, the same in every call.
_DRAWS = 500
_OUTPUTS = {"point": 1, "gaussian": 2, "student-t": 3, "quantiles": len(LEVELS), "negative-binomial": 2}


def outputs_of(distribution: str) -> int:
    """K, the parameters of a step."""
    return _OUTPUTS[distribution]


def softplus(values: NDArray[Any]) -> Array:
    """log(1 + exp(x)) without overflow."""
    return np.logaddexp(0.0, np.asarray(values, np.float64))


class Distribution:
    """The distributions of steps, in the units of the data.

    Args:
        kind: as in --distribution.
        parameters: (B, H, K), of scaled values.
        shift, scale: (B,): value = shift + scale * scaled.
    """

    def __init__(self, kind: str, parameters: NDArray[Any], shift: NDArray[Any], scale: NDArray[Any]) -> None:
        self.kind = kind
        self._shift = np.asarray(shift, np.float64)[:, None]
        self._scale = np.asarray(scale, np.float64)[:, None]
        given = np.asarray(parameters, np.float64)
        self._parameters = np.sort(given, -1) if kind == "quantiles" else given

    def point(self) -> Array:
        """The one number to name, (B, H): the mean, or the median where quantiles are all there is."""
        first = self._parameters[..., MEDIAN if self.kind == "quantiles" else 0]
        if self.kind == "negative-binomial":
            first = softplus(first)
        return self._shift + self._scale * first

    def quantiles(self) -> Array | None:
        """Those of `LEVELS`, (B, H, 7); None of a point."""
        shift, scale = self._shift[..., None], self._scale[..., None]
        if self.kind == "point":
            return None
        if self.kind == "quantiles":
            return shift + scale * self._parameters
        if self.kind == "negative-binomial":
            draws = self.draw(np.random.Generator(np.random.PCG64(0)), _DRAWS)
            return np.moveaxis(np.quantile(draws, LEVELS, axis=0, method="inverted_cdf"), 0, -1)
        location, spread, freedom = self._shape()
        unit = _normal_quantiles() if freedom is None else _student_quantiles(freedom)
        return shift + scale * (location[..., None] + spread[..., None] * unit)

    def draw(self, generator: np.random.Generator, draws: int = 1) -> Array:
        """Values drawn, (draws, B, H)."""
        size = (draws, *self._parameters.shape[:-1])
        if self.kind == "point":
            return np.broadcast_to(self.point(), size)
        if self.kind == "negative-binomial":
            mean, dispersion = self.point(), softplus(self._parameters[..., 1]) + LEAST_DISPERSION
            rate = generator.gamma(1 / dispersion, np.maximum(mean * dispersion, 1e-12), size)
            return generator.poisson(np.minimum(rate, 1e15)).astype(np.float64)
        if self.kind == "quantiles":
            uniform = generator.random(size)
            scaled = _between(uniform, self._parameters)
        else:
            location, spread, freedom = self._shape()
            noise = generator.standard_normal(size)
            if freedom is not None:
                noise *= np.sqrt(freedom / generator.chisquare(freedom, size))
            scaled = location + spread * noise
        return self._shift + self._scale * scaled

    def surprise(self, values: Array) -> Array:
        """How unexpected values (B, H) are, in nats: the negative logarithm of their density, or probability.

        Of a point and of quantiles it is |value - point| in units of their scale: of the training data, or
        of the 80 % interval (half of it is 1.2816 deviations of a normal distribution).
        """
        if self.kind == "point":
            return np.abs(values - self.point()) / self._scale
        if self.kind == "quantiles":
            known = self.quantiles()
            assert known is not None
            width = (known[..., 5] - known[..., 1]) / (2 * 1.2816)
            return np.abs(values - self.point()) / np.maximum(width, 1e-3 * self._scale)
        if self.kind == "negative-binomial":
            mean = np.maximum(self.point(), 1e-12)
            size = 1 / (softplus(self._parameters[..., 1]) + LEAST_DISPERSION)
            counted = np.maximum(np.round(values), 0)
            return -(
                _log_gamma(counted + size)
                - _log_gamma(size)
                - _log_gamma(counted + 1)
                + size * np.log(size / (size + mean))
                + counted * np.log(mean / (size + mean))
            )
        location, spread, freedom = self._shape()
        scaled = ((values - self._shift) / self._scale - location) / spread
        size = np.log(spread * self._scale)
        if freedom is None:
            return 0.5 * scaled**2 + size + 0.5 * math.log(2 * math.pi)
        return (
            _log_gamma(freedom / 2)
            - _log_gamma((freedom + 1) / 2)
            + 0.5 * np.log(math.pi * freedom)
            + size
            + (freedom + 1) / 2 * np.log1p(scaled**2 / freedom)
        )

    def _shape(self) -> tuple[Array, Array, Array | None]:
        """Location, scale and degrees of freedom of scaled values."""
        location = self._parameters[..., 0]
        spread = softplus(self._parameters[..., 1]) + LEAST_SCALE
        if self.kind == "gaussian":
            return location, spread, None
        freedom = np.minimum(softplus(self._parameters[..., 2]) + LEAST_FREEDOM, _MOST_FREEDOM)
        return location, spread, freedom


def _between(uniform: Array, quantiles: Array) -> Array:
    """Where levels (D, B, H) lie between sorted quantiles (B, H, 7); beyond the ends they are the ends."""
    found = np.empty_like(uniform)
    levels = np.array(LEVELS)
    upper = np.clip(np.searchsorted(levels, uniform), 1, len(levels) - 1)
    low, high = levels[upper - 1], levels[upper]
    share = np.clip((uniform - low) / (high - low), 0, 1)
    every = np.broadcast_to(quantiles, (*uniform.shape, len(levels)))
    before = np.take_along_axis(every, upper[..., None] - 1, -1)[..., 0]
    after = np.take_along_axis(every, upper[..., None], -1)[..., 0]
    found[...] = before + share * (after - before)
    return found


def _log_gamma(values: NDArray[Any]) -> Array:
    return np.vectorize(math.lgamma, otypes=[np.float64])(values)


@cache
def _normal_quantiles() -> Array:
    from statistics import NormalDist

    return np.array([NormalDist().inv_cdf(level) for level in LEVELS])


def _student_quantiles(freedom: Array) -> Array:
    """The quantiles of Student's t for each degree of freedom: (..., 7), read off a table."""
    known, table = _student_table()
    place = np.log(freedom)
    return np.stack([np.interp(place, known, column) for column in table.T], -1)


@cache
def _student_table() -> tuple[Array, Array]:
    """Logarithms of degrees of freedom, and the quantiles of each, from the integral of the density.

    With x = sqrt(v) tan(a) the density of Student's t is proportional to cos(a)^(v - 1), and a is bounded.
    """
    known = np.linspace(math.log(LEAST_FREEDOM), math.log(_MOST_FREEDOM), 120)
    angles = np.linspace(-math.pi / 2, math.pi / 2, 40_001)
    rows = []
    for freedom in np.exp(known):
        density = np.cos(angles).clip(0) ** (freedom - 1)
        below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
        rows.append(math.sqrt(freedom) * np.tan(np.interp(LEVELS, below / below[-1], angles)))
    return known, np.array(rows)
