"""A translator as two ONNX graphs: the encoder reads a source once, a step of the decoder writes a token."""

from __future__ import annotations

from throughtime.config.translator import TranslatorNetwork
from throughtime.interchange.graph import FLOAT, INTEGER, Graph, Port
from throughtime.interchange.onnx_export import ENCODER, STEP, Exported, state_inputs, state_outputs
from throughtime.interchange.onnx_layers import embed, linear
from throughtime.interchange.onnx_recurrence import OnnxRecurrence, lengths_of
from throughtime.interchange.recurrence_weights import RecurrenceWeights, read_recurrence
from throughtime.interchange.tensors import Tensors
from throughtime.run.translator import SHARED_TOKENIZER, SOURCE_TOKENIZER, TARGET_TOKENIZER, TranslatorRun

_LENGTHS = Port("lengths", INTEGER, ("B",), "tokens of each source, with END", "S")


def export_translator(run: TranslatorRun, tensors: Tensors) -> Exported:
    """encoder: sources (S, B) to the memory and the first state. step: token (B,) to logits (B, V + 1)."""
    config = run.config.model
    encoder = read_recurrence(tensors, config, "encoder.", 2 if config.bidirectional else 1)
    decoder = read_recurrence(tensors, config, "decoder.recurrent.")
    target = run.target_tokenizer.vocabulary_size
    shared = run.config.data.shared_vocabulary
    return Exported(
        {
            ENCODER: _encoder(config, tensors, encoder, decoder),
            STEP: _step(config, tensors, encoder.output_size, decoder),
        },
        files=(SHARED_TOKENIZER,) if shared else (SOURCE_TOKENIZER, TARGET_TOKENIZER),
        facts={"source_end": run.source_tokenizer.vocabulary_size, "end": target, "start": target + 1},
    )


def _memory_ports(config: TranslatorNetwork, memory_size: int, key_size: int) -> list[Port]:
    """What attention looks at; with the score "dot" the keys are the values themselves."""
    if config.attention == "none":
        return []
    ports = [Port("values", FLOAT, ("B", "S", memory_size), "what attention weighs")]
    if config.attention == "bahdanau" or config.attention_score == "general":
        ports.append(Port("keys", FLOAT, ("B", "S", key_size), "what attention compares with"))
    return ports


def _encoder(
    config: TranslatorNetwork, tensors: Tensors, encoder: RecurrenceWeights, decoder: RecurrenceWeights
) -> Graph:
    graph = Graph()
    vocabulary = len(tensors["source_embedding.weight"])
    source = graph.input(Port("source", INTEGER, ("S", "B"), "tokens of the source, END last", vocabulary))
    lengths = lengths_of(graph, graph.input(_LENGTHS), source)
    read = embed(graph, source, tensors, "source_embedding")
    outputs, final = OnnxRecurrence(graph, encoder).run(read, lengths=lengths)
    ports = _memory_ports(config, encoder.output_size, decoder.output_size)
    if ports:
        values = graph.node("Transpose", outputs, perm=[1, 0, 2])
        graph.output(values, ports[0])
        if len(ports) == 2:
            name = {"luong": "weight", "bahdanau": "memory_weight"}[config.attention]
            keys = linear(graph, values, tensors, f"decoder.attention.{name}")
            graph.output(keys, ports[1])
    state_outputs(graph, decoder, _bridge(graph, tensors, encoder, decoder, final), "")
    return graph


def _bridge(
    graph: Graph,
    tensors: Tensors,
    encoder: RecurrenceWeights,
    decoder: RecurrenceWeights,
    final: list[str],
) -> list[str]:
    """The encoder's last states (L * D, B, S) to the decoder's first (L', B, S')."""
    states = []
    sizes = zip(encoder.state_sizes, decoder.state_sizes, strict=True)
    for number, (part, (size, own_size)) in enumerate(zip(final, sizes, strict=True)):
        top = graph.split(part, [encoder.directions] * encoder.layers, axis=0)[-1]
        beside = graph.node("Transpose", top, perm=[1, 0, 2])
        beside = graph.node("Reshape", beside, graph.numbers(0, encoder.directions * size))
        first = graph.node("Tanh", linear(graph, beside, tensors, f"bridge.{number}"))
        rows = graph.node("Reshape", first, graph.numbers(0, decoder.layers, own_size))
        states.append(graph.node("Transpose", rows, perm=[1, 0, 2]))
    return states


def _step(config: TranslatorNetwork, tensors: Tensors, memory_size: int, decoder: RecurrenceWeights) -> Graph:
    graph = Graph()
    written = len(tensors["output_bias" if config.tie_weights else "output.bias"])
    token = graph.input(Port("token", INTEGER, ("B",), "the token before; START at first", written + 1))
    state = state_inputs(graph, decoder)
    feed_size = len(tensors["decoder.readout.weight"]) if config.input_feeding else 0
    feed = Port("feed", FLOAT, ("B", feed_size), "the readout before; zeros at first")
    fed = [graph.input(feed)] if feed_size else []
    memory = [graph.input(port) for port in _memory_ports(config, memory_size, decoder.output_size)]
    lengths = graph.input(_LENGTHS) if memory else ""

    read = embed(graph, token, tensors, "target_embedding")
    weights = ""
    if config.attention == "bahdanau":
        top = graph.node("Gather", state[0], graph.scalar(decoder.layers - 1, "int64"), axis=0)
        context, weights = _attend(graph, config, tensors, top, memory, lengths)
        output, state = OnnxRecurrence(graph, decoder).step(graph.join([read, context], axis=1), state)
        seen = [output, context, read]
    else:
        output, state = OnnxRecurrence(graph, decoder).step(graph.join([read, *fed], axis=1), state)
        seen = [output]
        if config.attention == "luong":
            context, weights = _attend(graph, config, tensors, output, memory, lengths)
            seen.append(context)
    readout = graph.node("Tanh", linear(graph, graph.join(seen, axis=1), tensors, "decoder.readout"))
    if config.tie_weights:
        tied = tensors["target_embedding.weight"][:written]
        output_layer = Tensors({"output.weight": tied, "output.bias": tensors["output_bias"]})
    else:
        output_layer = tensors
    logits = linear(graph, readout, output_layer, "output")
    graph.output(logits, Port("logits", FLOAT, ("B", written), "of the next token, END the last"))
    state_outputs(graph, decoder, state)
    if fed:
        graph.output(readout, Port("new_feed", FLOAT, ("B", feed_size), "the readout"))
    if weights:
        graph.output(weights, Port("attention", FLOAT, ("B", "S"), "where the step looked; the sum is 1"))
    return graph


def _attend(
    graph: Graph, config: TranslatorNetwork, tensors: Tensors, query: str, memory: list[str], lengths: str
) -> tuple[str, str]:
    """The context (B, M) of a query (B, Q), and the weights (B, S)."""
    values, keys = memory[0], memory[-1]
    if config.attention == "luong":
        queries = graph.node("Unsqueeze", query, graph.numbers(1))
        scores = graph.node("MatMul", queries, graph.node("Transpose", keys, perm=[0, 2, 1]))
        scores = graph.node("Squeeze", scores, graph.numbers(1))
    else:
        asked = linear(graph, query, tensors, "decoder.attention.query_weight")
        sums = graph.node("Add", graph.node("Unsqueeze", asked, graph.numbers(1)), keys)
        scored = linear(graph, graph.node("Tanh", sums), tensors, "decoder.attention.score_weight")
        scores = graph.node("Squeeze", scored, graph.numbers(2))
    steps_first = lengths_of(graph, lengths, graph.node("Transpose", values, perm=[1, 0, 2])).mask
    mask = graph.node("Transpose", graph.node("Squeeze", steps_first, graph.numbers(2)), perm=[1, 0])
    weights = graph.node("Softmax", graph.node("Where", mask, scores, graph.scalar(-float("inf"))), axis=-1)
    context = graph.node("MatMul", graph.node("Unsqueeze", weights, graph.numbers(1)), values)
    return graph.node("Squeeze", context, graph.numbers(1)), weights
