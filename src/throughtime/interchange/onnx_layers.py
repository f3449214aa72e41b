"""What stands around a recurrence, in ONNX operators: linear layers, embeddings, pooling, small CNNs."""

from __future__ import annotations

import numpy as np

from throughtime.interchange.graph import Graph
from throughtime.interchange.tensors import Array, Tensors

_FLOAT = 1  # onnx.TensorProto.FLOAT, which is not imported before it is needed
_EPSILON = 1e-5  # of torch.nn's normalisations


def linear(graph: Graph, inputs: str, tensors: Tensors, name: str) -> str:
    """torch.nn.Linear: (..., I) to (..., O)."""
    product = graph.node("MatMul", inputs, graph.weight(tensors[f"{name}.weight"].T, f"{name}.weight"))
    bias = f"{name}.bias"
    return graph.node("Add", product, graph.weight(tensors[bias], bias)) if bias in tensors else product


def embed(graph: Graph, tokens: str, tensors: Tensors, name: str) -> str:
    """torch.nn.Embedding: tokens (...) to (..., E)."""
    return graph.node("Gather", graph.weight(tensors[f"{name}.weight"], f"{name}.weight"), tokens, axis=0)


def one_hot(graph: Graph, tokens: str, size: int) -> str:
    """Tokens (...) to (..., size)."""
    values = graph.weight(np.array([0, 1], dtype=np.float32), "zero_one")
    return graph.node("OneHot", tokens, graph.scalar(size, "int64"), values, axis=-1)


def feed_forward(graph: Graph, inputs: str, tensors: Tensors) -> str:
    """Linear layers with a ReLU each, named layers.0, layers.1...: the networks without a recurrence."""
    layer = 0
    while f"layers.{layer}.weight" in tensors:
        inputs = graph.node("Relu", linear(graph, inputs, tensors, f"layers.{layer}"))
        layer += 1
    return inputs


def to_float(graph: Graph, value: str) -> str:
    """Whole numbers as float32."""
    return graph.node("Cast", value, to=_FLOAT)


def pool(
    graph: Graph, kind: str, outputs: str, lengths: str, mask: str, directions: int, tensors: Tensors
) -> str:
    """`throughtime.encoders.Pooling`.

    Args:
        kind: "last", "mean", "max" or "attention".
        outputs: (T, B, F).
        lengths: (B,) int64.
        mask: (T, B, 1) bool.
        directions: how many equal parts F has.
        tensors: the pooling's weights.
    Returns:
        (B, F).
    """
    if kind == "last":
        return _last(graph, outputs, mask, directions)
    if kind == "max":
        hidden = graph.node("Where", mask, outputs, graph.scalar(-np.inf))
        return graph.node("ReduceMax", hidden, axes=[0], keepdims=0)
    real = graph.node("Where", mask, outputs, graph.scalar(0.0))
    if kind == "mean":
        counts = graph.node("Unsqueeze", to_float(graph, lengths), graph.numbers(1))
        return graph.node("Div", _sum_over_time(graph, real), counts)
    keys = graph.node("Tanh", linear(graph, outputs, tensors, "attention"))
    scores = graph.node("MatMul", keys, graph.weight(tensors["context"][:, None], "context"))  # (T, B, 1)
    weights = graph.node("Softmax", graph.node("Where", mask, scores, graph.scalar(-np.inf)), axis=0)
    return _sum_over_time(graph, graph.node("Mul", real, weights))


def _last(graph: Graph, outputs: str, mask: str, directions: int) -> str:
    """The forward direction's last valid step, and beside it the backward one's first."""
    # A step is the last one where it counts and the next does not; after the last comes none.
    end = graph.numbers(np.iinfo(np.int64).max)
    later = graph.node("Slice", mask, graph.numbers(1), end, graph.numbers(0))
    first = graph.node("Slice", mask, graph.numbers(0), graph.numbers(1), graph.numbers(0))
    none = graph.node("And", first, graph.node("Not", first))
    is_last = graph.node("And", mask, graph.node("Not", graph.join([later, none], axis=0)))
    ends = _sum_over_time(graph, graph.node("Where", is_last, outputs, graph.scalar(0.0)))
    if directions == 1:
        return ends
    begins = graph.node("Gather", outputs, graph.scalar(0, "int64"), axis=0)
    forward, _ = graph.nodes("Split", 2, ends, axis=1)
    _, backward = graph.nodes("Split", 2, begins, axis=1)
    return graph.join([forward, backward], axis=1)


def _sum_over_time(graph: Graph, value: str) -> str:
    return graph.node("ReduceSum", value, graph.numbers(0), keepdims=0)


def pixels(graph: Graph, frames: str) -> str:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 from -1 to 1."""
    images = to_float(graph, graph.node("Transpose", frames, perm=[0, 3, 1, 2]))
    return graph.node("Sub", graph.node("Div", images, graph.scalar(127.5)), graph.scalar(1.0))


def convolve(graph: Graph, images: str, tensors: Tensors, name: str, stride: int) -> str:
    """torch.nn.Conv2d with a kernel of 3 and a padding of 1."""
    arguments = [images, graph.weight(tensors[f"{name}.weight"], f"{name}.weight")]
    if f"{name}.bias" in tensors:
        arguments.append(graph.weight(tensors[f"{name}.bias"], f"{name}.bias"))
    return graph.node("Conv", *arguments, kernel_shape=[3, 3], strides=[stride] * 2, pads=[1] * 4)


def group_norm(graph: Graph, images: str, tensors: Tensors, name: str, groups: int) -> str:
    """torch.nn.GroupNorm; this opset has no operator of that name that all runtimes agree on."""
    scale, shift = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    grouped = graph.node("Reshape", images, graph.numbers(0, groups, -1))
    ones = graph.weight(np.ones(groups, np.float32), "ones")
    zeros = graph.weight(np.zeros(groups, np.float32), "zeros")
    normal = graph.node("InstanceNormalization", grouped, ones, zeros, epsilon=_EPSILON)
    normal = graph.node("Reshape", normal, graph.node("Shape", images))
    scaled = graph.node("Mul", normal, graph.weight(scale[:, None, None], f"{name}.weight"))
    return graph.node("Add", scaled, graph.weight(shift[:, None, None], f"{name}.bias"))


def layer_norm(graph: Graph, value: str, tensors: Tensors, name: str) -> str:
    """torch.nn.LayerNorm over the last axis."""
    scale = graph.weight(tensors[f"{name}.weight"], f"{name}.weight")
    shift = graph.weight(tensors[f"{name}.bias"], f"{name}.bias")
    return graph.node("LayerNormalization", value, scale, shift, axis=-1, epsilon=_EPSILON)


def small_cnn(graph: Graph, frames: str, tensors: Tensors, frame_size: int, grid: int = 4) -> str:
    """`throughtime.encoders.frames.SmallCNN`: (N, H, W, 3) uint8 to (N, F)."""
    images, side = pixels(graph, frames), frame_size
    for layer in (0, 3, 6):
        convolved = convolve(graph, images, tensors, f"convolutions.{layer}", 2)
        images = graph.node("Relu", group_norm(graph, convolved, tensors, f"convolutions.{layer + 1}", 4))
        side = (side + 1) // 2
    # Adaptive pooling is a product with a matrix of means from both sides; its bins may overlap.
    means = _adaptive_means(side, grid)
    rows = graph.node("MatMul", graph.weight(means, "rows"), images)
    pooled = graph.node("MatMul", rows, graph.weight(means.T, "columns"))
    flat = graph.node("Flatten", pooled, axis=1)
    return layer_norm(graph, linear(graph, flat, tensors, "output"), tensors, "norm")


def small_image_cnn(graph: Graph, images: str, tensors: Tensors) -> str:
    """`throughtime.encoders.SmallImageCNN`: (B, S, S, 3) uint8 to (B, F), or (B, P, F) for a grid."""
    maps = pixels(graph, images)
    for layer, stride in zip((0, 3, 6, 9), (2, 2, 2, 1), strict=True):
        convolved = convolve(graph, maps, tensors, f"features.{layer}", stride)
        groups = tensors[f"features.{layer + 1}.weight"].shape[0] // 8
        maps = graph.node("Relu", group_norm(graph, convolved, tensors, f"features.{layer + 1}", groups))
    channels = tensors["features.9.weight"].shape[0]
    places = graph.node("Reshape", maps, graph.numbers(0, channels, -1))
    places = graph.node("Transpose", places, perm=[0, 2, 1])
    if "position" in tensors:
        places = graph.node("Add", places, graph.weight(tensors["position"], "position"))
    else:
        places = graph.node("Flatten", places, axis=1)
    return graph.node("Relu", linear(graph, places, tensors, "output"))


def _adaptive_means(size: int, bins: int) -> Array:
    """(bins, size): torch.nn.AdaptiveAvgPool2d along one axis."""
    means = np.zeros((bins, size), np.float32)
    for row in range(bins):
        begin, end = row * size // bins, -(-(row + 1) * size // bins)
        means[row, begin:end] = 1 / (end - begin)
    return means
