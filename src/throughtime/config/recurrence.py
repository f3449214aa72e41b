"""The options of the recurrence, which every task's network has in its middle."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from throughtime.config.section import MOST_LAYERS, MOST_UNITS, Section


class RecurrenceConfig(Section):
    """Cells and layers."""

    cell: Literal["rnn", "lstm", "gru"] = Field(default="lstm", description="The recurrent cell.")
    hidden: int = Field(default=256, ge=1, le=MOST_UNITS, description="Hidden units in each layer.")
    layers: int = Field(default=2, ge=1, le=MOST_LAYERS, description="Recurrent layers.")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Dropout between layers.")
    locked_dropout: bool = Field(
        default=False, description="One dropout mask a sequence instead of one a step (variational dropout)."
    )
    zoneout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Probability that a unit keeps its old state; slow, runs the plain loop.",
    )
    activation: Literal["tanh", "relu"] = Field(default="tanh", description="Activation of the rnn cell.")
    forget_bias: float = Field(default=1.0, description="Initial bias of the LSTM's forget gate.")
    peephole: bool = Field(default=False, description="LSTM: the gates see the cell state.")
    projection: int = Field(
        default=0, ge=0, le=MOST_UNITS, description="LSTM: project the hidden state to this size; 0 for none."
    )
    coupled: bool = Field(default=False, description="LSTM: forget gate = 1 - input gate.")
    layer_norm: bool = Field(default=False, description="LSTM: layer normalisation.")
    reset_after: bool = Field(
        default=True,
        description="GRU: reset after the matrix product (as torch.nn) or before it (the paper).",
    )
    initialisation: Literal["orthogonal", "uniform", "torch"] = Field(
        default="orthogonal",
        description="Recurrent matrices orthogonal; or every weight from U(-initial_range, initial_range); "
        "or torch.nn's defaults.",
    )
    initial_range: float = Field(default=0.1, gt=0, description="For --initialisation uniform.")
    kernel: Literal["auto", "torch", "reference"] = Field(
        default="auto", description="How to run the recurrence; auto takes the fastest that can."
    )

    @model_validator(mode="after")
    def _projection_fits(self) -> RecurrenceConfig:
        if self.projection and self.projection >= self.hidden:
            raise ValueError(f"projection must be below --hidden {self.hidden}")
        return self

    def cell_options(self) -> dict[str, Any]:
        """The options that this cell takes."""
        if self.cell == "rnn":
            return {"activation": self.activation}
        if self.cell == "gru":
            return {"reset_after": self.reset_after}
        names = ("peephole", "projection", "coupled", "layer_norm")
        return {name: getattr(self, name) for name in names}

    def recurrent_options(self) -> dict[str, Any]:
        """The arguments of `throughtime.Recurrent` besides cell, sizes and directions."""
        names = ("dropout", "locked_dropout", "zoneout", "kernel")
        return {
            "num_layers": self.layers,
            **{name: getattr(self, name) for name in names},
            **self.cell_options(),
        }
