"""The options of training that depend on what is learned."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from throughtime.config.training import TrainingConfig

NumberLoss = Literal["squared", "absolute", "huber", "gaussian", "quantile"]


class TargetTraining(TrainingConfig):
    """How labels and numbers are learned."""

    class_weights: Literal["none", "balanced"] = Field(
        default="none",
        description="Balanced: weight the loss so that all labels count equally, however rare they are.",
    )
    loss: NumberLoss = Field(
        default="squared",
        description="Numbers: what is minimised. gaussian learns a mean and a variance, quantile several "
        "quantiles.",
    )
    quantiles: str = Field(
        default="0.05,0.25,0.5,0.75,0.95",
        description="Numbers with --loss quantile: which ones, rising between commas, with 0.5 among them.",
    )
    interval: float = Field(
        default=0.9,
        gt=0,
        lt=1,
        description="Numbers: the share of values that a predicted interval should hold.",
    )

    @field_validator("quantiles")
    @classmethod
    def _rising(cls, text: str) -> str:
        read_quantiles(text)
        return text


def read_quantiles(text: str) -> tuple[float, ...]:
    """The quantiles of an option: rising numbers between 0 and 1 between commas, 0.5 among them.

    Raises:
        ValueError: they are something else.
    """
    try:
        found = tuple(float(one) for one in text.split(","))
    except ValueError:
        found = ()
    if (
        len(found) < 3
        or list(found) != sorted(set(found))
        or not all(0 < one < 1 for one in found)  # NaN is below nothing
        or 0.5 not in found
    ):
        raise ValueError(
            f"--quantiles {text}: expected rising numbers between 0 and 1, with 0.5 among them, as in "
            f"0.05,0.5,0.95"
        )
    return found
