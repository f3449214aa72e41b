"""Recurrences inside a network: found, fed what they were fed, without padding."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from throughtime import Recurrent
from throughtime.inspection import gradient_flow
from throughtime.inspection.capture import capture, inspect_captured


class Net(nn.Module):
    """Two recurrences, one of them batch first."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = Recurrent("gru", 3, 4, bidirectional=True)
        self.writer = Recurrent("lstm", 8, 5, batch_first=True)
        self.stepper = Recurrent("rnn", 3, 2)

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        read, _ = self.reader(inputs, lengths=lengths)
        state = None
        for one in inputs:
            _, state = self.stepper(one[None], state)
        return self.writer(read.transpose(0, 1))[0]


def test_each_recurrence_is_measured_on_what_it_reads() -> None:
    torch.manual_seed(0)
    net, inputs = Net(), torch.randn(9, 5, 3)
    lengths = torch.tensor([9, 2, 6, 7, 3])
    found = {one.name: one for one in capture(net, lambda: net(inputs, lengths))}
    assert list(found) == ["reader", "stepper", "writer"]
    # The stepper is called once a step, and hands its state on.
    torch.testing.assert_close(found["stepper"].inputs, inputs)
    assert found["stepper"].state is None
    reader = found["reader"]
    torch.testing.assert_close(reader.inputs, inputs[:6, [0, 2, 3]])
    assert found["writer"].inputs.shape == (9, 5, 8)
    flow, gates, units = inspect_captured(reader)
    np.testing.assert_array_equal(
        flow.layers[0].norms["h"], gradient_flow(net.reader, inputs[:6, [0, 2, 3]]).layers[0].norms["h"]
    )
    assert [layer.name for layer in flow.layers] == ["layer 1", "layer 1 backward"]
    assert {gate.gate for gate in gates} == {"reset gate", "update gate", "candidate"}
    assert units[0].units == 4
    assert not net.reader._forward_pre_hooks


def test_a_mask_cuts_at_its_first_gap() -> None:
    recurrent = nn.Sequential(Recurrent("rnn", 2, 3))
    inputs, mask = torch.randn(5, 3, 2), torch.ones(5, 3, dtype=torch.bool)
    mask[3:, 0] = False
    mask[4:, 1] = False
    (found,) = capture(recurrent, lambda: recurrent[0](inputs, mask=mask))
    torch.testing.assert_close(found.inputs, inputs[:4, 1:])
