"""What stands before and behind a recurrence: features of its inputs, one vector from its outputs."""

from throughtime.encoders.encoder import Encoder, MobileNetTail, ReadyFeatures
from throughtime.encoders.small_image_cnn import SmallImageCNN

__all__ = ["Encoder", "MobileNetTail", "ReadyFeatures", "SmallImageCNN"]
