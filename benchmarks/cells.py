"""Cells that nobody wrote natively, as programs, against PyTorch and ONNX Runtime; and the LSTM both ways.

A language model of two layers, one text, one thread: the time of a step with a given token (input table, two
layers, output layer). All run the same weights in one process in turns; the table holds medians of the turns.

    ours          the engine, fp32 and int8; for the LSTM also as a program, its own kernel switched off
    eager         the PyTorch module that is trained, under inference_mode
    compiled      its step under torch.compile (--compile; needs a C++ compiler)
    onnxruntime   the step.onnx that `throughtime export` writes, with buffers bound once; fp32, and int8 by
                  onnxruntime's quantize_dynamic

    python benchmarks/cells.py --hidden 128 256 512 --compile --json cells.json
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import quantize_dynamic

from throughtime import _native
from throughtime.capture import capture_cell
from throughtime.capture.network import capture_network
from throughtime.interchange.onnx_network import build_graph, plans_of
from throughtime.interchange.onnx_recurrence import under
from throughtime.program.reference import initial_state
from throughtime.runtime import Engine
from throughtime.runtime.weights import Weights
from throughtime.tasks.language_model.model import LanguageModel
from throughtime.tasks.language_model.options import LanguageNetwork

V = 96
CELLS = ("lstm", "mogrifier", "mingru", "slstm")


def our_steps(model: LanguageModel, cell: str) -> dict[str, Callable[[], Any]]:
    """The engine's step, by what it is called."""
    tensors = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    programs = {
        f"recurrent.cells.{number}": capture_cell(one)  # type: ignore[arg-type]
        for number, one in enumerate(model.recurrent.cells)
    }
    found = {}
    for precision in ("fp32", "int8"):
        for name, kind in {"ours": cell, "ours, as a program": "as a program"}.items():
            if name != "ours" and cell != "lstm":
                continue
            settings = {"cell": kind, "layers": 2, "embedding": 0}
            engine = Engine.from_tensors(settings, Weights(tensors, programs=programs), precision, threads=1)
            slots, token = engine.open(1), np.array([3])
            found[f"{name} {precision}"] = lambda engine=engine, slots=slots, token=token: engine.step(
                slots, token
            )
    return found


class Carried:
    """A step of PyTorch that carries its state."""

    def __init__(self, function: Any, token: torch.Tensor, state: Any) -> None:
        self._function, self._token, self._state = function, token, state

    @torch.inference_mode()
    def __call__(self) -> Any:
        logits, self._state = self._function(self._token, self._state)
        return logits.numpy()


class InTurns:
    """A step of onnxruntime that reads one buffer of states and writes the other."""

    def __init__(self, session: Any, bindings: list[Any], logits: Any) -> None:
        self._session, self._bindings, self._logits = session, bindings, logits

    def __call__(self) -> Any:
        self._session.run_with_iobinding(self._bindings[0])
        self._bindings.reverse()
        return self._logits.numpy()


def torch_steps(model: LanguageModel, compiled: bool) -> dict[str, Callable[[], Any]]:
    """The module's step, eager and compiled."""
    token = torch.tensor([[3]])
    cells = list(model.recurrent.cells)

    def step(token: torch.Tensor, states: list[tuple[torch.Tensor, ...]]) -> Any:
        x = torch.nn.functional.one_hot(token, V).float()[0]
        new = []
        for one, state in zip(cells, states, strict=True):
            x, after = one.step(one.project(x), state)  # type: ignore[operator]
            new.append(after)
        return model.output(x), new

    begin = [one.initial_state(1, torch.zeros(1, 1)) for one in cells]  # type: ignore[operator]
    found: dict[str, Callable[[], Any]] = {}
    for name, function in {"eager": step, **({"compiled": torch.compile(step)} if compiled else {})}.items():
        state = [tuple(part.detach().clone() for part in parts) for parts in begin]

        found[name] = Carried(function, token, state)
    return found


def onnx_steps(model: LanguageModel, config: LanguageNetwork, folder: Path) -> dict[str, Callable[[], Any]]:
    """onnxruntime on the exported step graph, the state in buffers that are used in turns."""
    tensors = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    program = capture_network(model)
    plans, _ = plans_of("language-model", program)
    graph = build_graph(program, plans["step"], tensors)
    names = [port.name for port in graph.inputs[1:]]
    (folder / "fp32.onnx").write_bytes(graph.model("step").SerializeToString())
    quantize_dynamic(folder / "fp32.onnx", folder / "int8.onnx")
    found: dict[str, Callable[[], Any]] = {}
    for precision in ("fp32", "int8"):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            str(folder / f"{precision}.onnx"), options, providers=["CPUExecutionProvider"]
        )
        states = [initial_state(cell, under(tensors, f"{name}."), 1) for name, cell in program.cells.items()]
        begin = [np.concatenate(parts)[:, None] for parts in zip(*states, strict=True)]
        buffers = [
            [
                onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(part, np.float32))
                for part in begin
            ]
            for _ in range(2)
        ]
        token = onnxruntime.OrtValue.ortvalue_from_numpy(np.array([3]))
        logits = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((1, V), np.float32))
        bindings = []
        for turn in range(2):
            binding = session.io_binding()
            binding.bind_ortvalue_input("token", token)
            binding.bind_ortvalue_output("logits", logits)
            for name, old, new in zip(names, buffers[turn], buffers[1 - turn], strict=True):
                binding.bind_ortvalue_input(name, old)
                binding.bind_ortvalue_output(f"new_{name}", new)
            bindings.append(binding)

        found[f"onnxruntime {precision}"] = InTurns(session, bindings, logits)
    return found


def measure(steps: dict[str, Callable[[], Any]], rounds: int, seconds: float) -> dict[str, float]:
    """Microseconds a step, the median of rounds in which all take their turn."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for run in steps.values():
        for _ in range(20):
            run()
    for _ in range(rounds):
        for name, run in steps.items():
            count, begin = 0, time.perf_counter()
            while time.perf_counter() - begin < seconds:
                run()
                count += 1
            times[name].append((time.perf_counter() - begin) / count * 1e6)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", nargs="+", default=CELLS)
    parser.add_argument("--hidden", nargs="+", type=int, default=[128, 256, 512])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.05, help="of each turn")
    parser.add_argument("--compile", action="store_true", help="torch.compile, too")
    parser.add_argument("--json", type=Path, help="where the figures go")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger().setLevel(logging.ERROR)  # onnxruntime's advice on quantising
    read = _native.read_bandwidth(256 << 20, 1) / 1e9
    print(
        f"{platform.machine()}, {_native.isa()}, plain read {read:.1f} GB/s by one thread; torch "
        f"{torch.__version__}, onnxruntime {onnxruntime.__version__}; one thread, batch 1"
    )
    rows = []
    for hidden in arguments.hidden:
        for cell in arguments.cells:
            torch.manual_seed(0)
            torch.compiler.reset()  # each model is compiled anew, or the later ones hit a limit
            config = LanguageNetwork(cell=cell, hidden=hidden, layers=2, embedding=0, initialisation="torch")
            model = LanguageModel(config, V).eval()
            with tempfile.TemporaryDirectory() as folder:
                steps = our_steps(model, cell)
                steps |= torch_steps(model, arguments.compile) | onnx_steps(model, config, Path(folder))
                agree = {name: np.asarray(run()).reshape(-1) for name, run in steps.items()}
                for name, logits in agree.items():
                    if "int8" not in name and np.abs(logits - agree["eager"]).max() > 1e-4:
                        raise SystemExit(f"{cell} {hidden}: {name} differs from PyTorch")
                found = measure(steps, arguments.rounds, arguments.seconds)
            peers = [name for name in found if not name.startswith("ours")]
            best = {
                "fp32": min(found[name] for name in peers if "int8" not in name),
                "int8": min(found[name] for name in peers),
            }
            factors = {kind: best[kind] / found[f"ours {kind}"] for kind in best}
            rows.append({"cell": cell, "hidden": hidden, "us": found, "factor": factors})
            shown = ", ".join(f"{name} {value:.1f}" for name, value in found.items())
            print(
                f"{cell:10} 2 x {hidden:4}: {shown} us; best peer / ours: "
                f"fp32 {factors['fp32']:.2f}, int8 {factors['int8']:.2f}",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
