"""The run of a tagger: a label, labels or numbers for every frame of a clip, whole or as it comes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.labels import Labels
from throughtime.data.lines import standard_input
from throughtime.data.sequences import Sequences
from throughtime.data.tables import BadRows, find_metadata
from throughtime.encoders.frozen import FrozenEncoder, MobileNetEncoder, OnnxEncoder, in_blocks, keep_cnn
from throughtime.errors import DataError, OptionError, RunError
from throughtime.facts import read_json
from throughtime.files import write_atomically
from throughtime.in_memory import takes_data, takes_frames
from throughtime.program.network import Functions
from throughtime.run.run import Run, refuse_text
from throughtime.runtime.outputs import check_output
from throughtime.targets.kinds import Target, load_target, threshold_all
from throughtime.tasks.tagger.clip_picture import draw_clip
from throughtime.tasks.tagger.clips import list_clips
from throughtime.tasks.tagger.frame_labels import SegmentRows
from throughtime.tasks.tagger.frame_predictions import Block, kept_as_well, rows_of_numbers, told
from throughtime.tasks.tagger.frame_preparation import (
    DATA,
    FrameFacts,
    frames_file,
    labels_file,
    prepare_clips,
    write_frames,
    write_labels,
)
from throughtime.tasks.tagger.frame_reader import Encode, FrameReader, Frames, clips_in, log_mel, starts_of
from throughtime.tasks.tagger.frame_targets import FrameLabels, FrameTruth, truth_of
from throughtime.tasks.tagger.options import TaggerConfig
from throughtime.tasks.tagger.prediction import (
    FrameStepper,
    FrameTagger,
    LabelledClips,
    Tagger,
    clip_outputs,
    evaluate,
    outputs_of_clip,
)
from throughtime.tasks.tagger.session import FrameSession, FrameStream, clock, said_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from throughtime.tasks.tagger.model import Tagger as TorchTagger
    from throughtime.training.progress import Progress
    from throughtime.training.task import Task

FRAMES = "frames.json"
STANDARD_INPUT = "-"


class TaggerRun(Run):
    """A trained tagger in its folder.

    Example:
        run = TaggerRun.open("runs/gestures")
        print(run.label_frames("clip.mp4"))
        for label in run.stream(camera):                    # frame in, label out
            print(label)

    Attributes:
        target: what it says of a frame: the names of the labels, or of the numbers.
        labels: C names, sorted, where a frame has one label; those of the target.
        kind: "video", "array" or "sound".
        frame_rate: frames a second of the training clips, or None where that is not known.
        rate: samples a second of sounds, or None.
    """

    task = "tagger"
    config: TaggerConfig
    target: Target
    labels: list[str]
    kind: str
    frame_rate: float | None
    rate: int | None

    def prepare(self, show: Progress) -> None:
        encoder = self.config.data.image_encoder
        if encoder is not None:
            keep_cnn(encoder, self._encoder_file)
        facts, target = prepare_clips(self.folder, self.config, self._frame_size, self._encode, show)
        if not facts.labels:
            target.save(self.folder)
        write_atomically(self.folder / FRAMES, json.dumps(asdict(facts), ensure_ascii=False).encode())
        self.load()
        lengths = Sequences.open(frames_file(self.folder / DATA, "training")).lengths
        chunk = self.config.training.chunk
        self.fit_to_data(int((-(-lengths // chunk)).sum()) if chunk else len(lengths), show, "chunks")

    def load(self) -> None:
        facts = read_json(self.folder / FRAMES, FrameFacts)
        kind = self.config.data.target
        if (kind == "label") != bool(facts.labels):
            raise RunError(f"{self.folder / FRAMES} does not belong to a run whose target is {kind}")
        self.target = FrameLabels(Labels(facts.labels)) if facts.labels else load_target(kind, self.folder)
        self.labels, self.kind, self.frame_rate = list(self.target.names), facts.kind, facts.frame_rate
        self.rate = facts.rate
        self._mean, self._deviation = (
            None if values is None else np.array(values, dtype=np.float64)
            for values in (facts.mean, facts.deviation)
        )

    def build_model(self) -> TorchTagger:
        import torch

        from throughtime.encoders.frames import SmallCNN, Standardise
        from throughtime.tasks.tagger.model import Tagger as TorchTagger

        if self._mean is None or self._deviation is None:
            encoder = SmallCNN(self.config.model.encoder_features, self._frame_size)
        else:
            encoder = Standardise(torch.from_numpy(self._mean), torch.from_numpy(self._deviation))
        return TorchTagger(self.config.model, encoder, self.target)

    def beside_graphs(self) -> tuple[Sequence[str], dict[str, Any]]:
        data, facts = self.config.data, self.target.facts()
        if self.kind == "sound":
            facts["sound"] = {
                "rate": self.rate,
                "mel_bands": data.mel_bands,
                "frame_seconds": data.frame_seconds,
                "frame_hop": data.frame_hop,
            }
        return (FRAMES, *self.target.files), facts

    def row_names(self) -> dict[str, list[str]]:
        outputs = self.target.output_names
        return {"output.weight": outputs, "output.bias": outputs}

    def port_sizes(self) -> dict[tuple[str, str], int]:
        return {("tag", self.target.port): self.target.width}

    def predictor(self, network: Functions) -> FrameTagger:
        model = self.config.model
        return Tagger(network, model.bidirectional and model.cell != "none", self.target.port)

    def make_task(self, model: nn.Module, device: torch.device) -> Task:
        from throughtime.tasks.tagger.training import Tagging

        folder = self.folder / DATA
        parts = [self._clips(folder, "training")]
        if frames_file(folder, "validation").exists():
            parts.append(self._clips(folder, "validation"))
        for part in parts:
            self.target.check(part.labels.values, str(folder))
            if self._mean is None:
                part.frames.expect_steps((self._frame_size, self._frame_size, 3), np.uint8)
            else:
                part.frames.expect_steps((self.features,), np.float32)
        return Tagging(
            model,  # type: ignore[arg-type]
            parts[0],
            parts[1] if len(parts) > 1 else None,
            self.config.training,
            self.target,
            self.kind,
        )

    def conclude(self) -> None:
        """Settle thresholds and margins by the validation clips, and draw what the best weights make of them.

        One label needs neither: `predict --timeline` draws it.
        """
        if isinstance(self.target, FrameLabels) or not frames_file(self.folder / DATA, "validation").exists():
            return
        clips = self._clips(self.folder / DATA, "validation")
        found = dict(clip_outputs(self.network, clips.frames, self.config.training.batch))
        outputs = np.concatenate([found[clip] for clip in range(len(clips.frames))])
        truth = np.asarray(clips.labels.values)
        self.target.calibrate(self.folder, truth, outputs)
        self.target.draw(self.folder / f"{self.target.picture}.png", truth, outputs)

    @property
    def pipeline_tag(self) -> str | None:
        return {"video": "video-classification", "sound": "audio-classification"}.get(self.kind)

    def next_command(self) -> str:
        name = {"video": "clip.mp4", "sound": "recording.wav"}.get(self.kind, "clip.npy")
        return f"Label a clip: throughtime predict {self.folder} {name} --timeline timeline.png"

    def facts(self) -> dict[str, Any]:
        return {**self.target.facts(), "clips": self.kind, "frame_rate": self.frame_rate}

    # Predictions

    def session(self) -> FrameSession:
        """A stream that is fed chunks as they come: samples of a sound, rows of numbers, frames of video.

        Raises:
            OptionError: the tagger is bidirectional, and needs frames that have not come yet.
        """
        return FrameSession(self.network, self.target, self.frame_stream(), self.frame_rate)

    def frame_stream(self) -> FrameStream:
        """What reads chunks of a stream, or a whole clip as one."""
        size = self.features if self.kind == "array" else self._frame_size
        return FrameStream(self.kind, self.config.data, size, self.rate, self._encode)

    def clock(self, first: int, count: int) -> NDArray[np.float64] | None:
        """When frames from number `first` on begin, in seconds; None where that is not known."""
        mel = log_mel(self.rate, self.config.data) if self.rate is not None else None
        return clock(mel, self.frame_rate, first, count)

    def said_of_frames(self, outputs: NDArray[np.float32], first: int) -> list[dict[str, Any]]:
        """What outputs (N, W) of frames from number `first` on say, as `FrameSession.feed` gives it."""
        return said_of(self.target, outputs, first, self.clock(first, len(outputs)))

    def stream(self, frames: Iterable[NDArray[Any]]) -> Iterator[Any]:
        """Say of frames what they are as they come: a frame in, an answer out, at constant memory.

        Args:
            frames: video: (H, W, 3) uint8, RGB, of any size; arrays: (F,) numbers; sounds: pieces (N,) of
                samples, which complete no frame, or several.
        Yields:
            The label of each; or {"labels": ...}, or {"value": ..., "low": ..., "high": ...}.
        Raises:
            OptionError: the tagger is bidirectional, and needs frames that have not come yet.
            DataError: a frame has another shape or is not finite (the message names its number).
        """
        for outputs in self._stream_outputs(frames):
            said = self.target.say(outputs)
            yield said.get("label", said)

    def label_frames(self, clip: str | Path | NDArray[Any]) -> list[Any]:
        """The label of each frame of a clip; or what `stream` gives for other targets.

        Args:
            clip: a file, or what `FrameSession.feed` takes as one chunk: (T, F), (T, H, W, 3), or samples.
        Raises:
            DataError: the clip cannot be used (the message names the file, or the frame).
        """
        if isinstance(clip, (str, Path)):
            said = (self.target.say(row) for outputs, _ in self._outputs_of(clip) for row in outputs)
        else:
            frames = self.frame_stream().read(np.asarray(clip))
            outputs = outputs_of_clip(self.network, iter([frames])) if len(frames) else []
            said = (self.target.say(self.target.checked(row, "the clip")) for row in outputs)
        return [one.get("label", one) for one in said]

    def read_labels(self, path: str | Path | SegmentRows, clip: str | Path) -> NDArray[Any]:
        """The truth of a clip's frames: labels as numbers, `UNLABELLED` where there is none; or (T, C).

        Args:
            path: the labels file, or rows of the table of clips.
            clip: the video, the sound or the array.
        Raises:
            DataError: one of them cannot be used, or a label is unknown to the model.
        """
        count, times = 0, []
        for frames, seconds in self._reader(encodes=False).blocks(clip):
            count += len(frames)
            times += [] if seconds is None else seconds.tolist()
        source = path if isinstance(path, SegmentRows) else Path(path)
        return self._truth.read(source, count, times or None, self.kind == "sound")

    @takes_frames
    def predict(
        self,
        inputs: Sequence[str | Path],
        skip_bad: bool = False,
        timeline: str | Path | None = None,
        labels: str | Path | None = None,
        allow_outside_files: bool = False,
        probabilities: bool = False,
        threshold: float | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The segments of clips: neighbouring frames with one label; or frames with their labels or numbers.

        Args:
            inputs: videos, sounds or arrays, or folders of clips with a metadata file; "-" reads the frames
                of one array from standard input, a line of numbers each, and answers with each one's label.
            skip_bad: leave out clips that cannot be used; `left_out` says which.
            timeline: draw what is said of the one clip as a picture, there.
            labels: a file with the truth of the clip, to draw beside it.
            allow_outside_files: read clips outside the folder of the metadata file that names them.
            probabilities: several labels: give the probability of each.
            threshold: several labels: give every label from this probability on.
        Yields:
            clip, start and end (frames; the end is not in it), their times in seconds where these are known,
            label, and the mean probability that the model gave it. Of several labels and of numbers: clip,
            frame, its time, and labels, or value, low and high. From standard input: frame, and what is said.
        Raises:
            DataError: a clip cannot be used.
            OptionError: a timeline is wanted of more than one clip.
        """
        refuse_text(inputs, "predict")
        threshold_all(self.target, threshold)
        if list(map(str, inputs)) == [STANDARD_INPUT]:
            if timeline is not None or labels is not None:
                raise OptionError("--timeline and --labels need a clip on disk, not standard input")
            yield from self._predict_lines(standard_input(), skip_bad, probabilities)
            return
        bad = BadRows(skip_bad)
        clips = list(self._find_inputs(inputs, bad, allow_outside_files))
        if timeline is not None and len(clips) != 1:
            raise OptionError(f"--timeline draws one clip, and there are {len(clips)}")
        if labels is not None and timeline is None:
            raise OptionError("--labels are for --timeline: where is the picture to go?")
        for path, own_labels in clips:
            try:
                given = labels if labels is not None else own_labels if timeline is not None else None
                truth = None if given is None else self.read_labels(given, path)
                found: list[Block] = []
                blocks = self._outputs_of(path)
                if timeline is not None:
                    blocks = kept_as_well(blocks, found)
                predicted = told(self.target, blocks, str(path), probabilities)
                # With skip_bad nothing of a clip is told before its end is known to be whole.
                yield from list(predicted) if skip_bad else predicted
                if timeline is not None:
                    draw_clip(timeline, self.target, found, truth, path.name)
            except DataError as error:
                if not skip_bad:
                    raise
                bad.report(path, None, str(error).removeprefix(f"{path} "))
        self.left_out = bad.summary()

    @takes_data
    def evaluate(
        self,
        path: str | Path,
        skip_bad: bool = False,
        progress: Callable[[float], None] | None = None,
        allow_outside_files: bool = False,
        threshold: float | None = None,
    ) -> dict[str, Any]:
        """Measure on clips with labels.

        Args:
            path: a folder with a metadata file, as for training. Where it has a split column with test rows,
                only these count.
            skip_bad: leave out clips that cannot be used.
            progress: called with the share that is done.
            allow_outside_files: read clips outside the folder of the metadata file.
            threshold: several labels: give every label from this probability on.
        Returns:
            clips, frames (with a label), left_out, loss (of a frame, unweighted), and the scores of what is
            learned: accuracy, macro_f1, edit, f1@10, f1@25, f1@50 (see `throughtime.tasks.tagger.segments`);
            micro_f1, macro_f1, subset_accuracy; or mae, rmse, r2 and so on.
        Raises:
            DataError: the data cannot be used, or a label is unknown to the model.
        """
        import tempfile

        threshold_all(self.target, threshold)
        bad = BadRows(skip_bad)
        clips = list_clips(path, bad, allow_outside_files)
        clips = [clip for clip in clips if clip.part == "test"] or clips
        # On disk, so that the clips may be larger than memory.
        with tempfile.TemporaryDirectory() as name:
            folder, truth = Path(name), self._truth
            # Reading takes most of the time, so that is the progress that is shown.
            labels = write_frames(folder, "test", clips, self._reader(), truth, bad, progress)
            if not labels:
                raise DataError(f"{path} has no clip that can be used ({bad.summary()})")
            labelled = sum(truth.usable(one) for one in labels)
            if labelled == 0:
                raise DataError(f"{path}: no frame has a label, so there is nothing to measure")
            write_labels(folder, "test", labels, truth.dtype)
            clips = self._clips(folder, "test")
            loss, scores = evaluate(self.network, clips, self.config.training.batch, self.target)
            check_output(np.array(loss), str(path))
        return {
            "clips": len(labels),
            "frames": labelled,
            "left_out": bad.count,
            "loss": loss,
            **scores.result(),
        }

    # How

    @property
    def _truth(self) -> FrameTruth:
        """Reads files of truth, with the labels or columns that the model knows."""
        return truth_of(self.target.kind, self.target, self.config.data.background)

    @staticmethod
    def _clips(folder: Path, part: str) -> LabelledClips:
        frames, labels = Sequences.open(frames_file(folder, part)), Sequences.open(labels_file(folder, part))
        if not np.array_equal(frames.lengths, labels.lengths):
            raise RunError(f"{folder} is damaged: the {part} clips do not have as many labels as frames")
        return LabelledClips(frames, labels)

    @property
    def _encoder_file(self) -> Path:
        """The copy of --image-encoder in the run folder."""
        return self.folder / f"encoder{Path(self.config.data.image_encoder or '').suffix}"

    @cached_property
    def _frozen(self) -> FrozenEncoder | None:
        """The run's CNN; None where one is trained along, or no pictures are read."""
        data = self.config.data
        if data.image_encoder is None:
            return None
        if self._encoder_file.suffix == ".onnx":
            return OnnxEncoder(self._encoder_file, self.config.frame_size, False, data.pixels)
        size = self.config.frame_size
        return MobileNetEncoder(self._encoder_file, size, grid=False, backend=self.backend)

    @property
    def _frame_size(self) -> int:
        """H and W of the frames that are read; an .onnx model may settle it."""
        return self.config.frame_size if self._frozen is None else self._frozen.image_size

    @property
    def _encode(self) -> Encode | None:
        """Frames (N, H, W, 3) to the features (N, F) of the run's CNN."""
        if self._frozen is None:
            return None
        return in_blocks(self._frozen)

    def _reader(self, encodes: bool = True) -> FrameReader:
        return FrameReader(
            self.kind,
            self.config.data,
            self._frame_size,
            self._encode if encodes else None,
            self.features if self.kind == "array" else None,
            self.rate,
        )

    @property
    def features(self) -> int:
        """F of the frames of arrays."""
        assert self._mean is not None
        return len(self._mean)

    def _find_inputs(
        self, inputs: Sequence[str | Path], bad: BadRows, allow_outside: bool
    ) -> Iterator[tuple[Path, Path | SegmentRows | None]]:
        """Each clip, and its labels where a metadata file names them."""
        for path in map(Path, inputs):
            if str(path) == STANDARD_INPUT:
                raise OptionError("standard input cannot be read beside other inputs")
            if path.is_dir() and find_metadata(path) is None:
                found = clips_in(path, self.kind)
                yield from ((clip, None) for clip in found)
            elif path.is_dir():
                yield from ((clip.path, clip.labels) for clip in list_clips(path, bad, allow_outside))
            else:
                yield path, None

    def _outputs_of(self, path: str | Path) -> Iterator[Block]:
        """The outputs of each frame of a clip; block by block where the model does not look ahead."""
        blocks = self._reader().blocks(path)
        if self.kind == "sound":
            blocks = self._from_starts(blocks)
        if not self.network.looks_ahead:
            stepper = FrameStepper(self.network)
            for frames, seconds in blocks:
                yield self.target.checked(stepper.feed(frames), str(path)), seconds
            return
        times: list[NDArray[np.float64]] = []

        def frames_only() -> Iterator[NDArray[Any]]:
            for frames, seconds in blocks:
                times.extend([] if seconds is None else [seconds])
                yield frames

        outputs = outputs_of_clip(self.network, frames_only())
        yield self.target.checked(outputs, str(path)), np.concatenate(times) if times else None

    def _from_starts(self, blocks: Iterable[Frames]) -> Iterator[Frames]:
        """The blocks of a sound with the time at which each frame begins, where they had their middles."""
        assert self.rate is not None
        mel, done = log_mel(self.rate, self.config.data), 0
        for frames, _ in blocks:
            yield frames, starts_of(mel, done, len(frames))
            done += len(frames)

    def _stream_outputs(self, frames: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        session = self.session()
        for frame in frames:
            # Of a sound, a piece; of anything else, one frame.
            chunk = np.asarray(frame)
            yield from session.outputs(chunk if self.kind == "sound" else chunk[None])

    def _predict_lines(
        self, lines: Iterable[str], skip_bad: bool, probabilities: bool
    ) -> Iterator[dict[str, Any]]:
        """Rows of numbers from a stream, each answered before the next is read."""
        if self.kind != "array":
            raise OptionError(
                f"{self.kind} is not read from standard input: name the file, or feed TaggerRun.session"
            )
        bad = BadRows(skip_bad)
        rows = rows_of_numbers(lines, self.features, bad)
        for frame, outputs in enumerate(self._stream_outputs(rows)):
            every = {"probabilities": self.target.probabilities(outputs)} if probabilities else {}
            yield {"frame": frame, **self.target.say(outputs), **every}
        self.left_out = bad.summary()
