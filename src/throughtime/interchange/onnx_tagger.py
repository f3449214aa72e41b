"""A tagger as ONNX graphs: a frame in and its label out with the state beside them, or a whole clip."""

from __future__ import annotations

from throughtime.interchange.graph import BYTE, FLOAT, Graph, Port
from throughtime.interchange.onnx_export import (
    LENGTHS,
    SEQUENCE,
    STEP,
    Exported,
    state_inputs,
    state_outputs,
)
from throughtime.interchange.onnx_layers import feed_forward, linear, small_cnn
from throughtime.interchange.onnx_recurrence import OnnxRecurrence, lengths_of
from throughtime.interchange.recurrence_weights import RecurrenceWeights, read_recurrence
from throughtime.interchange.tensors import Tensors
from throughtime.run.tagger import FRAMES, TaggerRun


def export_tagger(run: TaggerRun, tensors: Tensors) -> Exported:
    """step: frame (B, ...) to logits (B, C). sequence: frames (T, B, ...) to logits (T, B, C)."""
    config = run.config.model
    weights = None
    if config.cell != "none":
        weights = read_recurrence(tensors, config, directions=2 if config.bidirectional else 1)
    looks_ahead = weights is not None and weights.directions == 2
    kinds = (SEQUENCE,) if looks_ahead else (STEP, SEQUENCE)
    missing = {}
    if looks_ahead:
        missing[STEP] = "a bidirectional tagger needs the frames that come after: use sequence.onnx"
    graphs = {kind: _graph(tensors, weights, run.config.frame_size, kind == SEQUENCE) for kind in kinds}
    return Exported(graphs, missing, (FRAMES,), {"labels": run.labels})


def _graph(tensors: Tensors, weights: RecurrenceWeights | None, frame_size: int, whole: bool) -> Graph:
    graph = Graph()
    is_video = "encoder.mean" not in tensors
    name, axes = ("frames", ("T", "B")) if whole else ("frame", ("B",))
    if is_video:
        port = Port(name, BYTE, (*axes, frame_size, frame_size, 3), "RGB pixels")
    else:
        port = Port(name, FLOAT, (*axes, len(tensors["encoder.mean"])), "features, not standardised")
    frames = graph.input(port)
    encoder = tensors.under("encoder.")
    if is_video:
        features = _encode_pictures(graph, frames, encoder, frame_size, whole)
    else:
        centred = graph.node("Sub", frames, graph.weight(encoder["mean"], "mean"))
        features = graph.node("Mul", centred, graph.weight(encoder["scale"], "scale"))
    C = len(tensors["output.bias"])
    logits = Port("logits", FLOAT, (*axes, C), "of each frame's label")
    if weights is None:
        outputs = feed_forward(graph, features, tensors.under("recurrent."))
        graph.output(linear(graph, outputs, tensors, "output"), logits)
        return graph
    carries = weights.directions == 1
    state = state_inputs(graph, weights) if carries else None
    recurrence = OnnxRecurrence(graph, weights)
    if whole:
        lengths = lengths_of(graph, graph.input(LENGTHS), frames)
        outputs, new_state = recurrence.run(features, state, lengths)
    else:
        assert state is not None
        outputs, new_state = recurrence.step(features, state)
    graph.output(linear(graph, outputs, tensors, "output"), logits)
    if carries:
        state_outputs(graph, weights, new_state)
    return graph


def _encode_pictures(graph: Graph, frames: str, encoder: Tensors, size: int, whole: bool) -> str:
    """Pictures (B, S, S, 3) or (T, B, S, S, 3) to features (B, F) or (T, B, F)."""
    if not whole:
        return small_cnn(graph, frames, encoder, size)
    flat = graph.node("Reshape", frames, graph.numbers(-1, size, size, 3))
    features = small_cnn(graph, flat, encoder, size)
    F = len(encoder["output.bias"])
    shape = graph.join([graph.node("Shape", frames, start=0, end=2), graph.numbers(F)], axis=0)
    return graph.node("Reshape", features, shape)
