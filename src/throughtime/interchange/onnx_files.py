"""A run folder to ONNX files: built, compared with the run's own model, and only then written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from throughtime.errors import RunError
from throughtime.files import refuse_link, write_atomically
from throughtime.interchange.check import Difference, Model, check
from throughtime.interchange.graph import IR_VERSION, OPSET, require_onnx
from throughtime.interchange.onnx_export import Exported
from throughtime.interchange.tensors import Tensors
from throughtime.run import Run

DESCRIPTION = "export.json"

# Imported when first needed: a task's libraries are not the others' business.
_EXPORTERS = {
    "language-model": ("onnx_language_model", "export_language_model"),
    "classifier": ("onnx_classifier", "export_classifier"),
    "tagger": ("onnx_tagger", "export_tagger"),
    "translator": ("onnx_translator", "export_translator"),
    "captioner": ("onnx_captioner", "export_captioner"),
}


@dataclass(frozen=True)
class Export:
    """What `export_onnx` wrote.

    Args:
        folder: where.
        description: the content of export.json: opset, dtypes, ports, what else is needed.
        sizes: bytes of each file, by name.
        differences: from the run's model; None where nothing was compared.
        unchecked: why nothing was compared; "" where it was.
    """

    folder: Path
    description: dict[str, Any]
    sizes: dict[str, int]
    differences: list[Difference] | None
    unchecked: str = ""


def export_onnx(run: Run, folder: str | Path | None = None, compare: bool | None = None) -> Export:
    """Write the graphs of a run, export.json, and the vocabulary beside them.

    The graphs compute in float32, also those of a quantised run.

    Example:
        export_onnx(throughtime.load("runs/mine"), "phone/")

    Args:
        run: of any task.
        folder: where to; None is `onnx` in the run folder.
        compare: run the graphs with onnxruntime against the run's own model before anything is written; None
            does so where onnxruntime and torch are installed.
    Raises:
        MissingExtraError: onnx is not installed; or what the comparison needs, where it is asked for.
        OptionError: the network has a part that is not exported.
        OSError: a file cannot be written; it names the file.
        RunError: the weights are damaged, or a graph does not give the model's numbers.
    """
    require_onnx()
    if folder is None:
        refuse_link(folder := run.folder / "onnx")
    folder = Path(folder)
    _ = run.network  # which refuses weights that do not fit config.toml, as a graph would not
    weights = run.read_weights()
    tensors = Tensors(dict(weights), weights.programs)  # a dict, so that quantised ones are unpacked once
    exported = _exporter(run.task)(run, tensors)
    description = _describe(run, exported)
    models = [
        Model(name, _serialise(name, graph, description), tuple(graph.inputs), tuple(graph.outputs))
        for name, graph in exported.graphs.items()
    ]
    unchecked = _reason_not_to_check(compare)
    differences = None if unchecked else check(run, models)
    contents = {name: _read(run.folder / name) for name in exported.files}
    contents |= {f"{model.name}.onnx": model.content for model in models}
    contents[DESCRIPTION] = json.dumps(description, ensure_ascii=False, indent=1).encode()
    for name, content in contents.items():
        write_atomically(folder / name, content)
    sizes = {name: len(content) for name, content in contents.items()}
    return Export(folder, description, sizes, differences, unchecked)


def _exporter(task: str) -> Callable[[Any, Tensors], Exported]:
    module, function = _EXPORTERS[task]
    return getattr(import_module(f"throughtime.interchange.{module}"), function)


def _describe(run: Run, exported: Exported) -> dict[str, Any]:
    from throughtime import __version__

    return {
        "throughtime": __version__,
        "task": run.task,
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "graphs": {
            f"{name}.onnx": {
                "inputs": [port.describe() for port in graph.inputs],
                "outputs": [port.describe() for port in graph.outputs],
            }
            for name, graph in exported.graphs.items()
        },
        "missing": {f"{name}.onnx": reason for name, reason in exported.missing.items()},
        "files": list(exported.files),
        **exported.facts,
    }


def _serialise(name: str, graph: Any, description: dict[str, Any]) -> bytes:
    """The file's bytes, with its own part of the description in its metadata."""
    own = {key: value for key, value in description.items() if key not in ("graphs", "missing")}
    own |= description["graphs"][f"{name}.onnx"]
    about = {key: value if isinstance(value, str) else json.dumps(value) for key, value in own.items()}
    return graph.model(f"{name} of a {description['task']}", about).SerializeToString()


def _reason_not_to_check(compare: bool | None) -> str:
    if compare is False:
        return "--no-check"
    if compare is None:
        for name in ("onnxruntime", "torch"):
            if find_spec(name) is None:
                return f"{name} is not installed"
    return ""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from None
