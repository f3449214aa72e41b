"""Training through truncated BPTT, with checkpoints that resume bit for bit. Needs torch."""

from throughtime.training.callbacks import EvaluationEvent, StepEvent
from throughtime.training.following import follow
from throughtime.training.launch import resume, start, train
from throughtime.training.own_loss import OwnLoss
from throughtime.training.rate_sweep import RateSweep
from throughtime.training.trainer import Interrupted, Trainer

__all__ = [
    "EvaluationEvent",
    "Interrupted",
    "OwnLoss",
    "RateSweep",
    "StepEvent",
    "Trainer",
    "follow",
    "resume",
    "start",
    "train",
]
