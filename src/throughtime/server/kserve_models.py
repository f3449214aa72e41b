"""What each kind of model reads and says in tensors, and sequences, which are sessions underneath."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from throughtime.data.sequences import Sequences
from throughtime.errors import DataError, ThroughtimeError
from throughtime.runtime.outputs import check_output
from throughtime.runtime.sampling import SamplingOptions
from throughtime.server.batcher import Batcher
from throughtime.server.errors import ApiError
from throughtime.server.frame_sessions import FrameSessions, rounds
from throughtime.server.kserve_tensors import BYTES, Inference, Tensor, bad
from throughtime.server.live_sessions import LiveSessions
from throughtime.server.prediction_batches import Rows
from throughtime.server.predictors import Classify, Translate
from throughtime.server.rows import Live
from throughtime.server.scheduler import Scheduler
from throughtime.server.serving import Serving
from throughtime.server.session_requests import id_of
from throughtime.targets.kinds import Numbers, Target
from throughtime.tasks.tagger.prediction import clip_outputs
from throughtime.tasks.tagger.run import TaggerRun

L = TypeVar("L", bound=Live)
Outputs = dict[str, NDArray[Any]]

# Tokens that a call may read: it stalls the streams of its model for as long.
_MOST_TOKENS = 16_384
_ENDED = "its sequence has ended"


class TensorModel(ABC):
    """A model as the protocol sees it.

    Attributes:
        inputs, outputs: of it.
        follows: whether it has sequences.
    """

    inputs: list[Tensor]
    outputs: list[Tensor]
    follows = False

    @abstractmethod
    async def infer(self, request: Inference) -> Outputs:
        """Answer a request.

        Raises:
            ThroughtimeError: it cannot be done.
        """


class TextTensors(TensorModel):
    """A language model: tokens in, the logits after the last one and the most probable next one out."""

    follows = True

    def __init__(self, host: Scheduler) -> None:
        self._host = host
        V = host.model.engine.vocabulary_size
        self.inputs = [Tensor("TOKENS", "INT64", (-1, -1))]
        self.outputs = [Tensor("LOGITS", "FP32", (-1, V)), Tensor("NEXT", "INT64", (-1, 1))]

    async def infer(self, request: Inference) -> Outputs:
        tokens = request.inputs["TOKENS"].astype(np.int64)
        if not tokens.size or tokens.size > _MOST_TOKENS:
            raise bad(f"a request reads from 1 to {_MOST_TOKENS:,} tokens", "TOKENS")
        self._host.model.checked(tokens.ravel().tolist())
        if request.sequence and len(tokens) != 1:
            raise bad("a request moves one sequence on: TOKENS must have shape [1, T]", "TOKENS")
        work = self._step if request.sequence else self._read
        logits = await self._host.call(lambda: work(request, tokens))
        return {"LOGITS": logits, "NEXT": logits.argmax(1)[:, None].astype(np.int64)}

    def _read(self, request: Inference, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """From the beginning, with nothing kept."""
        engine = self._host.model.engine
        slots = engine.open(len(tokens))
        try:
            return engine.read(slots, tokens)
        finally:
            engine.close(slots)

    def _step(self, request: Inference, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        sessions = self._host.sessions
        id = id_of(self._host.model, "sequence", request.sequence)
        live = sequence(sessions, id, request, lambda: sessions.create(id, SamplingOptions(), 0))
        ((_, error),), logits = sessions.step_many([(id, tokens[0].tolist(), None)], True)
        if error is not None:
            raise _as_sequence(error)
        if request.ends:
            sessions.end(live, _ENDED)
        assert logits is not None
        return logits


class FrameTensors(TensorModel):
    """A tagger: frames in, and what is said of each out. Whole clips, or sequences that go on."""

    def __init__(self, host: Batcher, run: TaggerRun) -> None:
        self._host, self._run = host, run
        self.follows = host.has_sessions
        self.inputs = [Tensor("FRAMES", "FP32", (-1, -1, run.features))]
        self.outputs = _said(run.target, (-1, -1))

    async def infer(self, request: Inference) -> Outputs:
        frames = request.inputs["FRAMES"].astype(np.float32)
        if not np.isfinite(frames).all():
            raise bad("a number of FRAMES is not finite", "FRAMES")
        if not request.sequence:
            if not frames.size:
                raise bad("FRAMES holds no frame", "FRAMES")
            found = await self._host.ask(_Clips(self._run), list(frames), len(frames))
            return _outputs_of(self._run.target, np.stack(found))
        if not self.follows:
            raise bad("this model has no sequences, as it reads whole clips: leave sequence_id out")
        if len(frames) != 1:
            raise bad("a request moves one sequence on: FRAMES must have shape [1, T, F]", "FRAMES")
        step = _Step(id_of(self._host.model, "sequence", request.sequence), request, frames[0])
        found = await self._host.ask(_Sequences(self._host.sessions), step)
        return _outputs_of(self._run.target, found[None])


@dataclass(frozen=True)
class _Clips:
    """Clips of several requests, read together."""

    run: TaggerRun

    def __call__(self, requests: Sequence[list[NDArray[np.float32]]]) -> Sequence[Any]:
        clips = [clip for request in requests for clip in request]
        found = dict(
            clip_outputs(self.run.network, Sequences.in_memory(clips), self.run.config.training.batch)
        )
        answers, first = [], 0
        for request in requests:
            own = [found[first + k] for k in range(len(request))]
            first += len(request)
            answers.append(_checked(own))
        return answers


@dataclass(frozen=True)
class _Step:
    """A request that moves a sequence on."""

    id: str
    request: Inference
    chunk: NDArray[np.float32]


@dataclass(frozen=True)
class _Sequences:
    """Sequences of several requests, moved on together."""

    sessions: FrameSessions

    def __call__(self, steps: Sequence[_Step]) -> Sequence[Any]:
        answers: list[Any] = [None] * len(steps)
        for places in rounds([step.id for step in steps]):
            chosen = []
            for place in places:
                step = steps[place]
                try:
                    live = sequence(
                        self.sessions, step.id, step.request, lambda id=step.id: self.sessions.create(id)
                    )
                    chosen.append((place, live))
                except ApiError as error:
                    answers[place] = error
            advanced = self.sessions.advance([(live, steps[place].chunk) for place, live in chosen])
            for (place, live), one in zip(chosen, advanced, strict=True):
                answers[place] = one if isinstance(one, ThroughtimeError) else one.outputs
                if steps[place].request.ends and not isinstance(one, ThroughtimeError):
                    self.sessions.end(live, _ENDED)
        return answers


class ClassifierTensors(TensorModel):
    """A classifier of texts, vectors or sequences."""

    def __init__(self, host: Batcher, predictor: Classify) -> None:
        run = predictor.run
        self._host, self._predictor, self._target = host, predictor, run.target
        if run.conditions or run.config.data.second_text or run.kind == "audio":
            raise DataError("it reads more than one tensor of texts or numbers: use /v1/classify")
        names = () if run.space is None else run.space.names
        shapes = {"text": (-1,), "vectors": (-1, len(names)), "sequences": (-1, -1, len(names))}
        kind = ("TEXT", BYTES) if run.kind == "text" else ("FEATURES", "FP32")
        self.inputs = [Tensor(*kind, shapes[run.kind])]
        self.outputs = _said(run.target, (-1,))

    async def infer(self, request: Inference) -> Outputs:
        refuse_sequence(request)
        (rows,) = request.inputs.values()
        if not len(rows):
            raise bad("there is not a single example in it")
        given = rows.tolist()
        said = await self._host.ask(Rows(self._predictor, ()), given, len(given))
        if isinstance(self._target, Numbers):
            names = self._target.names
            keys = ["value"] if len(names) == 1 else list(names)
            return {"OUTPUT": np.array([[one[key] for key in keys] for one in said], np.float32)}
        found: Outputs = {
            "OUTPUT": np.array([list(one["probabilities"].values()) for one in said], np.float32)
        }
        if "label" in said[0]:
            found["LABEL"] = np.array([one["label"] for one in said], object)
        return found


class TranslatorTensors(TensorModel):
    """A translator: texts in, texts out."""

    def __init__(self, host: Batcher, predictor: Translate) -> None:
        self._host, self._predictor = host, predictor
        self.inputs = [Tensor("TEXT", BYTES, (-1,))]
        self.outputs = [Tensor("TRANSLATION", BYTES, (-1,))]

    async def infer(self, request: Inference) -> Outputs:
        refuse_sequence(request)
        texts = request.inputs["TEXT"].tolist()
        said = await self._host.ask(Rows(self._predictor, ()), texts, len(texts))
        return {"TRANSLATION": np.array([one["translation"] for one in said], object)}


def tensor_model(here: Serving, name: str) -> TensorModel:
    """A served model in tensors.

    Raises:
        ApiError: there is none of this name, or it has no tensors; the message says why.
    """
    if name in here.texts:
        return TextTensors(here.texts[name])
    if name not in here.runs:
        raise ApiError(404, "model_not_found", f"there is no model {name!r:.100}", "model")
    run, host, predictor = here.runs[name], here.batchers[name], here.predictors.get(name)
    why = f"a {run.task} reads more than tensors: use {here.paths(name)[0]}"
    try:
        if isinstance(run, TaggerRun) and run.kind == "array":
            return FrameTensors(host, run)
        if isinstance(predictor, Classify):
            return ClassifierTensors(host, predictor)
        if isinstance(predictor, Translate):
            return TranslatorTensors(host, predictor)
    except DataError as error:
        why = str(error)
    raise ApiError(400, "no_tensors", f"{name} has no form in tensors: {why}", "model")


# ---- sequences


def sequence(sessions: LiveSessions[L], id: str, request: Inference, create: Callable[[], L]) -> L:
    """The session of a sequence, new where it begins. Codes are those of OpenVINO's model server.

    Raises:
        ApiError: 404 it has not begun, or is over; 409 it begins and is there already; 412 another request
            moves it on.
    """
    try:
        live = sessions.get(id)
    except ApiError as error:
        if error.status not in (404, 410):
            raise
        if request.starts:
            return create()
        what = "has not begun: send sequence_start" if error.status == 404 else "is over"
        raise ApiError(404, "no_sequence", f"the sequence {request.sequence[1:]!r:.100} {what}") from None
    if request.starts:
        raise ApiError(
            409,
            "sequence_exists",
            f"the sequence {request.sequence[1:]!r:.100} is there already: end it, or give another id",
        )
    try:
        return sessions.free(live)
    except ApiError as error:
        raise _as_sequence(error) from None


def _as_sequence(error: ApiError) -> ApiError:
    if error.status == 409:
        return ApiError(412, "sequence_busy", "another request is moving the sequence on")
    return error


def refuse_sequence(request: Inference) -> None:
    """Raise ApiError where a request of a model without a state names a sequence."""
    if request.sequence:
        raise bad("this model keeps no state: leave sequence_id out", "sequence_id")


# ---- what is said


def _said(target: Target, leading: tuple[int, ...]) -> list[Tensor]:
    outputs = [Tensor("OUTPUT", "FP32", (*leading, len(target.names)))]
    return [*outputs, Tensor("LABEL", BYTES, leading)] if target.kind == "label" else outputs


def _outputs_of(target: Target, outputs: NDArray[np.float32]) -> Outputs:
    """What outputs (B, T, W) mean: probabilities, or numbers; and the most probable label."""
    rows = outputs.reshape(-1, outputs.shape[-1])
    if isinstance(target, Numbers):
        values = target.intervals(target.decide(rows))[..., 0]
    else:
        values = np.array([list(target.probabilities(row).values()) for row in rows])
    width = len(target.names)
    found: Outputs = {"OUTPUT": values.reshape(*outputs.shape[:-1], width).astype(np.float32)}
    if target.kind == "label":
        names: NDArray[Any] = np.array(target.names, object)
        found["LABEL"] = names[np.asarray(target.decide(rows), np.int64)].reshape(outputs.shape[:-1])
    return found


def _checked(clips: list[NDArray[np.float32]]) -> Any:
    try:
        return [check_output(clip, f"clip {place}") for place, clip in enumerate(clips)]
    except ThroughtimeError as error:
        return error
