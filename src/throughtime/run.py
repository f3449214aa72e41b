"""A run folder: what a training leaves, and everything that can be done with it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from throughtime.config import RunConfig
from throughtime.data import TokenFile, Tokenizer, write_tokens
from throughtime.errors import CheckpointError, MissingExtraError, RunError
from throughtime.generation import SamplingOptions
from throughtime.generation.text import Stepper, most_probable, stream

if TYPE_CHECKING:
    from throughtime.models import LanguageModel

CONFIG = "config.toml"
TOKENIZER = "tokenizer.json"
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts a text.

    Args:
        nats_per_token: the mean loss.
        predictions: tokens predicted: all but the first.
        characters: Unicode code points of the text.
        tokens_per_second: speed of the evaluation.
    """

    nats_per_token: float
    predictions: int
    characters: int
    tokens_per_second: float

    @property
    def perplexity(self) -> float:
        """exp of the mean loss a token."""
        return math.exp(min(self.nats_per_token, 700.0))

    @property
    def bits_per_character(self) -> float:
        """All bits over all characters, which compares tokenisers; bpc for a character model."""
        return self.nats_per_token * self.predictions / max(self.characters - 1, 1) / math.log(2)


class Run:
    """A trained model in its folder.

    Example:
        run = Run.open("runs/shakespeare")
        print(run.sample("ROMEO:", length=300, temperature=0.8))

    Attributes:
        folder: the run folder.
        config: every option, resolved.
        tokenizer: the vocabulary.
    """

    def __init__(self, folder: Path, config: RunConfig, tokenizer: Tokenizer) -> None:
        self.folder = folder
        self.config = config
        self.tokenizer = tokenizer

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Open a run folder.

        Raises:
            RunError: the folder is missing, incomplete or damaged (the message names the file).
        """
        folder = Path(folder)
        if not folder.exists():
            raise RunError(f"{folder}: no such run folder (the working directory is {Path.cwd()})")
        if not folder.is_dir():
            raise RunError(f"{folder} is a file: name the run folder that `throughtime train` made")
        config = RunConfig.load(folder / CONFIG)
        tokenizer = Tokenizer.load(folder / TOKENIZER)
        if not (folder / WEIGHTS).exists():
            raise RunError(
                f"{folder} has no {WEIGHTS} yet: it is written at the first evaluation; go on with "
                f"`throughtime train --resume {folder}`"
            )
        return cls(folder, config, tokenizer)

    @cached_property
    def model(self) -> LanguageModel:
        """The network with the run's weights, on the CPU, in evaluation mode. Needs torch.

        Raises:
            RunError: the weights are damaged or do not fit config.toml.
            MissingExtraError: torch is not installed.
        """
        require_torch()
        from throughtime.models import LanguageModel
        from throughtime.training.checkpoint import load_weights, read_tensors

        model = LanguageModel(self.config.model, self.tokenizer.vocabulary_size)
        tensors, _ = read_tensors(self.folder / WEIGHTS)
        load_weights(model, tensors, self.folder / WEIGHTS)
        return model.eval()

    @cached_property
    def stepper(self) -> Stepper:
        """The model as generation wants it."""
        require_torch()
        from throughtime.models import TorchStepper

        return TorchStepper(self.model)

    def sample(self, prompt: str = "", length: int = 500, **options: Any) -> str:
        """Write a text that begins with the prompt.

        Args:
            prompt: what to begin with.
            length: tokens to draw, at most.
            **options: temperature, top_k, top_p, min_p, repetition_penalty, seed, stop; see `stream`.
        """
        return self.samples(1, prompt, length, **options)[0]

    def samples(self, count: int, prompt: str = "", length: int = 500, **options: Any) -> list[str]:
        """Write several texts that begin with the prompt, in one batch; options as for `sample`."""
        texts = [prompt] * count
        for row, text in self.stream(prompt, length, samples=count, **options):
            texts[row] += text
        return texts

    def stream(
        self,
        prompt: str = "",
        length: int = 500,
        samples: int = 1,
        seed: int | None = None,
        stop: Sequence[str] = (),
        **options: Any,
    ) -> Iterator[tuple[int, str]]:
        """Yield (sample, text) piece by piece, without the prompt.

        Args:
            prompt, length, samples, seed, stop: as in `throughtime.generation.text.stream`.
            **options: of `throughtime.generation.SamplingOptions`.
        """
        sampling = SamplingOptions(**options)
        return stream(self.stepper, self.tokenizer, prompt, length, sampling, seed, stop, samples)

    def beam(
        self, prompt: str = "", length: int = 500, width: int = 4, stop: Sequence[str] = ()
    ) -> list[tuple[str, float]]:
        """The most probable continuations by beam search, best first, each with its log-probability."""
        return most_probable(self.stepper, self.tokenizer, prompt, length, width, stop)

    def evaluate(
        self,
        path: str | Path,
        errors: str = "strict",
        streams: int = 1,
        progress: Callable[[float], None] | None = None,
    ) -> Evaluation:
        """Measure how well the model predicts a text, with the state carried from its beginning to its end.

        Args:
            path: the text file.
            errors: "strict" or "replace", for bytes that are not UTF-8.
            streams: cut the text into so many parts that are read in parallel: faster, but each part
                begins without what came before it.
            progress: called with the share that is done.
        Raises:
            DataError: the text cannot be read, is too short, or holds unknown characters.
        """
        import tempfile

        model = self.model
        from throughtime.data import EvaluationStreams, read_blocks, read_byte_blocks
        from throughtime.training.bptt import evaluate

        # On disk, so that the text may be larger than memory.
        with tempfile.TemporaryDirectory() as folder:
            blocks = self.tokenizer.encode_file(path, errors)  # type: ignore[arg-type]
            file: TokenFile = write_tokens(
                Path(folder) / "tokens.bin", blocks, self.tokenizer.vocabulary_size
            )
            evaluation = EvaluationStreams(file.tokens, streams)
            begin = time.perf_counter()
            loss = evaluate(model, evaluation, progress)
            seconds = time.perf_counter() - begin
            predictions = evaluation.predictions
        if self.tokenizer.kind == "byte":
            characters = sum(
                int(np.count_nonzero((np.frombuffer(block, np.uint8) & 0xC0) != 0x80))
                for block in read_byte_blocks(path)
            )
        else:
            characters = sum(len(block) for block in read_blocks(path, errors))  # type: ignore[arg-type]
        return Evaluation(loss, predictions, characters, predictions / max(seconds, 1e-9))


def describe_run(folder: str | Path) -> dict[str, Any]:
    """What is in a run folder, as JSON can hold it. Needs no torch, and reads no weights.

    Raises:
        RunError: the folder is missing, incomplete or damaged.
    """
    run = Run.open(folder)
    weights = _read_header(run.folder / WEIGHTS)
    # Tied weights are stored under both names.
    shapes = {name: shape for name, shape in weights["shapes"].items()}
    if run.config.model.tie_weights:
        shapes.pop("output.weight", None)
    position: dict[str, Any] = {}
    checkpoint = run.folder / "checkpoints" / "last.safetensors"
    if checkpoint.exists():
        try:
            position = json.loads(_read_header(checkpoint)["metadata"]["state"])["position"]
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"{checkpoint} is damaged: {error!r}") from None
    return {
        "run": str(run.folder),
        "config": run.config.model_dump(),
        "vocabulary_size": run.tokenizer.vocabulary_size,
        "parameters": sum(math.prod(shape) for shape in shapes.values()),
        "step": position.get("step"),
        "epoch": position.get("epoch"),
        "tokens": position.get("tokens"),
        "seconds": position.get("seconds"),
        "finished": position.get("finished"),
        "best_val_loss": position.get("best_loss"),
        "files": {
            str(path.relative_to(run.folder)): path.stat().st_size
            for path in sorted(run.folder.rglob("*"))
            if path.is_file()
        },
    }


def _read_header(path: Path) -> dict[str, Any]:
    try:
        with safe_open(str(path), framework="np") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
            return {"shapes": shapes, "metadata": file.metadata() or {}}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or cut off: {error}") from None


def require_torch() -> None:
    """Raise MissingExtraError where torch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            "this needs PyTorch: install it with `pip install throughtime[train]`"
        ) from None
