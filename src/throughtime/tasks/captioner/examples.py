"""Captions as examples on disk: tokens, whose image each describes, and the images' cached features."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.npy import map_npy, read_npy
from throughtime.data.sequences import Sequences, write_sequences
from throughtime.data.tokenizer import Tokenizer
from throughtime.errors import DataError, RunError
from throughtime.facts import read_json
from throughtime.files import write_atomically
from throughtime.tasks.captioner.captions import CaptionedImage


@dataclass(frozen=True)
class CaptionExamples:
    """One part of the data: each caption is an example.

    Args:
        images: (N, ...), what was cached of each image.
        captions: the tokens of each caption, without START and END.
        owners: (C,), the image that each caption belongs to.
        texts: the captions of each image as text, which metrics compare with.
    """

    images: NDArray[Any]
    captions: Sequences
    owners: NDArray[np.int64]
    texts: list[list[str]]

    @classmethod
    def open(cls, folder: Path, part: str) -> CaptionExamples:
        """Map what `write_examples` and the image cache wrote.

        Args:
            folder: of the run's data.
            part: "training" or "validation".
        Raises:
            RunError: a file is missing or damaged.
        """
        path = image_file(folder, part)
        try:
            images, owners = map_npy(path), read_npy(_owners(folder, part))
        except FileNotFoundError as error:
            raise RunError(f"{error.filename} is missing: the run folder is incomplete") from None
        except (OSError, ValueError, RecursionError, DataError) as error:
            raise RunError(f"{path} or what belongs to it is damaged: {error}") from None
        texts = read_json(_texts(folder, part), list[list[str]])
        captions = Sequences.open(_captions(folder, part))
        if (
            owners.shape != (len(captions),)
            or owners.dtype.kind not in "iu"
            or not images.ndim
            or not isinstance(texts, list)
            or len(texts) != len(images)
            or not 0 <= owners.min(initial=0) <= owners.max(initial=0) < len(images)
        ):
            raise RunError(f"{path} is damaged: images and captions do not fit together")
        return cls(images, captions, owners, texts)


def write_examples(folder: Path, part: str, images: Sequence[CaptionedImage], tokenizer: Tokenizer) -> None:
    """Write the captions of images, in the order in which the image cache has them.

    Args:
        folder: of the run's data.
        part: "training" or "validation".
        images: those that are in the cache.
        tokenizer: the vocabulary.
    """
    tokens, owners = [], []
    for number, image in enumerate(images):
        for caption in image.captions:
            tokens.append(tokenizer.encode(caption, f"the caption of {image.name}"))
            owners.append(number)
    write_sequences(_captions(folder, part), tokens, np.int32)
    np.save(_owners(folder, part), np.array(owners, dtype=np.int64), allow_pickle=False)
    texts = json.dumps([image.captions for image in images], ensure_ascii=False)
    write_atomically(_texts(folder, part), texts.encode())


def image_file(folder: Path, part: str) -> Path:
    """Where the cached images of a part lie."""
    return folder / f"{part}.images.npy"


def _captions(folder: Path, part: str) -> Path:
    return folder / f"{part}.captions.npy"


def _owners(folder: Path, part: str) -> Path:
    return folder / f"{part}.owners.npy"


def _texts(folder: Path, part: str) -> Path:
    return folder / f"{part}.texts.json"
