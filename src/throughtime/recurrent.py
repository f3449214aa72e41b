"""Any cell through time: layers, directions, lengths, dropout, the state in and out."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from throughtime.cells import Cell, State, cell_class
from throughtime.draws import dropout
from throughtime.errors import OptionError
from throughtime.kernels import KERNELS, Kernel, Scan, pick_kernel, recompute

Method = TypeVar("Method", bound=Callable[..., Any])


def run_eagerly(method: Method) -> Method:
    """Keep torch.compile out of a method, as it keeps out of torch.nn.LSTM by itself.

    Compiling would unroll the loop over the steps, which takes minutes for long sequences. The network around
    the method is compiled.
    """
    eager: list[Any] = []

    @functools.wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        # `torch.compiler.disable` imports torch._dynamo, which takes longer than importing torch. Nothing is
        # being compiled before somebody else has imported it.
        if "torch._dynamo" not in sys.modules:
            return method(*arguments, **named)
        if not eager:
            eager.append(torch.compiler.disable(method))
        return eager[0](*arguments, **named)

    return call  # type: ignore[return-value]


class Recurrent(nn.Module):
    """Carry a cell through time.

    Example:
        recurrent = Recurrent("lstm", input_size=64, hidden_size=256, num_layers=2, layer_norm=True)
        state = None
        for chunk in chunks:                                  # (T, B, 64) each
            outputs, state = recurrent(chunk, state)          # (T, B, 256)
            state = recurrent.detach(state)                   # cut the gradient: truncated BPTT

    Args:
        cell: a name of `throughtime.cells.CELLS`, "FILE.py:CLASS", or a subclass of `Cell` that takes
            (input_size, hidden_size, ...).
        input_size: I.
        hidden_size: H.
        num_layers: L; each layer reads the outputs of the one below.
        bidirectional: a second cell in each layer reads backwards; the outputs are concatenated.
        batch_first: inputs and outputs are (B, T, ...) instead of (T, B, ...). States do not change.
        dropout: probability to zero an output between layers, not after the last.
        locked_dropout: draw one dropout mask a sequence instead of one a step (Gal and Ghahramani 2016).
        zoneout: probability that a unit keeps its old value in training; one number, or one for each tensor
            of the state, for example (0.15, 0.5) for an LSTM's h and c (Krueger et al. 2017).
        learned_initial_state: the state before the first step is a parameter, from zero.
        kernel: "auto", or the name of one; see `throughtime.kernels`.
        gradient_memory: bytes that each layer may keep for its gradient, beside inputs and outputs; 0 is no
            limit. For a long sequence that takes more, only some states are kept and the rest is computed
            again on the way back (Chen et al. 2016): about one more forward pass, and the same gradients.
        **cell_options: passed to the cell.
    State:
        A tuple with one tensor (L * D, B, S) for each size S of the cell's state, D the number of directions;
        layer by layer, forward before backward, as in torch.nn.
    Raises:
        OptionError: an option is unknown or out of its range.
    """

    def __init__(
        self,
        cell: str | type[Cell],
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        batch_first: bool = False,
        dropout: float = 0.0,
        locked_dropout: bool = False,
        zoneout: float | Sequence[float] = 0.0,
        learned_initial_state: bool = False,
        kernel: str = "auto",
        gradient_memory: int = 0,
        **cell_options: Any,
    ) -> None:
        super().__init__()
        if isinstance(cell, str):
            cell = cell_class(cell)
        if num_layers < 1:
            raise OptionError(f"num_layers must be 1 or above, not {num_layers}")
        if not 0 <= dropout <= 1:
            raise OptionError(f"dropout must be from 0 to 1, not {dropout}")
        if kernel != "auto" and kernel not in KERNELS:
            raise OptionError(f"kernel {kernel!r} is unknown: use auto, {', '.join(KERNELS)}")
        if gradient_memory < 0:
            raise OptionError(f"gradient_memory must be 0 (no limit) or above, not {gradient_memory}")
        self.gradient_memory = gradient_memory
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.batch_first = batch_first
        self.dropout = dropout
        self.locked_dropout = locked_dropout
        self.kernel = kernel
        cells: list[Cell] = []
        for layer in range(num_layers):
            size = input_size if layer == 0 else cells[-1].output_size * self.directions
            try:
                cells += [cell(size, hidden_size, **cell_options) for _ in range(self.directions)]
            except TypeError as error:
                raise OptionError(f"the {cell.__name__} cell does not take these options: {error}") from None
        self.cells: Sequence[Cell] = nn.ModuleList(cells)  # type: ignore[assignment]
        self.state_sizes = cells[0].state_sizes
        self.output_size = cells[0].output_size * self.directions
        self.zoneout = _zoneout_rates(zoneout, len(self.state_sizes))
        self.initial = (
            nn.ParameterList(torch.zeros(len(cells), size) for size in self.state_sizes)
            if learned_initial_state
            else None
        )

    if TYPE_CHECKING:
        # torch says Any of a call.
        def __call__(
            self,
            inputs: Tensor | PackedSequence,
            state: State | None = None,
            lengths: Tensor | Sequence[int] | None = None,
            mask: Tensor | None = None,
        ) -> tuple[Tensor, State]: ...

    @property
    def directions(self) -> int:
        """D, 1 or 2."""
        return 2 if self.bidirectional else 1

    def initial_state(self, batch_size: int, like: Tensor) -> State:
        """The state before the first step, tensors (L * D, B, S); `like` gives dtype and device."""
        if self.initial is not None:
            return tuple(
                part.to(like.dtype).unsqueeze(1).expand(-1, batch_size, -1).contiguous()
                for part in self.initial
            )
        zeros = [cell.initial_state(batch_size, like) for cell in self._cells()]
        return tuple(torch.stack(parts) for parts in zip(*zeros, strict=True))

    @staticmethod
    def detach(state: State) -> State:
        """The same numbers without their history, as between the chunks of truncated BPTT."""
        return tuple(part.detach() for part in state)

    @run_eagerly
    def forward(
        self,
        inputs: Tensor | PackedSequence,
        state: State | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Run all layers over a batch of sequences.

        Args:
            inputs: (T, B, I) float, or a PackedSequence; T and B may be 0.
            state: what the previous call returned, or None for the initial state.
            lengths: (B,) whole numbers in [0, T]; steps past a sequence's length are ignored.
            mask: (T, B) bool, (B, T) with batch_first: where it is false the step is skipped. Masks may have
                holes. Give lengths or a mask, not both.
        Returns:
            The outputs (T, B, D * output size), zero where a step does not count, and the state after each
            sequence's last step (in the backward direction: after its first). Where no step counts, that is
            the state before the first. Inputs at steps that do not count may hold anything, also NaN, and get
            a gradient of zero.
        Raises:
            ValueError: a shape does not fit, or a length is out of range (the message names the row).
        """
        if isinstance(inputs, PackedSequence):
            if lengths is not None or mask is not None:
                raise ValueError("a PackedSequence has its lengths with it: leave out lengths and mask")
            inputs, lengths = pad_packed_sequence(inputs)
        elif self.batch_first:
            inputs = inputs.transpose(0, 1)
            mask = None if mask is None else mask.transpose(0, 1)
        outputs, state = self._run(inputs, state, lengths, mask)
        return (outputs.transpose(0, 1) if self.batch_first else outputs), state

    def _run(
        self, inputs: Tensor, state: State | None, lengths: Tensor | Sequence[int] | None, mask: Tensor | None
    ) -> tuple[Tensor, State]:
        """`forward` with time first."""
        if inputs.dim() != 3 or inputs.shape[2] != self.input_size:
            raise ValueError(
                f"inputs have shape {tuple(inputs.shape)}, expected (T, B, {self.input_size}) with time first"
            )
        T, B, _ = inputs.shape
        lengths, mask = _check_lengths(lengths, mask, T, B, inputs.device)
        if state is None:
            state = self.initial_state(B, inputs)
        self._check_state(state, B)
        if mask is not None:
            # 0 * NaN is NaN: what must not count may not enter a matrix product, nor its gradient.
            inputs = inputs.masked_fill(~mask.unsqueeze(-1), 0)
        finals: list[State] = []
        outputs = inputs
        for layer in range(self.num_layers):
            if layer > 0:
                outputs = self._drop(outputs)
            scan = self._scan(layer, outputs, state, mask, lengths)
            kernel = pick_kernel(scan, self.kernel)
            if self.gradient_memory:
                outputs, final = recompute.run(kernel, scan, self.gradient_memory)
            else:
                outputs, final = kernel.run(scan)
            finals.append(final)
        return outputs, tuple(torch.cat(parts) for parts in zip(*finals, strict=True))

    def kernel_for(self, inputs: Tensor) -> list[Kernel]:
        """The kernel that each layer would use for inputs (T, B, I) without lengths."""
        kernels = []
        for layer in range(self.num_layers):
            if layer == 1:
                inputs = inputs.new_zeros(()).expand(*inputs.shape[:2], self.output_size)
            kernels.append(pick_kernel(self._scan(layer, inputs, (), None, None), self.kernel))
        return kernels

    def why_not(self, kernel: str, inputs: Tensor) -> str:
        """Why a kernel cannot run the first layer, or should not; "" where it may."""
        scan, found = self._scan(0, inputs, (), None, None), KERNELS[kernel]
        return found.reason_against(scan) or found.reason_to_leave(scan) or ""

    def _scan(
        self, layer: int, inputs: Tensor, state: State, mask: Tensor | None, lengths: Tensor | None
    ) -> Scan:
        rows = slice(layer * self.directions, (layer + 1) * self.directions)
        return Scan(
            cells=tuple(self._cells()[rows]),
            inputs=inputs,
            state=tuple(part[rows] for part in state),
            mask=mask,
            lengths=lengths,
            zoneout=self.zoneout,
            training=self.training,
        )

    def _cells(self) -> list[Cell]:
        return list(self.cells)

    def _drop(self, outputs: Tensor) -> Tensor:
        if self.locked_dropout:
            return locked_dropout(outputs, self.dropout, self.training)
        return dropout(outputs, self.dropout, self.training)

    def _check_state(self, state: State, batch_size: int) -> None:
        expected = [(len(self.cells), batch_size, size) for size in self.state_sizes]
        if [tuple(part.shape) for part in state] != expected:
            raise ValueError(
                f"the state has shapes {[tuple(part.shape) for part in state]}, expected {expected}"
            )

    def extra_repr(self) -> str:
        options = {
            "num_layers": self.num_layers,
            "bidirectional": self.bidirectional,
            "batch_first": self.batch_first,
            "dropout": self.dropout,
            "locked_dropout": self.locked_dropout,
            "zoneout": self.zoneout,
            "kernel": self.kernel,
            "gradient_memory": self.gradient_memory,
        }
        return ", ".join(f"{name}={value}" for name, value in options.items() if value)


def locked_dropout(sequence: Tensor, probability: float, training: bool) -> Tensor:
    """Dropout with one mask for all steps of a sequence.

    Args:
        sequence: (T, B, F).
    Source: Gal and Ghahramani 2016 ("variational" dropout); "locked" is Merity et al. 2018's word.
    """
    if not training or probability == 0:
        return sequence
    return sequence * dropout(sequence.new_ones(1, *sequence.shape[1:]), probability, training)


def _zoneout_rates(zoneout: float | Sequence[float], parts: int) -> tuple[float, ...] | None:
    rates = (float(zoneout),) * parts if isinstance(zoneout, (int, float)) else tuple(zoneout)
    if len(rates) != parts or not all(0 <= rate <= 1 for rate in rates):
        raise OptionError(
            f"zoneout must be a probability, or one for each of the {parts} tensors of the state, "
            f"not {zoneout}"
        )
    return rates if any(rates) else None


def _check_lengths(
    lengths: Tensor | Sequence[int] | None, mask: Tensor | None, T: int, B: int, device: torch.device
) -> tuple[Tensor | None, Tensor | None]:
    """Lengths on the CPU and the mask that says the same; both None where every step counts.

    Both are None on the meta device, too: its tensors have shapes only, and neither changes a shape.
    """
    if lengths is None and mask is None:
        return None, None
    if lengths is not None and mask is not None:
        raise ValueError("give lengths or a mask, not both")
    if mask is not None:
        if tuple(mask.shape) != (T, B) or mask.dtype != torch.bool:
            raise ValueError(f"the mask is {mask.dtype} {tuple(mask.shape)}, expected torch.bool {(T, B)}")
        if T == 0 or mask.is_meta or device.type == "meta":
            return None, None
        right_padded = bool((mask[:-1] >= mask[1:]).all())
        return (mask.sum(0).cpu() if right_padded else None), mask.to(device)
    lengths = torch.as_tensor(lengths)
    if lengths.numel() and not _is_whole(lengths.dtype):
        raise ValueError(f"lengths are {lengths.dtype}, expected whole numbers")
    if tuple(lengths.shape) != (B,):
        raise ValueError(f"lengths have shape {tuple(lengths.shape)}, expected ({B},): one for each sequence")
    if lengths.is_meta or device.type == "meta":
        return None, None
    lengths = lengths.to("cpu", torch.int64)
    for row, length in enumerate(lengths.tolist()):
        if not 0 <= length <= T:
            raise ValueError(f"lengths row {row} is {length}, expected 0 to {T}")
    return lengths, torch.arange(T, device=device)[:, None] < lengths.to(device)[None, :]


def _is_whole(dtype: torch.dtype) -> bool:
    return not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)
