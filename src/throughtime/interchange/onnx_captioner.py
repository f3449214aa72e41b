"""A captioner as two ONNX graphs: the encoder lets an image in, a step writes a word."""

from __future__ import annotations

from throughtime.config.captioner import CaptionerNetwork
from throughtime.errors import OptionError
from throughtime.interchange.graph import BYTE, FLOAT, INTEGER, Graph, Port
from throughtime.interchange.onnx_export import ENCODER, STEP, Exported, state_inputs, state_outputs
from throughtime.interchange.onnx_layers import embed, linear, small_image_cnn
from throughtime.interchange.onnx_recurrence import OnnxRecurrence
from throughtime.interchange.recurrence_weights import RecurrenceWeights, read_recurrence
from throughtime.interchange.tensors import Tensors
from throughtime.run.captioner import TOKENIZER, CaptionerRun


def export_captioner(run: CaptionerRun, tensors: Tensors) -> Exported:
    """encoder: an image or its features to the first state. step: token (B,) to logits (B, V + 1).

    Raises:
        OptionError: the run trained blocks of a MobileNetV2 along.
    """
    config = run.config.model
    if config.fine_tune:
        raise OptionError(
            f"{run.folder} trained blocks of a MobileNetV2 (--fine-tune), and these are not exported: train "
            "without --fine-tune"
        )
    weights = read_recurrence(tensors, config)
    end = run.tokenizer.vocabulary_size
    return Exported(
        {
            ENCODER: _encoder(run, tensors, weights),
            STEP: _step(config, tensors, weights, run.input_shape),
        },
        files=(TOKENIZER,),
        facts={"end": end, "start": end + 1},
    )


def _encoder(run: CaptionerRun, tensors: Tensors, weights: RecurrenceWeights) -> Graph:
    config, shape = run.config.model, run.input_shape
    graph, encoder = Graph(), tensors.under("encoder.")
    if "mean" in encoder:
        read = graph.input(Port("features", FLOAT, ("B", *shape), "of the CNN, not standardised"))
        centred = graph.node("Sub", read, graph.weight(encoder["mean"], "mean"))
        features = graph.node("Div", centred, graph.weight(encoder["deviation"], "deviation"))
    else:
        read = graph.input(Port("images", BYTE, ("B", *shape), "RGB pixels"))
        features = small_image_cnn(graph, read, encoder)
    recurrence = OnnxRecurrence(graph, weights)
    entered = linear(graph, features, tensors, "image") if "image.weight" in tensors else features
    ports = _image_ports(config, tensors, shape)
    if config.image_input == "attention":
        grid = graph.node("Relu", entered) if "image.weight" in tensors else entered
        mean = graph.node("ReduceMean", grid, axes=[1], keepdims=0)
        state = _cut(graph, linear(graph, mean, tensors, "initial"), weights)
        graph.output(grid, ports[0])
        graph.output(linear(graph, grid, tensors, "attention.key"), ports[1])
    elif config.image_input == "every-step":
        state = recurrence.initial_state(entered)
        graph.output(entered, ports[0])
    elif config.image_input == "initial-state":
        state = _cut(graph, entered, weights)
    else:
        _, state = recurrence.step(entered, recurrence.initial_state(entered))
    state_outputs(graph, weights, state, "")
    return graph


def _step(
    config: CaptionerNetwork, tensors: Tensors, weights: RecurrenceWeights, shape: tuple[int, ...]
) -> Graph:
    graph = Graph()
    V = len(tensors["embedding.weight"])
    token = graph.input(Port("token", INTEGER, ("B",), "the word before; START at first", V))
    state = state_inputs(graph, weights)
    ports = _image_ports(config, tensors, shape)
    image = [graph.input(port) for port in ports]
    word = embed(graph, token, tensors, "embedding")
    recurrence = OnnxRecurrence(graph, weights)
    alpha = ""
    if config.image_input == "attention":
        top = graph.node("Gather", state[0], graph.scalar(weights.layers - 1, "int64"), axis=0)
        context, alpha = _attend(graph, tensors.under("attention."), top, *image)
        output, state = recurrence.step(graph.join([word, context], axis=1), state)
        read_out = graph.node("Add", word, linear(graph, output, tensors, "attention.hidden_out"))
        output = graph.node("Add", read_out, linear(graph, context, tensors, "attention.context_out"))
    else:
        output, state = recurrence.step(graph.join([word, *image], axis=1), state)
    logits = Port("logits", FLOAT, ("B", len(tensors["output.bias"])), "of the next word, END the last")
    graph.output(linear(graph, output, tensors, "output"), logits)
    state_outputs(graph, weights, state)
    if alpha:
        places = ports[0].shape[1]
        graph.output(alpha, Port("attention", FLOAT, ("B", places), "where the step looked; the sum is 1"))
    return graph


def _image_ports(config: CaptionerNetwork, tensors: Tensors, shape: tuple[int, ...]) -> list[Port]:
    """What of the image enters at every step."""
    if config.image_input not in ("every-step", "attention"):
        return []
    # What the CNN gives, where nothing projects it.
    cnn_size = len(tensors["encoder.output.bias"]) if "encoder.output.bias" in tensors else shape[-1]
    width = config.image_embedding or cnn_size
    if config.image_input == "every-step":
        return [Port("image", FLOAT, ("B", width), "enters at every step")]
    places = len(tensors["encoder.position"]) if "encoder.position" in tensors else shape[0]
    return [
        Port("grid", FLOAT, ("B", places, width), "what attention weighs"),
        Port("keys", FLOAT, ("B", places, config.attention_size), "what attention compares with"),
    ]


def _attend(graph: Graph, tensors: Tensors, hidden: str, grid: str, keys: str) -> tuple[str, str]:
    """What is looked at (B, A), and the weights (B, P); `throughtime.models.attention_over_image`."""
    asked = graph.node("Unsqueeze", linear(graph, hidden, tensors, "query"), graph.numbers(1))
    scores = linear(graph, graph.node("Tanh", graph.node("Add", keys, asked)), tensors, "score")
    alpha = graph.node("Softmax", graph.node("Squeeze", scores, graph.numbers(2)), axis=-1)
    mean = graph.node("MatMul", graph.node("Unsqueeze", alpha, graph.numbers(1)), grid)
    gate = graph.node("Sigmoid", linear(graph, hidden, tensors, "gate"))
    return graph.node("Mul", gate, graph.node("Squeeze", mean, graph.numbers(1))), alpha


def _cut(graph: Graph, values: str, weights: RecurrenceWeights) -> list[str]:
    """(B, L * sum of S) to the recurrence's state, (L, B, S) each."""
    rows = graph.node("Reshape", values, graph.numbers(0, weights.layers, sum(weights.state_sizes)))
    return graph.split(graph.node("Transpose", rows, perm=[1, 0, 2]), weights.state_sizes, axis=2)
