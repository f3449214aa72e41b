"""Where things lie in every run folder."""

from __future__ import annotations

from pathlib import Path

CONFIG = "config.toml"
WEIGHTS = "model.safetensors"
CHECKPOINT = Path("checkpoints") / "last.safetensors"
# What the names of the model's tensors begin with in a checkpoint.
OF_MODEL = "model."
# The folders of what `Run.prepare` makes of the user's data for training.
TOKENS = "tokens"
PREPARED = ("data", TOKENS)
