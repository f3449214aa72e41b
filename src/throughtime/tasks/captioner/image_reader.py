"""Images to what a captioner's model reads, by the CNN or the features that its run was made with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from numpy.typing import NDArray
from pydantic import Field

from throughtime.config.section import MOST_UNITS
from throughtime.data.tables import BadRows
from throughtime.encoders.frozen import (
    CallableEncoder,
    FrozenEncoder,
    MobileNetEncoder,
    OnnxEncoder,
    PixelEncoder,
    as_features,
    keep_cnn,
)
from throughtime.errors import DataError, OptionError
from throughtime.tasks.captioner.captions import CaptionedImage
from throughtime.tasks.captioner.image_features import Encode, cache_images, pick_features
from throughtime.tasks.captioner.image_inputs import ImageInput, encode_input
from throughtime.tasks.captioner.options import CaptionerConfig

_OUR_SIZE, _IMAGENET_SIZE = 64, 224
# In tokens, with END. Whatever a damaged file says, the writing of a caption comes to an end.
LONGEST_CAPTION = 10_000


@dataclass(frozen=True)
class ImageFacts:
    """What predicting needs to know of the training's pictures and captions: what images.json holds.

    Args:
        shape: of what was cached of one image: (S, S, 3) pixels, or the shape of its features.
        longest: tokens of the longest caption, with END; no longer one is written.
    """

    shape: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MOST_UNITS)], ...], Field(min_length=1, max_length=3)
    ]
    longest: Annotated[int, Field(ge=1, le=LONGEST_CAPTION)]


class ImageReader:
    """The part of a captioner before the trained network.

    Args:
        folder: the run folder, which keeps the CNN.
        config: the run's options.
        backend: what runs a MobileNetV2: "native" or "torch".
    """

    def __init__(self, folder: Path, config: CaptionerConfig, backend: str = "native") -> None:
        self._folder = folder
        self._backend = backend
        self._data = config.data
        self._trained_blocks = config.model.fine_tune
        self.grid = config.model.attends

    @property
    def size(self) -> int:
        """Images are resized to it."""
        ours = self._data.image_encoder is None and self._data.image_features is None
        return self._data.image_size or (_OUR_SIZE if ours else _IMAGENET_SIZE)

    @property
    def encoder_file(self) -> Path:
        """Where the run keeps the CNN that the user gave."""
        assert self._data.image_encoder is not None
        return self._folder / f"encoder{Path(self._data.image_encoder).suffix}"

    def keep_encoder(self) -> None:
        """Copy the CNN into the run folder, which has to hold all that captions need.

        Raises:
            DataError: it is missing, or holds no weights of a MobileNetV2; the message says where they are.
        """
        if self._data.image_encoder is None:
            return
        keep_cnn(self._data.image_encoder, self.encoder_file)

    def encode_all(
        self,
        file: Path,
        images: Sequence[CaptionedImage],
        table: Path,
        bad: BadRows,
        encode: Encode | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[int]:
        """Write what the model reads of images to a file; see `cache_images` and `pick_features`.

        Args:
            encode: a function for the features, in place of the run's CNN or ready features.
        """
        ready = self._data.image_features
        if ready and encode is None:
            return pick_features(file, ready, images, table, self.grid, bad)
        frozen = self._frozen(encode)
        return cache_images(file, images, table, frozen, frozen.image_size, bad, progress)

    def encode_one(
        self, image: ImageInput, shape: tuple[int, ...], bad: BadRows, encode: Encode | None = None
    ) -> NDArray[Any] | None:
        """What the model reads of an image, or None where it is bad and skipped.

        Args:
            shape: what the model was trained with.
        Raises:
            DataError: the image cannot be read, or its features have another shape.
        """
        if image.features is not None:
            read = as_features(image.features[None], self.grid, image.name)[0]
        else:
            frozen = self._frozen(encode)
            read = encode_input(image, frozen, frozen.image_size, bad)
        if read is not None:
            self.check_shape(read.shape, shape, image.name)
        return read

    @staticmethod
    def check_shape(found: tuple[int, ...], expected: tuple[int, ...], name: str) -> None:
        """Raise DataError where features have another shape than those of the training."""
        if found != expected:
            raise DataError(
                f"{name} has features of shape {found}, and the model reads {expected}: use the CNN that it "
                f"was trained with"
            )

    def _frozen(self, encode: Encode | None) -> FrozenEncoder:
        """What makes of pixels what the model reads."""
        if encode is None:
            return self._own
        return CallableEncoder(encode, self.size, self.grid)

    @cached_property
    def _own(self) -> FrozenEncoder:
        if self._data.image_encoder is None:
            if self._data.image_features:
                raise OptionError(
                    f"{self._folder} was trained on ready features, without a CNN: give features as .npz, or "
                    f"a function (encode=) from Python"
                )
            return PixelEncoder(self.size)
        if self.encoder_file.suffix == ".onnx":
            return OnnxEncoder(self.encoder_file, self.size, self.grid, self._data.pixels)
        return MobileNetEncoder(self.encoder_file, self.size, self.grid, self._trained_blocks, self._backend)
