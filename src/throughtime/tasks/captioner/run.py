"""The run of a captioner: it says what is on a picture."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.config.section import MOST_UNITS
from throughtime.data.tables import BadRows
from throughtime.data.tokenizer import Tokenizer
from throughtime.data.vocabularies import END_OF_LINE, UNKNOWN_WORD
from throughtime.errors import DataError, NotANumberError, RunError
from throughtime.facts import read_json
from throughtime.files import write_atomically
from throughtime.generation import SamplingOptions
from throughtime.generation.consensus import consensus as by_consensus
from throughtime.in_memory import takes_data, takes_frames
from throughtime.program.network import Functions
from throughtime.run.run import Run, refuse_text, require_torch
from throughtime.tasks.captioner.captions import CaptionedImage, CaptionedImages, read_captions
from throughtime.tasks.captioner.examples import CaptionExamples, image_file, write_examples
from throughtime.tasks.captioner.generation import best_captions, sample_captions
from throughtime.tasks.captioner.image_features import Encode
from throughtime.tasks.captioner.image_inputs import find_images
from throughtime.tasks.captioner.image_reader import LONGEST_CAPTION, ImageFacts, ImageReader
from throughtime.tasks.captioner.metrics import caption_metrics
from throughtime.tasks.captioner.options import CaptionerConfig
from throughtime.tasks.captioner.writer import CaptionWriter

if TYPE_CHECKING:
    import torch
    from torch import nn

    from throughtime.tasks.captioner.model import Captioner
    from throughtime.training.progress import Progress
    from throughtime.training.task import Task

TOKENIZER = "tokenizer.json"
IMAGES = "images.json"
DATA = "data"
# The rows of an embedding behind its tokens, in the order of their numbers; no token has such a name.
ENDS = ("\0end", "\0start")


@dataclass(frozen=True)
class Caption:
    """What a captioner writes for an image.

    Args:
        image: its name.
        text: the caption.
        log_probability: the sum over its tokens and END, in nats.
        words: the tokens as text, for pictures.
        attention: (T, P), where the model looked for each token; None without attention.
        influence: (T, 1 + T), how much the image, START and the words before mattered to each token, as the
            norms of d log p / d input; None where it was not asked for.
        alternatives: the captions that the search found, best first, each with its log-probability.
    """

    image: str
    text: str
    log_probability: float
    words: list[str]
    attention: NDArray[np.float32] | None = None
    influence: NDArray[np.float64] | None = None
    alternatives: tuple[tuple[str, float], ...] = ()


# Pixels, features of a frozen CNN, and features computed elsewhere.
_OF_IMAGES = tuple(map(np.dtype, (np.uint8, np.float16, np.float32)))


class CaptionerRun(Run):
    """A trained captioner in its folder.

    Example:
        run = CaptionerRun.open("runs/photos")
        for caption in run.caption(["photo.jpg"]):
            print(caption.text)

    Attributes:
        tokenizer: the vocabulary.
    """

    task = "captioner"
    config: CaptionerConfig
    tokenizer: Tokenizer

    def prepare(self, show: Progress) -> None:
        data = self.config.data
        bad = BadRows(data.skip_bad)
        self._images.keep_encoder()
        source = self._read(data.source, bad, data.allow_outside_files)
        training, validation = self._parts(source, bad)
        if not training:
            raise DataError(f"{source.table} has no images to train on: every row is of another split")
        kept = self._cache("training", training, source.table, bad, show)
        self.fit_to_data(sum(len(image.captions) for image in kept), show, "captions")
        self._train_tokenizer(kept)
        write_examples(self.folder / DATA, "training", kept, self.tokenizer)
        if validation is not None and validation.images:
            seen = self._cache("validation", validation.images, validation.table, bad, show)
            write_examples(self.folder / DATA, "validation", seen, self.tokenizer)
        if bad.count:
            show.remark(bad.summary())
        array = np.load(image_file(self.folder / DATA, "training"), mmap_mode="r")
        longest = max(len(self.tokenizer.encode(caption)) for image in kept for caption in image.captions)
        if longest >= LONGEST_CAPTION:
            raise DataError(
                f"{source.table}: a caption has {longest} tokens, and {LONGEST_CAPTION - 1} are the most: "
                f"cut it, or take --tokenizer word"
            )
        if max(array.shape[1:]) > MOST_UNITS:
            raise DataError(
                f"{source.table}: features of shape {array.shape[1:]} are more than a network reads: "
                f"{MOST_UNITS:,} at most"
            )
        facts = ImageFacts(array.shape[1:], longest + 1)
        write_atomically(self.folder / IMAGES, json.dumps(asdict(facts)).encode())
        self.load()

    def load(self) -> None:
        self.tokenizer = Tokenizer.load(self.folder / TOKENIZER)
        facts = read_json(self.folder / IMAGES, ImageFacts)
        self._shape, self._longest = facts.shape, facts.longest

    def build_model(self) -> Captioner:
        from throughtime.encoders.encoder import MobileNetTail, ReadyFeatures
        from throughtime.encoders.mobilenet import load_mobilenet
        from throughtime.encoders.small_image_cnn import SmallImageCNN
        from throughtime.tasks.captioner.model import Captioner

        network, data = self.config.model, self.config.data
        if network.fine_tune:
            whole = load_mobilenet(self._images.encoder_file)
            encoder = MobileNetTail(whole, network.fine_tune, self._images.grid, self._shape)
        elif data.image_features or data.image_encoder:
            encoder = ReadyFeatures(self._shape[-1], self._images.grid, self._shape)
        else:
            encoder = SmallImageCNN(self._images.size, self._images.grid)
        return Captioner(network, self.tokenizer.vocabulary_size, encoder)

    def row_names(self) -> dict[str, list[str]]:
        read = [*self.tokenizer.token_texts(), *ENDS]
        written = read[:-1]
        return {"embedding.weight": read, "output.weight": written, "output.bias": written}

    def make_task(self, model: nn.Module, device: torch.device) -> Task:
        from throughtime.encoders.encoder import ReadyFeatures
        from throughtime.tasks.captioner.training import Captioning

        folder = self.folder / DATA
        parts = [CaptionExamples.open(folder, "training")]
        if image_file(folder, "validation").exists():
            parts.append(CaptionExamples.open(folder, "validation"))
        for part in parts:
            part.captions.expect_numbers(0, self.tokenizer.vocabulary_size)
            if part.images.shape[1:] != self._shape or part.images.dtype not in _OF_IMAGES:
                raise RunError(
                    f"{folder} is damaged: its images are {part.images.dtype} {part.images.shape[1:]}, "
                    f"expected {self._shape} as in {IMAGES}, of 8 bits, or floats of 16 or 32"
                )
        training = parts[0]
        if isinstance(model.encoder, ReadyFeatures) and model.training:
            # Not of a trained model, which comes in evaluation mode to be inspected: it has its own. Neither
            # does a training that goes on see these: its checkpoint holds those that it began with.
            model.encoder.measure(training.images)
        return Captioning(
            model,  # type: ignore[arg-type]
            training,
            parts[1] if len(parts) > 1 else None,
            self.config.training,
            lambda tokens: self._text(tokens).split(),
            self._never,
            self._longest,
        )

    def caption(
        self,
        inputs: Sequence[str | Path],
        beam: int | None = None,
        length_penalty: float | None = None,
        sampling: SamplingOptions | None = None,
        seed: int = 0,
        encode: Encode | None = None,
        bad: BadRows | None = None,
        with_influence: bool = False,
        word_reward: float | None = None,
        consensus: bool | None = None,
    ) -> Iterator[Caption]:
        """Write a caption for each image.

        Args:
            inputs: images, folders of images, or .npz files of ready features; "-" reads paths from standard
                input as they come.
            beam: beginnings kept at every step; None is the run's option.
            length_penalty, word_reward: see `throughtime.generation.beam_search`; None is the run's option.
            consensus: pick the caption that agrees best with the rest of the beam; None is the run's option.
            sampling: draw captions instead of searching for the most probable one.
            seed: of the drawing.
            encode: a function that gives the features of images (B, S, S, 3), uint8; for a run that was
                trained on features computed elsewhere.
            bad: what happens to what cannot be read, and its count afterwards; None stops at the first.
            with_influence: also tell what each word depended on.
        Raises:
            DataError: an image or a file of features cannot be read.
            OptionError: the run knows no CNN for images, and none is given.
        """
        refuse_text(inputs, "caption")
        bad = bad or BadRows()
        for number, image in enumerate(find_images(inputs, bad)):
            read = self._images.encode_one(image, self._shape, bad, encode)
            if read is None:
                continue
            try:
                written = self._write(
                    read, image.name, beam, length_penalty, word_reward, consensus, sampling, seed + number
                )
            except NotANumberError as error:
                bad.report(image.name, None, str(error))
                continue
            yield self._with_influence(written, read) if with_influence else written

    @takes_frames
    def predict(self, inputs: Sequence[str | Path], skip_bad: bool = False) -> Iterator[dict[str, Any]]:
        bad = BadRows(skip_bad)
        self.left_out = ""
        for caption in self.caption(inputs, bad=bad):
            yield {
                "image": caption.image,
                "caption": caption.text,
                "log_probability": caption.log_probability,
            }
        self.left_out = bad.summary()

    @takes_data
    def evaluate(
        self,
        path: str | Path,
        skip_bad: bool = False,
        progress: Callable[[float], None] | None = None,
        beam: int | None = None,
        length_penalty: float | None = None,
        encode: Encode | None = None,
        split: str = "test",
        word_reward: float | None = None,
        consensus: bool | None = None,
        allow_outside_files: bool = False,
    ) -> dict[str, float | int]:
        """Measure captions against references: BLEU-1 to 4, ROUGE-L and CIDEr-D.

        Args:
            path: images with captions, in the format of the training data. Where the table has splits, only
                the images of `split` count.
            skip_bad: leave out rows and images that cannot be used.
            progress: called with the share that is done.
            beam, length_penalty, word_reward, consensus, encode: as in `caption`.
            split: "test", "validation" or "training".
            allow_outside_files: read images outside the folder of their table.
        """
        bad = BadRows(skip_bad)
        data = self._read(path, bad, allow_outside_files)
        images = data.of_split(split) if data.has_splits else data.images
        if not images:
            raise DataError(f"{data.table} has no images of the split {split!r}")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "images.npy"
            kept = self._images.encode_all(file, images, data.table, bad, encode)
            array = np.load(file, mmap_mode="r")
            self._images.check_shape(array.shape[1:], self._shape, str(data.table))
            candidates = []
            for number in range(len(kept)):
                image = np.array(array[number])
                name = images[kept[number]].name
                caption = self._write(image, name, beam, length_penalty, word_reward, consensus)
                candidates.append(caption.text.split())
                if progress is not None:
                    progress((number + 1) / len(kept))
            del array
        references = [[text.split() for text in images[which].captions] for which in kept]
        return {
            **caption_metrics(candidates, references),
            "images": len(kept),
            "references": sum(map(len, references)),
            "left_out": bad.count,
        }

    @property
    def pipeline_tag(self) -> str:
        return "image-to-text"

    def next_command(self) -> str:
        return f"Let it speak: throughtime caption {self.folder} photo.jpg"

    def facts(self) -> dict[str, Any]:
        return {"vocabulary_size": self.tokenizer.vocabulary_size}

    @cached_property
    def _images(self) -> ImageReader:
        return ImageReader(self.folder, self.config, self.backend)

    def beside_graphs(self) -> tuple[Sequence[str], dict[str, Any]]:
        end = self.tokenizer.vocabulary_size
        return (TOKENIZER,), {"end": end, "start": end + 1}

    def port_sizes(self) -> dict[tuple[str, str], int]:
        V = self.tokenizer.vocabulary_size
        return {("step", "token"): V + 2, ("step", "logits"): V + 1}

    def predictor(self, network: Functions) -> CaptionWriter:
        return CaptionWriter(network, self.tokenizer.vocabulary_size)

    def _write(
        self,
        image: NDArray[Any],
        name: str,
        beam: int | None,
        length_penalty: float | None,
        word_reward: float | None,
        consensus: bool | None,
        sampling: SamplingOptions | None = None,
        seed: int = 0,
    ) -> Caption:
        """The caption of what the model reads of an image."""
        network = self.config.model
        alternatives: tuple[tuple[str, float], ...] = ()
        if sampling is None:
            width = network.beam if beam is None else beam
            penalty = network.length_penalty if length_penalty is None else length_penalty
            reward = network.word_reward if word_reward is None else word_reward
            found = best_captions(
                self.network,
                image,
                width,
                self._longest,
                penalty,
                self._never,
                reward,
                network.rewarded_length,
            )
            if network.consensus if consensus is None else consensus:
                found = by_consensus(found, self.tokenizer.vocabulary_size)
            alternatives = tuple((self._text(one.tokens), one.log_probability) for one in found)
            best = found[0]
            tokens, log_probability = list(best.tokens), best.log_probability
        else:
            tokens = sample_captions(self.network, image[None], self._longest, sampling, seed, self._never)[0]
            log_probability = self.network.log_probability(image[None], np.array(tokens), self._never)
        end = self.tokenizer.vocabulary_size
        words = [self.tokenizer.token_text(token) for token in tokens if token != end]
        attention = self.network.attention(image[None], np.array(tokens)) if self._images.grid else None
        text = self._text(tokens)
        return Caption(name, text, log_probability, words, attention, alternatives=alternatives)

    def _with_influence(self, caption: Caption, image: NDArray[Any]) -> Caption:
        require_torch()
        from throughtime.inspection.influence import caption_influence

        tokens = [*self.tokenizer.encode(caption.text), self.tokenizer.vocabulary_size]
        features, words = caption_influence(self.model, image, np.array(tokens))
        # One number for the image: the norm over all its places.
        whole = np.sqrt((features**2).sum(axis=1, keepdims=True))
        return replace(caption, influence=np.concatenate([whole, words], axis=1))

    def _text(self, tokens: Sequence[int]) -> str:
        end = self.tokenizer.vocabulary_size
        return self.tokenizer.decode([token for token in tokens if token != end])

    @cached_property
    def _never(self) -> list[int]:
        """Tokens that a caption must not hold: the unknown word, and a line's end."""
        if self.tokenizer.kind != "word":
            return []
        special = (UNKNOWN_WORD, END_OF_LINE)
        tokens = range(self.tokenizer.vocabulary_size)
        return [token for token in tokens if self.tokenizer.token_text(token) in special]

    def _read(self, path: str | Path, bad: BadRows, allow_outside: bool) -> CaptionedImages:
        data = self.config.data
        return read_captions(path, bad, data.normalise_captions, not data.image_features, allow_outside)

    def _parts(
        self, source: CaptionedImages, bad: BadRows
    ) -> tuple[list[CaptionedImage], CaptionedImages | None]:
        """The images to train on and those to validate on."""
        data = self.config.data
        training = [image for image in source.images if image.split in ("training", "")]
        if data.validation is not None:
            return training, self._read(data.validation, bad, data.allow_outside_files)
        validation = source.of_split("validation")
        if not validation:
            count = round(data.validation_fraction * len(training))
            generator = np.random.Generator(np.random.PCG64(self.config.training.seed))
            drawn = set(generator.permutation(len(training))[:count].tolist())
            validation = [image for number, image in enumerate(training) if number in drawn]
            training = [image for number, image in enumerate(training) if number not in drawn]
        return training, CaptionedImages(source.table, validation)

    def _train_tokenizer(self, images: list[CaptionedImage]) -> None:
        data = self.config.data
        captions = [caption for image in images for caption in image.captions]
        vocabulary = data.vocabulary
        if data.tokenizer == "word" and data.minimum_count > 1:
            counts = Counter(word for caption in captions for word in caption.split())
            frequent = sum(count >= data.minimum_count for count in counts.values())
            # Beside the words there are the unknown word and the line's end.
            vocabulary = min(frequent + 2, vocabulary or frequent + 2)
        self.tokenizer = Tokenizer.train_on_texts(data.tokenizer, captions, vocabulary)
        self.tokenizer.save(self.folder / TOKENIZER)

    def _cache(
        self, part: str, images: list[CaptionedImage], table: Path, bad: BadRows, show: Progress
    ) -> list[CaptionedImage]:
        """Cache what the model reads of images; return those that could be read."""

        def progress(done: int, total: int) -> None:
            show.preparing(f"reading {part} images", done, total)

        file = image_file(self.folder / DATA, part)
        return [images[which] for which in self._images.encode_all(file, images, table, bad, None, progress)]
