"""A run folder to ONNX files: built, compared with the run's own model, and only then written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from throughtime.errors import RunError
from throughtime.files import refuse_link, write_atomically
from throughtime.hub.cache import refuse_hub_name
from throughtime.interchange.check import Difference, Model, check
from throughtime.interchange.graph import IR_VERSION, OPSET, Graph, require_onnx
from throughtime.interchange.onnx_network import build_graph, plans_of
from throughtime.run import Run
from throughtime.runtime.network import check_weights

DESCRIPTION = "export.json"


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
        refuse_hub_name(run.hub_name, "name a folder for the graphs with --out")
        refuse_link(folder := run.folder / "onnx")
    folder = Path(folder)
    _ = run.network  # which refuses weights that do not fit config.toml, as a graph would not
    weights = run.read_weights()
    check_weights(run.program, weights)  # and those of a text's engine, which reads the recurrence alone
    arrays = dict(weights)  # so that quantised ones are unpacked once
    files, facts = run.beside_graphs()
    plans, missing = plans_of(run.task, run.program)
    graphs = {name: build_graph(run.program, plan, arrays) for name, plan in plans.items()}
    description = _describe(run, graphs, missing, files, facts)
    models = [
        Model(
            plans[name], name, _serialise(name, graph, description), tuple(graph.inputs), tuple(graph.outputs)
        )
        for name, graph in graphs.items()
    ]
    unchecked = _reason_not_to_check(compare)
    differences = None if unchecked else check(run, models)
    contents = {name: _read(run.folder / name) for name in files}
    contents |= {f"{model.name}.onnx": model.content for model in models}
    contents[DESCRIPTION] = json.dumps(description, ensure_ascii=False, indent=1).encode()
    for name, content in contents.items():
        write_atomically(folder / name, content)
    sizes = {name: len(content) for name, content in contents.items()}
    return Export(folder, description, sizes, differences, unchecked)


def _describe(
    run: Run,
    graphs: Mapping[str, Graph],
    missing: Mapping[str, str],
    files: Sequence[str],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
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
            for name, graph in graphs.items()
        },
        "missing": {f"{name}.onnx": reason for name, reason in missing.items()},
        "files": list(files),
        **facts,
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
