"""How sounds become frames: the options of every task that reads sounds."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from throughtime.config.section import Section


class SoundFrames(Section):
    """The log-mel frames of sounds; see `throughtime.data.audio`."""

    listed_last: ClassVar[tuple[str, ...]] = ("mel_bands", "frame_seconds", "frame_hop")

    mel_bands: int = Field(default=40, ge=1, le=1024, description="Sounds: features per frame.")
    frame_seconds: float = Field(default=0.025, gt=0, le=60, description="Sounds: length of a frame.")
    frame_hop: float = Field(
        default=0.01, gt=0, le=60, description="Sounds: seconds from one frame to the next."
    )
