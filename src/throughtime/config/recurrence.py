"""The options of the recurrence, which every task's network has in its middle."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from throughtime.config.section import MOST_LAYERS, MOST_UNITS, Section

# Those of throughtime.cells, which takes torch to import.
CELLS = ("rnn", "lstm", "gru", "mogrifier", "mingru", "slstm")
_MOST_MEGABYTES = 1 << 24
# What `throughtime.Recurrent` takes itself; all else goes on to the cell.
OF_LAYERS = frozenset(
    ["self", "cell", "input_size", "hidden_size", "num_layers", "bidirectional", "batch_first", "dropout"]
    + ["locked_dropout", "zoneout", "learned_initial_state", "kernel", "gradient_memory"]
)
# Options that are fields of their own.
_NAMED_OPTIONS = {
    "rnn": ("activation",),
    "gru": ("reset_after",),
    "lstm": ("peephole", "projection", "coupled", "layer_norm"),
}


class RecurrenceConfig(Section):
    """Cells and layers."""

    cells: ClassVar[tuple[str, ...]] = CELLS

    cell: str = Field(
        default="lstm",
        description=f"The recurrent cell: {', '.join(CELLS)}; or one of your own, a subclass of "
        "throughtime.Cell, as FILE.py:CLASS or MODULE:CLASS.",
    )
    cell_option: dict[str, bool | int | float | str] = Field(
        default={},
        description="An option of the cell, as NAME=VALUE: mogrifier rounds, slstm heads, your own.",
    )
    hidden: int = Field(default=256, ge=1, le=MOST_UNITS, description="Hidden units in each layer.")
    layers: int = Field(default=2, ge=1, le=MOST_LAYERS, description="Recurrent layers.")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Dropout between layers.")
    locked_dropout: bool = Field(
        default=False,
        description="Use one dropout mask per sequence instead of one per step (variational dropout).",
    )
    zoneout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Probability that a unit keeps its old state; slow, because it runs the plain loop.",
    )
    activation: Literal["tanh", "relu"] = Field(default="tanh", description="Activation of the rnn cell.")
    forget_bias: float = Field(
        default=1.0, ge=-100, le=100, description="Initial bias of the LSTM's forget gate."
    )
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
        description="Draw recurrent matrices orthogonal, every weight from U(-initial_range, "
        "initial_range), or all as torch.nn does.",
    )
    initial_range: float = Field(
        default=0.1, gt=0, le=100, description="The range of --initialisation uniform."
    )
    kernel: Literal["auto", "native", "torch", "reference"] = Field(
        default="auto",
        description="How to train the recurrence: native is Throughtime's own, for every cell; auto takes "
        "the fastest that can.",
    )
    gradient_memory: int = Field(
        default=0,
        ge=0,
        le=_MOST_MEGABYTES,
        description="MiB that each layer may keep for its gradient; the rest is computed again on the way "
        "back, for sequences of tens of thousands of steps. 0: no limit.",
    )

    @model_validator(mode="after")
    def _projection_fits(self) -> RecurrenceConfig:
        if self.projection and self.projection >= self.hidden:
            raise ValueError(f"projection must be below --hidden {self.hidden}")
        return self

    @field_validator("cell")
    @classmethod
    def _cell_is_known(cls, cell: str) -> str:
        place, _, name = cell.rpartition(":")
        if cell not in cls.cells and not (place and name.isidentifier()):
            raise ValueError(f"cell {cell[:60]!r} is unknown: use {', '.join(cls.cells)}, or FILE.py:CLASS")
        return cell

    @field_validator("cell_option")
    @classmethod
    def _options_reach_the_cell(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name in options:
            if name in OF_LAYERS:
                raise ValueError(
                    f"cell_option {name} is of the layers, and no cell gets it: call it otherwise"
                )
        return options

    @model_validator(mode="after")
    def _options_are_the_cells(self) -> RecurrenceConfig:
        if self.cell_option and self.cell in (*_NAMED_OPTIONS, "none"):
            raise ValueError(
                f"cell_option {next(iter(self.cell_option))} is none of the {self.cell}, whose options are "
                f"{', '.join(_NAMED_OPTIONS.get(self.cell, ())) or 'none'}"
            )
        return self

    # Options that say how a network is trained or used, and not what it computes.
    beside_the_program: ClassVar[frozenset[str]] = frozenset(
        ["dropout", "locked_dropout", "forget_bias", "initialisation", "initial_range", "kernel"]
        + ["gradient_memory"]
        + ["input_dropout", "input_noise", "output_dropout", "feature_dropout", "word_dropout"]
        + ["beam", "length_penalty", "word_reward", "rewarded_length", "consensus"]
    )

    def computed(self) -> dict[str, Any]:
        """The options that the network's program depends on, as JSON can hold them."""
        return self.model_dump(mode="json", exclude=set(self.beside_the_program))

    def options_of_cell(self) -> dict[str, Any]:
        """The options that this cell takes."""
        if self.cell not in _NAMED_OPTIONS:
            return dict(self.cell_option)
        return {name: getattr(self, name) for name in _NAMED_OPTIONS[self.cell]}

    def recurrent_options(self) -> dict[str, Any]:
        """The arguments of `throughtime.Recurrent` besides cell, sizes and directions."""
        names = ("dropout", "locked_dropout", "zoneout", "kernel")
        return {
            "num_layers": self.layers,
            **{name: getattr(self, name) for name in names},
            "gradient_memory": self.gradient_memory << 20,
            **self.options_of_cell(),
        }
