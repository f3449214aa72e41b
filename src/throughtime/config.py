"""Every option of a run, typed and described once: command line, API and config.toml all read this."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from throughtime.errors import OptionError, RunError
from throughtime.files import write_atomically

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(_Section):
    """Where the text comes from and how it becomes tokens."""

    source: str = Field(default="", description="The training text.")
    validation: str | None = Field(
        default=None, description="A text file to validate on, in place of the end of the training text."
    )
    validation_fraction: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the text, from its end, kept for validation; 0 for none.",
    )
    tokenizer: Literal["character", "byte", "bpe", "word"] = Field(
        default="character", description="What a token is."
    )
    vocabulary: int | None = Field(
        default=None,
        ge=3,
        description="Largest vocabulary, for bpe (default 4096) and word (default: every word).",
    )
    errors: Literal["strict", "replace"] = Field(
        default="strict",
        description="Bytes that are not UTF-8: stop with their offset, or read them as U+FFFD.",
    )


class ModelConfig(_Section):
    """The network."""

    task: Literal["language_model"] = Field(default="language_model", description="The shape of the problem.")
    cell: Literal["rnn", "lstm", "gru"] = Field(default="lstm", description="The recurrent cell.")
    hidden: int = Field(default=256, ge=1, description="Hidden units in each layer.")
    layers: int = Field(default=2, ge=1, description="Recurrent layers.")
    embedding: int = Field(
        default=128, ge=0, description="Size of the token embedding; 0 feeds one-hot vectors."
    )
    tie_weights: bool = Field(
        default=False,
        description="The output layer uses the embedding's weights; embedding and output sizes must agree.",
    )
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Dropout between layers.")
    input_dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the embeddings.")
    output_dropout: float = Field(default=0.2, ge=0, lt=1, description="Dropout before the output layer.")
    locked_dropout: bool = Field(
        default=False, description="One dropout mask a chunk instead of one a step (variational dropout)."
    )
    zoneout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Probability that a unit keeps its old state; slow, runs the plain loop.",
    )
    learned_initial_state: bool = Field(default=False, description="Learn the state before the first step.")
    activation: Literal["tanh", "relu"] = Field(default="tanh", description="Activation of the rnn cell.")
    forget_bias: float = Field(default=1.0, description="Initial bias of the LSTM's forget gate.")
    peephole: bool = Field(default=False, description="LSTM: the gates see the cell state.")
    projection: int = Field(
        default=0, ge=0, description="LSTM: project the hidden state to this size; 0 for none."
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
    def _fits_together(self) -> ModelConfig:
        output = self.projection or self.hidden
        if self.tie_weights and self.embedding != output:
            raise ValueError(f"tie_weights needs --embedding {output}, the size of the last layer's output")
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


class TrainingConfig(_Section):
    """How the network learns."""

    epochs: int = Field(default=10, ge=1, description="Passes over the training text.")
    batch: int = Field(default=32, ge=1, description="Streams of text that are read in parallel.")
    chunk: int = Field(
        default=64, ge=0, description="Steps between the cuts of truncated backpropagation; 0 cuts nowhere."
    )
    chunk_mode: Literal["fixed", "random"] = Field(
        default="fixed", description="Random chunk lengths around --chunk, or always the same."
    )
    optimizer: Literal["adamw", "sgd"] = Field(default="adamw", description="The optimiser.")
    learning_rate: float = Field(default=2e-3, gt=0, description="Peak learning rate.")
    weight_decay: float = Field(default=0.01, ge=0, description="Weight decay.")
    momentum: float = Field(default=0.0, ge=0, lt=1, description="Momentum of SGD.")
    schedule: Literal["constant", "cosine", "zaremba", "plateau"] = Field(
        default="cosine", description="How the learning rate changes."
    )
    warmup: float = Field(
        default=0.03, ge=0, lt=1, description="Share of the training in which the rate rises to its peak."
    )
    final_learning_rate: float = Field(
        default=0.02, ge=0, le=1, description="Where cosine ends, as a fraction of --learning-rate."
    )
    decay: float = Field(default=0.5, gt=0, le=1, description="Factor of each cut of zaremba and plateau.")
    decay_after: int = Field(
        default=4, ge=0, description="Zaremba: full rate for so many epochs, then a cut in each."
    )
    patience: int = Field(
        default=1, ge=1, description="Plateau: cut after so many evaluations without improvement."
    )
    clip_norm: float = Field(default=1.0, ge=0, description="Scale gradients down to this norm; 0 for never.")
    clip_value: float = Field(
        default=0.0, ge=0, description="Limit each gradient value to this; 0 for never."
    )
    precision: Literal["fp32", "bf16", "auto"] = Field(
        default="fp32", description="Mixed precision bf16; auto takes it where the processor has it."
    )
    early_stopping: int = Field(
        default=0, ge=0, description="Stop after so many evaluations without improvement; 0 for never."
    )
    evaluate_every: int = Field(
        default=0, ge=0, description="Steps between evaluations; 0 for each epoch's end."
    )
    evaluation_streams: int = Field(
        default=16, ge=1, description="Parallel streams of validation during training."
    )
    log_every: int = Field(default=20, ge=1, description="Steps between lines of metrics.jsonl.")
    checkpoint_seconds: float = Field(default=60.0, ge=0, description="Longest time that a crash can cost.")
    tensorboard: bool = Field(default=True, description="Write TensorBoard events.")
    seed: int = Field(default=1, ge=0, lt=2**63, description="Of weights, dropout and chunk lengths.")
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 leaves the choice to PyTorch.")
    device: str = Field(
        default="auto", description="cpu, cuda, cuda:1...; auto takes a GPU where there is one."
    )


SECTIONS: dict[str, type[_Section]] = {"data": DataConfig, "model": ModelConfig, "training": TrainingConfig}


class RunConfig(_Section):
    """All of a run's options, as in config.toml."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()

    def save(self, path: str | Path) -> None:
        """Write config.toml."""
        write_atomically(path, tomli_w.dumps(self.model_dump(exclude_none=True)).encode())

    @classmethod
    def load(cls, path: str | Path) -> RunConfig:
        """Read the config.toml of a run.

        Raises:
            RunError: the file is missing or damaged (the message names the field).
        """
        path = Path(path)
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise RunError(
                f"{path} is missing: {path.parent} is not a run folder, or an incomplete one"
            ) from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise RunError(f"{path} is damaged: {error}") from None
        except ValidationError as error:
            raise RunError(f"{path} is damaged: {describe(error)}") from None


def section_of(option: str) -> str | None:
    """The section that an option belongs to; option names are unique over all sections."""
    return next((name for name, section in SECTIONS.items() if option in section.model_fields), None)


def resolve(*layers: Mapping[str, Any]) -> RunConfig:
    """Lay options over the defaults; later layers win.

    Args:
        layers: {option: value} or {section: {option: value}}; None values are passed over.
    Raises:
        OptionError: an option is unknown or out of its range (the message names it).
    """
    merged: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for layer in layers:
        for name, value in layer.items():
            if name in SECTIONS and isinstance(value, Mapping):
                merged[name].update(value)
            elif section := section_of(name):
                if value is not None:
                    merged[section][name] = value
            else:
                raise OptionError(f"option {name!r} is unknown{_suggestion(name)}")
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        raise OptionError(describe(error)) from None


def read_options(path: str | Path) -> dict[str, Any]:
    """Read the options of a TOML file, flat or in sections.

    Raises:
        OptionError: the file is missing or not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OptionError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"{path} cannot be read as TOML: {error}") from None


def describe(error: ValidationError) -> str:
    """The first fault in one line, by the name under which the user gave the option."""
    fault = error.errors()[0]
    option = str(fault["loc"][-1]) if fault["loc"] else "options"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"option {option!r} is unknown{_suggestion(option)}"
    if fault["type"] == "value_error":
        return message
    return f"--{option.replace('_', '-')}: {message[0].lower()}{message[1:]}, not {fault['input']!r}"


def _suggestion(option: str) -> str:
    from difflib import get_close_matches

    known = [name for section in SECTIONS.values() for name in section.model_fields]
    close = get_close_matches(option, known, n=1)
    return f": did you mean {close[0]!r}?" if close else ""
