"""A language model as ONNX graphs: one token in with the state of all layers in and out, or many."""

from __future__ import annotations

from throughtime.interchange.graph import FLOAT, INTEGER, Graph, Port
from throughtime.interchange.onnx_export import SEQUENCE, STEP, Exported, state_inputs, state_outputs
from throughtime.interchange.onnx_layers import embed, linear, one_hot
from throughtime.interchange.onnx_recurrence import OnnxRecurrence
from throughtime.interchange.recurrence_weights import RecurrenceWeights, read_recurrence
from throughtime.interchange.tensors import Tensors
from throughtime.run.language_model import TOKENIZER, LanguageModelRun


def export_language_model(run: LanguageModelRun, tensors: Tensors) -> Exported:
    """step: token (B,) to logits (B, V). sequence: tokens (T, B) to logits (T, B, V)."""
    weights = read_recurrence(tensors, run.config.model)
    graphs = {kind: _graph(tensors, weights, kind == SEQUENCE) for kind in (STEP, SEQUENCE)}
    facts = {}
    if weights.initial is not None:
        named = zip(weights.state_names, weights.initial, strict=True)
        facts["initial_state"] = {name: part.tolist() for name, part in named}
    return Exported(graphs, files=(TOKENIZER,), facts=facts)


def _graph(tensors: Tensors, weights: RecurrenceWeights, whole: bool) -> Graph:
    graph = Graph()
    V = len(tensors["output.bias"])
    if whole:
        tokens = graph.input(Port("tokens", INTEGER, ("T", "B"), "what is read", V))
    else:
        tokens = graph.input(Port("token", INTEGER, ("B",), "what is read", V))
    state = state_inputs(graph, weights)
    read = (
        embed(graph, tokens, tensors, "embedding")
        if "embedding.weight" in tensors
        else one_hot(graph, tokens, V)
    )
    recurrence = OnnxRecurrence(graph, weights)
    outputs, state = (recurrence.run if whole else recurrence.step)(read, state)
    shape = ("T", "B", V) if whole else ("B", V)
    graph.output(linear(graph, outputs, tensors, "output"), Port("logits", FLOAT, shape, "of the next token"))
    state_outputs(graph, weights, state)
    return graph
