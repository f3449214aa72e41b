"""How a network learns: the options that every task has."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from throughtime.config.section import MOST_COUNTED, MOST_RATE, Section


def _as_list(value: Any) -> Any:
    """One tracker's name as a list of it; trackers that are named twice, or always there, are refused."""
    names = [value] if isinstance(value, str) else value
    if isinstance(names, list):
        if "tensorboard" in names:
            raise ValueError("--track tensorboard would do nothing: --tensorboard is on by default")
        if len({*map(str, names)}) < len(names):
            raise ValueError("--track names a tracker twice")
    return names


class TrainingConfig(Section):
    """How the network learns."""

    init_from: str | None = Field(
        default=None,
        description="Begin with the weights of this run, and with its cell and sizes where none are given; "
        "tokens and labels that it does not know begin at random.",
    )
    epochs: int = Field(default=10, ge=1, le=MOST_COUNTED, description="Passes over the training data.")
    batch: int = Field(default=32, ge=1, le=MOST_COUNTED, description="Examples per update.")
    optimizer: Literal["adamw", "sgd"] = Field(default="adamw", description="The optimiser.")
    learning_rate: float = Field(default=2e-3, gt=0, le=MOST_RATE, description="Peak learning rate.")
    weight_decay: float = Field(default=0.01, ge=0, le=MOST_RATE, description="Weight decay.")
    momentum: float = Field(default=0.0, ge=0, lt=1, description="Momentum of SGD.")
    schedule: Literal["constant", "cosine", "zaremba", "plateau"] = Field(
        default="cosine", description="How the learning rate changes."
    )
    warmup: float = Field(
        default=0.03,
        ge=0,
        lt=1,
        description="Share of the training during which the learning rate rises to its peak.",
    )
    final_learning_rate: float = Field(
        default=0.02, ge=0, le=1, description="Where cosine ends, as a fraction of --learning-rate."
    )
    decay: float = Field(
        default=0.5, gt=0, le=1, description="Factor by which zaremba and plateau cut the rate."
    )
    decay_after: int = Field(
        default=4,
        ge=0,
        le=MOST_COUNTED,
        description="Zaremba: keep the full rate for this many epochs, then cut it in each.",
    )
    patience: int = Field(
        default=1,
        ge=1,
        le=MOST_COUNTED,
        description="Plateau: cut the rate after this many evaluations without improvement.",
    )
    clip_norm: float = Field(
        default=1.0,
        ge=0,
        le=MOST_RATE,
        description="Clip the norm of all gradients together to this; 0 never clips.",
    )
    clip_value: float = Field(
        default=0.0, ge=0, le=MOST_RATE, description="Clip each gradient value to this; 0 never clips."
    )
    precision: Literal["fp32", "bf16", "auto"] = Field(
        default="fp32",
        description="Mixed precision bf16: products in bf16, weights and gradients in fp32; auto takes it if "
        "the processor has it.",
    )
    early_stopping: int = Field(
        default=0,
        ge=0,
        le=MOST_COUNTED,
        description="Stop after this many evaluations without improvement; 0 never stops.",
    )
    keep: Literal["best", "last"] = Field(
        default="best",
        description="The weights that the run keeps: the best on the validation data, or the last.",
    )
    keep_best: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="Keep the weights of so many best evaluations as checkpoints/step-N.safetensors.",
    )
    ema: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Evaluate and keep an exponential moving average of the weights with this decay, such as "
        "0.999, in the place of the weights themselves; 0 does not.",
    )
    average: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="At the end, try the mean of the weights of so many last evaluations, and keep it if it "
        "does better than the best; 0 does not.",
    )
    evaluate_every: int = Field(
        default=0,
        ge=0,
        le=MOST_COUNTED,
        description="Steps between evaluations; 0 evaluates at the end of each epoch.",
    )
    log_every: int = Field(
        default=20, ge=1, le=MOST_COUNTED, description="Steps between lines of metrics.jsonl."
    )
    checkpoint_seconds: float = Field(
        default=60.0, ge=0, le=MOST_COUNTED, description="Longest time in seconds that a crash can cost."
    )
    tensorboard: bool = Field(default=True, description="Write TensorBoard events.")
    track: Annotated[list[Literal["wandb", "trackio", "mlflow"]], BeforeValidator(_as_list)] = Field(
        default=[], description="Tell this tracker, too, what is logged: wandb, trackio or mlflow."
    )
    seed: int = Field(default=1, ge=0, lt=2**63, description="Seeds weights, dropout and data order.")
    groups: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Cut each batch in so many parts and add their gradients in order: the same bits with "
        "any number of processes that divides it; 0 adds them as is fastest.",
    )
    threads: int = Field(default=0, ge=0, le=256, description="CPU threads; 0 leaves the choice to PyTorch.")
    device: str = Field(default="auto", description="cpu, cuda, cuda:1...; auto takes a GPU if there is one.")
