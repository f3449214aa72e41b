"""Every task's graphs, run by onnxruntime, against the run's own model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.interchange.runs import make_run
from tests.networks import draw, make, weights_of
from throughtime.capture.network import capture_network
from throughtime.models.functions import TorchNetwork

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from throughtime.interchange.onnx_files import Export, export_onnx  # noqa: E402
from throughtime.interchange.onnx_network import build_graph, call_graph, plans_of  # noqa: E402

CELLS: list[dict[str, Any]] = [
    {"cell": "rnn", "activation": "relu"},
    {"cell": "gru"},
    {"cell": "gru", "reset_after": False, "zoneout": 0.2},
    {"cell": "lstm"},
    {"cell": "lstm", "peephole": True, "projection": 3, "coupled": True, "layer_norm": True},
]
SMALL = {"hidden": 5, "layers": 2}


def name(options: dict[str, Any]) -> str:
    return "-".join(str(value) for value in options.values())


each_cell = pytest.mark.parametrize("cell", CELLS, ids=name)


def export(folder: Path, task: str, **options: Any) -> Export:
    """Export a run and compare; the comparison is what most of these tests are about."""
    done = export_onnx(make_run(folder, task, **options), compare=True)
    assert done.differences is not None
    outputs = {
        (file.removesuffix(".onnx"), port["name"])
        for file, ports in done.description["graphs"].items()
        for port in ports["outputs"]
    }
    assert {(one.graph, one.output) for one in done.differences} == outputs
    assert max(one.relative for one in done.differences) < 1e-5
    return done


def shapes(done: Export, file: str, side: str) -> dict[str, list[int | str]]:
    return {port["name"]: port["shape"] for port in done.description["graphs"][file][side]}


@each_cell
def test_language_models(cell: dict[str, Any], tmp_path: Path) -> None:
    done = export(tmp_path, "language-model", **SMALL, embedding=4, **cell)
    V, parts = done.description["graphs"]["step.onnx"]["outputs"][0]["shape"][1], ["h", "c"]
    state = parts if cell["cell"] == "lstm" else parts[:1]
    assert shapes(done, "step.onnx", "inputs")["token"] == ["B"]
    assert shapes(done, "sequence.onnx", "outputs")["logits"] == ["T", "B", V]
    assert list(shapes(done, "step.onnx", "inputs")) == ["token", *state]
    assert list(shapes(done, "step.onnx", "outputs")) == ["logits", *(f"new_{part}" for part in state)]


@pytest.mark.parametrize(
    "options",
    [
        {"embedding": 0},
        {"embedding": 5, "tie_weights": True},
        {"embedding": 4, "learned_initial_state": True},
    ],
    ids=["one-hot", "tied", "learned initial state"],
)
def test_ways_in_and_out_of_a_language_model(options: dict[str, Any], tmp_path: Path) -> None:
    done = export(tmp_path, "language-model", **SMALL, cell="gru", **options)
    if "learned_initial_state" in options:
        initial = done.description["initial_state"]["h"]
        assert (len(initial), len(initial[0])) == (2, 5) and initial[0][0] != 0


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_poolings_of_a_classifier(pooling: str, bidirectional: bool, tmp_path: Path) -> None:
    options = {"pooling": pooling, "bidirectional": bidirectional}
    done = export(tmp_path, "classifier", **SMALL, input="text", embedding=4, **options)
    assert done.description["labels"] == ["bad", "fair", "good"]
    assert "use sequence.onnx" in done.description["missing"]["step.onnx"]


@each_cell
def test_classifiers(cell: dict[str, Any], tmp_path: Path) -> None:
    export(tmp_path / "one", "classifier", **SMALL, input="text", embedding=4, **cell)
    export(tmp_path / "several", "classifier", **SMALL, input="sequences", members=3, **cell)
    seen = {"segment": 2, "around": 1, "convolutions": 2}
    export(tmp_path / "seen", "classifier", **SMALL, input="sequences", **seen, **cell)


@each_cell
def test_taggers(cell: dict[str, Any], tmp_path: Path) -> None:
    done = export(tmp_path / "causal", "tagger", **SMALL, **cell)
    assert shapes(done, "step.onnx", "inputs")["frame"] == ["B", 2]
    done = export(tmp_path / "both", "tagger", **SMALL, bidirectional=True, **cell)
    assert list(done.description["graphs"]) == ["sequence.onnx"]
    assert "needs the frames that come after" in done.description["missing"]["step.onnx"]


@each_cell
def test_word_taggers(cell: dict[str, Any], tmp_path: Path) -> None:
    small = {**SMALL, "character_embedding": 3, "character_features": 4}
    done = export(tmp_path / "lstm", "word-tagger", **small, **cell)
    assert shapes(done, "spell.onnx", "inputs")["letters"] == ["S", "W"]
    assert shapes(done, "sequence.onnx", "outputs")["transitions"] == [1, 5, 3]
    assert done.description["files"] == ["words.json"]
    done = export(tmp_path / "cnn", "word-tagger", **small, characters="cnn", **cell)
    assert shapes(done, "spell.onnx", "inputs")["letters"] == ["S", "W", 5]
    done = export(tmp_path / "alone", "word-tagger", **SMALL, characters="none", crf=False, **cell)
    assert "it reads no characters" in done.description["missing"]["spell.onnx"]


@each_cell
def test_forecasters(cell: dict[str, Any], tmp_path: Path) -> None:
    sizes = {"lookback": 8, "horizon": 3, "season": 1}
    done = export(tmp_path / "direct", "forecaster", **SMALL, **sizes, segment=2, **cell)
    assert shapes(done, "sequence.onnx", "outputs")["parameters"] == ["B", 3, 7]
    assert "says all steps at once" in done.description["missing"]["step.onnx"]
    options = {"decoder": "autoregressive", "distribution": "gaussian", "segment": 1}
    done = export(tmp_path / "autoregressive", "forecaster", **SMALL, **sizes, **options, **cell)
    assert shapes(done, "step.onnx", "inputs")["future"] == ["B", 1]
    assert shapes(done, "encoder.onnx", "outputs")["level"] == ["B"]


@pytest.mark.parametrize("image_size", [16, 19, 33])
def test_video_taggers_read_pixels(image_size: int, tmp_path: Path) -> None:
    done = export(tmp_path, "tagger", **SMALL, image_size=image_size, encoder_features=6)
    assert shapes(done, "sequence.onnx", "inputs")["frames"] == ["T", "B", image_size, image_size, 3]


@pytest.mark.parametrize(
    "task, options",
    [
        ("classifier", {"input": "vectors"}),
        ("classifier", {"input": "text", "members": 2, "pooling": "last"}),
        ("tagger", {}),
        ("tagger", {"bidirectional": True, "image_size": 16}),
    ],
)
def test_networks_without_a_recurrence(task: str, options: dict[str, Any], tmp_path: Path) -> None:
    export(tmp_path, task, **SMALL, cell="none", **options)


@each_cell
@pytest.mark.parametrize(
    "attention",
    [
        {"attention": "none"},
        {"attention": "luong"},
        {"attention": "luong", "input_feeding": True},
        {"attention": "bahdanau"},
    ],
    ids=name,
)
def test_translators(attention: dict[str, Any], cell: dict[str, Any], tmp_path: Path) -> None:
    done = export(tmp_path, "translator", hidden=9, layers=2, embedding=4, **attention, **cell)
    assert done.description["start"] == done.description["end"] + 1 == 4
    assert ("attention" in shapes(done, "step.onnx", "outputs")) == (attention["attention"] != "none")


@pytest.mark.parametrize(
    "options",
    [
        {"tie_weights": False, "decoder_layers": 3},
        {"shared_vocabulary": True},
        {"bidirectional": False},
        {"attention_score": "dot", "encoder_hidden": 9, "bidirectional": False},
    ],
    ids=name,
)
def test_variants_of_a_translator(options: dict[str, Any], tmp_path: Path) -> None:
    export(tmp_path, "translator", hidden=9, embedding=4, **options)


@each_cell
@pytest.mark.parametrize("image_input", ["every-step", "first-input", "initial-state", "attention"])
def test_captioners(image_input: str, cell: dict[str, Any], tmp_path: Path) -> None:
    options = {**SMALL, "embedding": 4, "attention_size": 3, "image_input": image_input, **cell}
    export(tmp_path / "pixels", "captioner", image_size=16, image_embedding=6, **options)
    done = export(tmp_path / "features", "captioner", image_features="x.npz", image_embedding=0, **options)
    assert "features" in shapes(done, "encoder.onnx", "inputs")


class File:
    """An exported file that is fed by names."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(str(path))
        self.inputs = [port.name for port in self._session.get_inputs()]
        self._outputs = [port.name for port in self._session.get_outputs()]

    def __call__(self, **inputs: Any) -> dict[str, np.ndarray]:
        known = {name: array for name, array in inputs.items() if name in self.inputs}
        return dict(zip(self._outputs, self._session.run(None, known), strict=True))

    def write(self, tokens: np.ndarray, **given: Any) -> np.ndarray:
        """Read tokens (T, B) one after the other; give the logits (T, B, V) of each step."""
        logits = []
        for token in tokens:
            outputs = self(token=token, **given)
            logits.append(outputs["logits"])
            given |= {name[4:]: array for name, array in outputs.items() if name.startswith("new_")}
        return np.stack(logits)


@each_cell
def test_steps_one_after_the_other_are_the_sequence(cell: dict[str, Any], tmp_path: Path) -> None:
    done = export(tmp_path, "language-model", **SMALL, embedding=4, **cell)
    step, sequence = File(done.folder / "step.onnx"), File(done.folder / "sequence.onnx")
    tokens = np.random.default_rng(0).integers(0, 9, (7, 3))
    state = {"h": np.zeros((2, 3, 3 if "projection" in cell else 5), np.float32)}
    state |= {"c": np.zeros((2, 3, 5), np.float32)}
    expected = sequence(tokens=tokens, **state)["logits"]
    np.testing.assert_allclose(step.write(tokens, **state), expected, rtol=1e-5, atol=1e-6)


@each_cell
@pytest.mark.parametrize(
    "attention", [{"attention": "luong", "input_feeding": True}, {"attention": "bahdanau"}]
)
def test_what_the_encoder_gives_is_what_the_decoder_takes(
    attention: dict[str, Any], cell: dict[str, Any], tmp_path: Path
) -> None:
    run = make_run(tmp_path, "translator", hidden=9, layers=2, embedding=4, **attention, **cell)
    folder = export_onnx(run).folder
    encoder, step = File(folder / "encoder.onnx"), File(folder / "step.onnx")
    generator = np.random.default_rng(0)
    source, target = generator.integers(0, 9, (7, 2)), generator.integers(0, 4, (6, 2))
    lengths = np.array([7, 4])
    feed = {"feed": np.zeros((2, 4), np.float32)}
    logits = step.write(target, **encoder(source=source, lengths=lengths), lengths=lengths, **feed)
    with torch.inference_mode():
        readouts, _ = run.model(*map(torch.from_numpy, (source, lengths, target)))
        expected = run.model.logits(readouts)
    np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-4, atol=1e-5)


@each_cell
@pytest.mark.parametrize("image_input", ["every-step", "first-input", "initial-state", "attention"])
def test_an_image_goes_from_the_encoder_to_the_words(
    image_input: str, cell: dict[str, Any], tmp_path: Path
) -> None:
    options = {**SMALL, "embedding": 4, "image_size": 16, "image_input": image_input, **cell}
    run = make_run(tmp_path, "captioner", **options)
    folder = export_onnx(run).folder
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    tokens = generator.integers(0, 9, (6, 2))
    logits = File(folder / "step.onnx").write(tokens, **File(folder / "encoder.onnx")(images=images))
    with torch.inference_mode():
        expected, _ = run.model(torch.from_numpy(images), torch.from_numpy(tokens))
    np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("grid", [False, True])
def test_blocks_of_a_mobilenet_that_were_trained_along(grid: bool) -> None:
    model = make("captioner attending to a MobileNet" if grid else "captioner of a MobileNet")
    program = capture_network(model)
    plans, _ = plans_of("captioner", program)
    arrays = dict(weights_of(model))
    for plan in plans.values():
        graph = build_graph(program, plan, arrays)
        session = onnxruntime.InferenceSession(graph.model("test").SerializeToString())
        inputs = draw(graph.inputs, {"B": 3})
        expected = call_graph(TorchNetwork(model), plan, program.functions, inputs)
        for port, found in zip(graph.outputs, session.run(None, inputs), strict=True):
            np.testing.assert_allclose(found, expected[port.name], rtol=1e-4, atol=1e-4)
