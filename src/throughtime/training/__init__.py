"""Training through truncated BPTT, with checkpoints that resume bit for bit. Needs torch."""

from throughtime.training.launch import resume, start, train
from throughtime.training.trainer import Interrupted, Trainer

__all__ = ["Interrupted", "Trainer", "resume", "start", "train"]
