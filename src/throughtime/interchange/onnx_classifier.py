"""A classifier as an ONNX graph: a whole sequence in, logits of the classes out."""

from __future__ import annotations

import math

from throughtime.config.classifier import ClassifierNetwork
from throughtime.interchange.graph import FLOAT, INTEGER, Graph, Port
from throughtime.interchange.onnx_export import LENGTHS, SEQUENCE, STEP, Exported
from throughtime.interchange.onnx_layers import embed, feed_forward, linear, pool
from throughtime.interchange.onnx_recurrence import Lengths, OnnxRecurrence, lengths_of
from throughtime.interchange.recurrence_weights import read_recurrence
from throughtime.interchange.tensors import Tensors
from throughtime.run.classifier import FEATURES, TOKENIZER, ClassifierRun


def export_classifier(run: ClassifierRun, tensors: Tensors) -> Exported:
    """sequence: tokens (T, B) or features (T, B, F), and lengths (B,), to logits (B, C)."""
    config = run.config.model
    members = (
        [tensors.under(f"members.{m}.") for m in range(config.members)] if config.members > 1 else [tensors]
    )
    graph = Graph()
    if run.encoder is not None:
        unknown = run.encoder.unknown
        port = Port("tokens", INTEGER, ("T", "B"), f"what is read; {unknown} is an unknown one", unknown + 1)
    else:
        port = Port("features", FLOAT, ("T", "B", len(members[0]["mean"])), "what is read, not standardised")
    inputs = graph.input(port)
    lengths = graph.input(LENGTHS)
    both = lengths_of(graph, lengths, inputs)
    each = [_member(graph, config, member, inputs, lengths, both) for member in members]
    C = len(members[0]["output.bias"])
    meaning = "of the classes" if len(each) == 1 else "log-probabilities of the classes: the members' mean"
    graph.output(_mean_of_probabilities(graph, each), Port("logits", FLOAT, ("B", C), meaning))
    reason = "a classifier answers once the whole sequence is read: use sequence.onnx"
    return Exported(
        {SEQUENCE: graph},
        {STEP: reason},
        (TOKENIZER if run.encoder is not None else FEATURES,),
        {"labels": list(run.labels.names)},
    )


def _member(
    graph: Graph, config: ClassifierNetwork, tensors: Tensors, inputs: str, lengths: str, both: Lengths
) -> str:
    """Logits (B, C) of one network."""
    if "embedding.weight" in tensors:
        steps = embed(graph, inputs, tensors, "embedding")
    else:
        centred = graph.node("Sub", inputs, graph.weight(tensors["mean"], "mean"))
        steps = graph.node("Div", centred, graph.weight(tensors["deviation"], "deviation"))
    if config.cell == "none":
        outputs, directions = feed_forward(graph, steps, tensors.under("recurrent.")), 1
    else:
        weights = read_recurrence(tensors, config, directions=2 if config.bidirectional else 1)
        outputs, _ = OnnxRecurrence(graph, weights).run(steps, lengths=both)
        directions = weights.directions
    pooled = pool(graph, config.pooling, outputs, lengths, both.mask, directions, tensors.under("pooling."))
    return linear(graph, pooled, tensors, "output")


def _mean_of_probabilities(graph: Graph, each: list[str]) -> str:
    """The logarithm of the mean of the members' probabilities; the logits themselves of a single network."""
    if len(each) == 1:
        return each[0]
    logs = [graph.node("Unsqueeze", graph.node("LogSoftmax", one, axis=-1), graph.numbers(0)) for one in each]
    summed = graph.node("ReduceLogSumExp", graph.join(logs, axis=0), axes=[0], keepdims=0)
    return graph.node("Sub", summed, graph.scalar(math.log(len(each))))
