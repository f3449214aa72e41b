"""PyTorch as a peer of benchmarks/step.py, from what everyone writes to what someone who knows it would.

Every step runs under inference_mode; tokens come in and logits go out as NumPy arrays that share memory.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from step_model import Setup, Weights
from torch import Tensor, nn

MODULES = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
CELLS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.float32}


class WholeModule(nn.Module):
    """torch.nn.LSTM, GRU or RNN over a sequence of one step: what a user writes."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        setup = weights.setup
        self.inputs = nn.Embedding.from_pretrained(torch.from_numpy(weights.inputs))
        self.recurrent = MODULES[setup.cell](setup.input_size, setup.hidden, setup.layers)
        for layer in range(setup.layers):
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            for name, value in zip(names, weights.cell(layer), strict=True):
                getattr(self.recurrent, f"{name}_l{layer}").data = torch.from_numpy(value)
        self.output = output_layer(weights)

    def initial(self, setup: Setup, dtype: torch.dtype) -> Any:
        parts = [
            torch.zeros(setup.layers, setup.batch, setup.hidden, dtype=dtype) for _ in range(setup.states)
        ]
        return tuple(parts) if len(parts) > 1 else parts[0]

    def forward(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        outputs, state = self.recurrent(self.inputs(tokens)[None], state)
        return self.output(outputs[0]), state


class Cells(nn.Module):
    """torch.nn.LSTMCell, GRUCell or RNNCell, one a layer."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        setup = weights.setup
        self.inputs = nn.Embedding.from_pretrained(torch.from_numpy(weights.inputs))
        self.cells = nn.ModuleList()
        for layer in range(setup.layers):
            cell = CELLS[setup.cell](setup.hidden if layer else setup.input_size, setup.hidden)
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            for name, value in zip(names, weights.cell(layer), strict=True):
                getattr(cell, name).data = torch.from_numpy(value)
            self.cells.append(cell)
        self.output = output_layer(weights)

    def initial(self, setup: Setup, dtype: torch.dtype) -> Any:
        shape = (setup.batch, setup.hidden)
        if setup.states == 1:
            return [torch.zeros(shape, dtype=dtype) for _ in self.cells]
        return [(torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)) for _ in self.cells]

    def forward(self, tokens: Tensor, states: list[Any]) -> tuple[Tensor, list[Any]]:
        x = self.inputs(tokens)
        new_states = []
        for cell, state in zip(self.cells, states, strict=True):
            new_states.append(cell(x, state))
            x = new_states[-1][0] if isinstance(state, tuple) else new_states[-1]
        return self.output(x), new_states


class Fused(nn.Module):
    """By hand: a table in place of the first layer's input product, one product a layer, few small ops.

    An LSTM's candidate is a sigmoid as well (tanh a = 2 sigmoid(2a) - 1, the 2 folded into the weights), so
    that one op does all gates.
    """

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        setup = weights.setup
        self.kind = setup.cell
        table = torch.from_numpy(weights.input_table())
        self.upper = nn.ModuleList()
        self.lower: nn.Module
        cells = [[torch.from_numpy(part) for part in weights.cell(layer)] for layer in range(setup.layers)]
        if setup.cell == "lstm":
            scale = torch.ones(4, setup.hidden)
            scale[2] = 2
            scale = scale.reshape(-1)
            table = table * scale
            cells = [
                [part * (scale[:, None] if part.ndim == 2 else scale) for part in parts] for parts in cells
            ]
        self.inputs = nn.Embedding.from_pretrained(table)
        self.first = linear_layer(cells[0][1], cells[0][3])
        for w_ih, w_hh, b_ih, b_hh in cells[1:]:
            if setup.cell == "gru":  # The candidate's two halves must stay apart.
                self.upper.append(nn.ModuleList([linear_layer(w_ih, b_ih), linear_layer(w_hh, b_hh)]))
            else:
                self.upper.append(nn.ModuleList([linear_layer(torch.cat([w_ih, w_hh], 1), b_ih + b_hh)]))
        self.output = output_layer(weights)

    def initial(self, setup: Setup, dtype: torch.dtype) -> Any:
        shape = (setup.batch, setup.hidden)
        return [[torch.zeros(shape, dtype=dtype) for _ in range(setup.states)] for _ in range(setup.layers)]

    def forward(self, tokens: Tensor, states: list[list[Tensor]]) -> tuple[Tensor, list[list[Tensor]]]:
        new_states = [self._advance(self.inputs(tokens), self.first(states[0][0]), states[0])]
        for layer, state in zip(self.upper, states[1:], strict=True):
            x = new_states[-1][0]
            if self.kind == "gru":
                new_states.append(self._advance(layer[0](x), layer[1](state[0]), state))
            else:
                new_states.append(self._advance(layer[0](torch.cat([x, state[0]], 1)), None, state))
        return self.output(new_states[-1][0]), new_states

    def _advance(self, projected: Tensor, recurrent: Tensor | None, state: list[Tensor]) -> list[Tensor]:
        h = state[0]
        if self.kind == "gru":
            assert recurrent is not None
            size = 2 * h.shape[1]
            r, z = torch.sigmoid(projected[:, :size] + recurrent[:, :size]).chunk(2, 1)
            n = torch.tanh(torch.addcmul(projected[:, size:], r, recurrent[:, size:]))
            return [torch.lerp(n, h, z)]
        gates = projected if recurrent is None else projected + recurrent
        if self.kind == "rnn":
            return [torch.tanh(gates)]
        i, f, g, o = torch.sigmoid(gates).chunk(4, 1)
        c = torch.addcmul(f * state[1], i, 2 * g - 1)
        return [o * torch.tanh(c), c]


def linear_layer(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer (one addmm) with these weights."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = weight.clone(), bias.clone()
    return layer


def output_layer(weights: Weights) -> nn.Linear:
    return linear_layer(
        torch.from_numpy(weights.tensors["output.weight"]), torch.from_numpy(weights.tensors["output.bias"])
    )


def compiled(model: nn.Module, mode: str) -> Callable[..., Any]:
    """torch.compile with frozen (prepacked) weights; "wrapped" calls the kernels from C++, not Python."""
    import torch._inductor.config as inductor

    inductor.freezing = True
    # All contenders share one forward: past the limit, the rest would silently run eagerly.
    torch._dynamo.config.recompile_limit = 256
    torch._dynamo.config.accumulated_recompile_limit = 1024
    logging.getLogger("torch").setLevel(logging.ERROR)
    options = {"cpp_wrapper": True} if "wrapped" in mode else {}
    if "tuned" in mode:
        options |= {"max_autotune": True}
    return torch.compile(model, dynamic=False, options=options or None)


class Torch:
    """One way to write the step in PyTorch.

    Args:
        form: which of the modules above.
        precision: "fp32", "bf16", or "int8" (torch.ao.quantization.quantize_dynamic, x86 engine).
        compile: "" for eager, or words for `compiled`.
    """

    library = "torch"
    forms = {"module": WholeModule, "cells": Cells, "fused": Fused}

    def __init__(self, form: str, precision: str = "fp32", compile: str = "") -> None:
        self.form, self.precision, self.compile = form, precision, compile
        self.name = " ".join(part for part in ("torch", precision, form, compile) if part)

    def prepare(self, weights: Weights, batch: int, threads: int) -> None:
        self.threads = threads
        self.activate()
        self.setup = weights.setup
        self.dtype = DTYPES[self.precision]
        model = self.forms[self.form](weights).eval()
        self.initial = model.initial
        if self.precision == "bf16":
            model = model.to(torch.bfloat16)
        elif self.precision == "int8":
            model = quantised(model)
        self.model = compiled(model, self.compile) if self.compile else model
        self.tokens = torch.zeros(batch, dtype=torch.int64)
        self.token_buffer = self.tokens.numpy()
        self.reset()
        # Compilation happens at the first call, for this number of threads.
        self.step(np.zeros(batch, np.int64))
        self.reset()

    def activate(self) -> None:
        """Thread counts are the process's in PyTorch: set before each turn."""
        torch.set_num_threads(self.threads)

    def reset(self) -> None:
        self.state = self.initial(self.setup, self.dtype)

    @torch.inference_mode()
    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        self.token_buffer[...] = tokens
        logits, self.state = self.model(self.tokens, self.state)
        return logits.numpy() if logits.dtype == torch.float32 else logits.float().numpy()


def quantised(model: nn.Module) -> nn.Module:
    """Eager dynamic quantisation: deprecated in favour of torchao, but it still runs int8 on a CPU."""
    torch.backends.quantized.engine = "x86"
    kinds = {nn.Linear, nn.LSTM, nn.GRU, nn.LSTMCell, nn.GRUCell, nn.RNNCell}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), kinds, dtype=torch.qint8)


def contenders(cell: str, compile: bool = True) -> list[Torch]:
    """Every way worth trying; the best of them counts."""
    made = [Torch(form, precision) for precision in ("fp32", "bf16") for form in ("module", "cells", "fused")]
    # nn.RNN alone has no quantised module.
    made += [
        Torch(form, "int8") for form in ("module", "cells", "fused") if (form, cell) != ("module", "rnn")
    ]
    if compile:
        made += [Torch("fused", precision, "compiled") for precision in ("fp32", "bf16")]
        made += [Torch("fused", precision, "compiled wrapped") for precision in ("fp32", "bf16")]
        made.append(Torch("fused", "fp32", "compiled wrapped tuned"))
    return made
