"""What stands before and behind a recurrence: features of its inputs, one vector from its outputs."""

from throughtime.encoders.encoder import Encoder, ReadyFeatures

__all__ = ["Encoder", "ReadyFeatures"]
