"""What a run's own model says, by the names of the ports of its ONNX graphs: the other side of the check.

Today the model is PyTorch's; nothing outside this file depends on that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.interchange.onnx_export import ENCODER, STEP
from throughtime.interchange.recurrence_weights import state_names
from throughtime.run import Run, require_torch

if TYPE_CHECKING:
    from torch import Tensor

Arrays = dict[str, NDArray[Any]]


def reference_of(run: Run) -> Callable[[str, Mapping[str, NDArray[Any]]], Arrays]:
    """A function that is called as a graph is: its name and its inputs; gives its outputs.

    Raises:
        MissingExtraError: torch is not installed.
    """
    require_torch()
    import torch

    model = run.model
    function = {
        "language-model": _language_model,
        "classifier": _classifier,
        "tagger": _tagger,
        "translator": _translator,
        "captioner": _captioner,
    }[run.task]

    def call(graph: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        with torch.inference_mode():
            outputs = function(
                model, graph, {name: torch.from_numpy(array) for name, array in inputs.items()}
            )
        return {name: np.asarray(value.numpy()) for name, value in outputs.items()}

    return call


def _language_model(model: Any, graph: str, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    if graph == STEP:
        logits, state = model(inputs["token"][None], _state(inputs))
        return {"logits": logits[0], **_named(state, "new_")}
    logits, state = model(inputs["tokens"], _state(inputs))
    return {"logits": logits, **_named(state, "new_")}


def _classifier(model: Any, graph: str, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    read = inputs["tokens"] if "tokens" in inputs else inputs["features"]
    return {"logits": model(read, inputs["lengths"])}


def _tagger(model: Any, graph: str, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    if graph == STEP:
        logits, state = model(inputs["frame"][None], _state(inputs) or None)
        return {"logits": logits[0], **_named(state, "new_")}
    logits, state = model(inputs["frames"], _state(inputs) or None, inputs.get("lengths"))
    return {"logits": logits, **({} if model.looks_ahead else _named(state, "new_"))}


def _translator(model: Any, graph: str, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    import torch

    from throughtime.models.attention import Memory
    from throughtime.models.decoder import DecoderState

    if graph == ENCODER:
        memory, decoder = model.encode(inputs["source"], inputs["lengths"])
        looked_at = {} if memory is None else {"values": memory.values, "keys": memory.keys}
        return {**looked_at, **_named(decoder.recurrent, "")}
    state = _state(inputs)
    feed = inputs.get("feed", torch.zeros(len(inputs["token"]), 0))
    memory = None
    if "values" in inputs:
        mask = torch.arange(inputs["values"].shape[1])[None, :] < inputs["lengths"][:, None]
        memory = Memory(inputs["values"], inputs.get("keys", inputs["values"]), mask)
    read = model.target_embedding(inputs["token"])
    readout, attention, after = model.decoder.step(read, DecoderState(state, feed), memory)
    outputs = {"logits": model.logits(readout), **_named(after.recurrent, "new_"), "new_feed": after.feed}
    return outputs if attention is None else {**outputs, "attention": attention}


def _captioner(model: Any, graph: str, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    from throughtime.models.captioner import Decoding

    if graph == ENCODER:
        begun = model.begin(next(iter(inputs.values())))
        parts = {"image": begun.image, "grid": begun.grid, "keys": begun.keys}
        named = {name: part for name, part in parts.items() if part is not None}
        return {**named, **_named(begun.recurrent, "")}
    decoding = Decoding(_state(inputs), inputs.get("image"), inputs.get("grid"), inputs.get("keys"))
    logits, after = model.step(inputs["token"], decoding)
    outputs = {"logits": logits, **_named(after.recurrent, "new_")}
    if model.attention is not None:
        _, alpha = model.attention(decoding.recurrent[0][-1], decoding.grid, decoding.keys)
        outputs["attention"] = alpha
    return outputs


def _state(inputs: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    return tuple(inputs[name] for name in state_names(len(inputs)) if name in inputs)


def _named(state: tuple[Tensor, ...], prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": part for name, part in zip(state_names(len(state)), state, strict=True)}
