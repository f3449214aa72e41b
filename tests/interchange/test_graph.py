"""The builder of graphs."""

from __future__ import annotations

import numpy as np
import pytest

from throughtime.errors import OptionError, RunError

onnx = pytest.importorskip("onnx")

from throughtime.interchange import graph as module  # noqa: E402
from throughtime.interchange.graph import FLOAT, IR_VERSION, OPSET, Graph  # noqa: E402
from throughtime.program.network import Port  # noqa: E402


def doubled() -> Graph:
    graph = Graph()
    x = graph.input(Port("x", FLOAT, ("B", 3), "what is doubled"))
    graph.output(graph.node("Add", x, x), Port("y", FLOAT, ("B", 3), "twice x"))
    return graph


def test_a_graph_becomes_a_model_that_runs() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = doubled().model("double", {"made for": "a test"})
    assert (model.opset_import[0].version, model.ir_version) == (OPSET, IR_VERSION)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (y,) = session.run(None, {"x": np.ones((5, 3), np.float32)})
    assert (y == 2).all() and y.shape == (5, 3)
    assert session.get_modelmeta().custom_metadata_map == {"made for": "a test"}
    assert session.get_inputs()[0].shape == ["B", 3]


def test_the_same_number_is_stored_once_and_another_type_is_another_number() -> None:
    graph = Graph()
    assert graph.scalar(1.0) == graph.scalar(1.0) == Graph(graph).scalar(1.0)
    assert graph.scalar(1, "int64") != graph.scalar(1.0)
    assert graph.numbers(1) != graph.scalar(1, "int64")


def test_a_loop_runs_both_ways() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    x = np.arange(1, 6, dtype=np.float32)[:, None, None]
    for backward, expected in ((False, [1, 3, 6, 10, 15]), (True, [15, 14, 12, 9, 5])):
        graph = Graph()
        value = graph.input(Port("x", FLOAT, ("T", "B", 1), "numbers"))
        first = graph.weight(np.zeros((1, 1), np.float32), "zero")
        body = Graph(graph)
        total = body.body_input("total", FLOAT, ("B", 1))
        new = body.node("Add", total, body.body_input("one", FLOAT, ("B", 1)))
        body.body_output(new, FLOAT, ("B", 1))
        body.body_output(new, FLOAT, ("B", 1))
        _, sums = graph.scan(body, [first], [value], 1, backward)
        graph.output(sums, Port("sums", FLOAT, ("T", "B", 1), "running sums"))
        session = onnxruntime.InferenceSession(graph.model("sums").SerializeToString())
        assert session.run(None, {"x": x})[0].ravel().tolist() == expected


def test_what_does_not_fit_is_refused_by_onnx_itself() -> None:
    graph = Graph()
    x = graph.input(Port("x", FLOAT, ("B", 3), "three numbers"))
    wrong = graph.node("MatMul", x, graph.weight(np.ones((2, 2), np.float32), "W"))
    graph.output(wrong, Port("y", FLOAT, ("B", 2), "nothing"))
    with pytest.raises(RunError, match="wrong is no valid graph.*Incompatible dimensions"):
        graph.model("wrong")


def test_a_model_too_large_for_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 10)
    graph = doubled()
    graph.weight(np.ones(20, np.float32), "W")
    with pytest.raises(OptionError, match="an ONNX file holds 2 GB"):
        graph.model("large")


def test_a_port_tells_its_range() -> None:
    assert Port("tokens", "int64", ("T", "B"), "read", 5).describe()["range"] == [0, 4]
    assert Port("lengths", "int64", ("B",), "of sequences", "T").describe()["range"] == [1, "T"]
    assert "range" not in Port("x", FLOAT, ("B",), "any number").describe()
