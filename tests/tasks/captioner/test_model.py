"""The captioner: its equations, its five ways to let the image in, and that steps and scans agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from throughtime.encoders.encoder import ReadyFeatures
from throughtime.models.functions import TorchNetwork
from throughtime.tasks.captioner.attention_over_image import AttentionOverImage, doubly_stochastic_penalty
from throughtime.tasks.captioner.model import Captioner
from throughtime.tasks.captioner.options import CaptionerNetwork
from throughtime.tasks.captioner.writer import CaptionWriter

V, F, P = 7, 6, 4
INPUTS = ("every-step", "first-input", "initial-state", "attention", "late-attention")


def network(image_input: str, **options: Any) -> Captioner:
    torch.manual_seed(0)
    sizes = {"hidden": 9, "embedding": 5, "image_embedding": 3, "attention_size": 4, **options}
    config = CaptionerNetwork(image_input=image_input, **sizes)  # type: ignore[arg-type]
    return Captioner(config, V, ReadyFeatures(F, image_input.endswith("attention"))).double()


def images(image_input: str, count: int = 3) -> torch.Tensor:
    torch.manual_seed(1)
    shape = (count, P, F) if image_input.endswith("attention") else (count, F)
    return torch.randn(shape, dtype=torch.float64)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("image_input", INPUTS)
def test_the_scan_and_single_steps_give_the_same_logits(image_input: str, cell: str, layers: int) -> None:
    model = network(image_input, cell=cell, layers=layers).eval()
    tokens = torch.tensor([[V + 1] * 3, [0, 1, 2], [3, 4, 5], [6, 6, 0]])
    whole, _ = model(images(image_input), tokens)
    encoder, step = (model.functions()[name] for name in ("encoder", "step"))
    carried = dict(zip(encoder.outputs, encoder.call(images(image_input)), strict=True))
    for t, step_tokens in enumerate(tokens):
        read = [carried[port.name] for port in step.inputs[1:]]
        found = dict(zip(step.outputs, step.call(step_tokens, *read), strict=True))
        carried = {name: found.get(f"new_{name}", part) for name, part in carried.items()}
        logits = found["logits"]
        assert torch.allclose(logits, whole[t], atol=1e-12)
    assert whole.shape == (4, 3, V + 1)


def test_every_step_is_the_equation_of_the_literature() -> None:
    """h_t = tanh(W_hh h_{t-1} + W_xh x_t + W_ih v + b), with W_ih (H, F) as one matrix."""
    model = network("every-step", cell="rnn", image_embedding=0).eval()
    v, tokens = images("every-step"), torch.tensor([[V + 1] * 3, [0, 1, 2], [3, 4, 5]])
    cell = model.recurrent.cells[0]
    W_xh, W_ih = cell.weight_ih[:, :5], cell.weight_ih[:, 5:]
    h, outputs = torch.zeros(3, 9, dtype=torch.float64), []
    for x in model.embedding(tokens):
        h = torch.tanh(h @ cell.weight_hh.T + x @ W_xh.T + v @ W_ih.T + cell.bias_ih + cell.bias_hh)
        outputs.append(model.output(h))
    assert W_ih.shape == (9, F)
    assert torch.allclose(torch.stack(outputs), model(v, tokens)[0], atol=1e-12)


def test_first_input_is_read_before_start() -> None:
    model = network("first-input").eval()
    v, tokens = images("first-input"), torch.tensor([[V + 1] * 3, [0, 1, 2]])
    assert model.image is not None
    inputs = torch.cat([model.image(v)[None], model.embedding(tokens)])
    outputs, _ = model.recurrent(inputs)
    assert torch.allclose(model.output(outputs[1:]), model(v, tokens)[0], atol=1e-12)


def test_initial_state_comes_from_the_image_alone() -> None:
    model = network("initial-state", cell="lstm", layers=2).eval()
    v = images("initial-state")
    assert model.image is not None
    values = model.image(v)
    h, c = model.begin(v).recurrent
    # Layer by layer, h before c.
    assert torch.equal(h[0], values[:, :9]) and torch.equal(c[0], values[:, 9:18])
    assert torch.equal(h[1], values[:, 18:27]) and torch.equal(c[1], values[:, 27:])


def test_attention_is_the_equation_of_show_attend_and_tell() -> None:
    torch.manual_seed(0)
    attention = AttentionOverImage(3, 9, 4, 5).double()
    hidden, grid = torch.randn(2, 9).double(), torch.randn(2, P, 3).double()
    z, alpha = (part[:, 0] for part in attention(hidden[:, None], grid, attention.project(grid)))
    for b in range(2):
        e = torch.stack(
            [
                attention.score.weight[0]
                @ torch.tanh(
                    attention.key.weight @ a + attention.key.bias + attention.query.weight @ hidden[b]
                )
                for a in grid[b]
            ]
        )
        expected = torch.softmax(e, 0)
        beta = torch.sigmoid(attention.gate.weight[0] @ hidden[b] + attention.gate.bias)
        assert torch.allclose(alpha[b].double(), expected, atol=1e-6)
        assert torch.allclose(z[b], beta * (expected @ grid[b]), atol=1e-6)


def test_the_penalty_is_zero_where_every_place_was_looked_at_once() -> None:
    even = torch.full((P, 2, P), 1 / P)  # P steps, each place 1/P a step
    counts = torch.ones(P, 2, dtype=torch.bool)
    assert doubly_stochastic_penalty(even, counts).item() == pytest.approx(0)
    # One place for all P steps: it was looked at P times, the others never.
    fixed = torch.zeros(P, 2, P)
    fixed[..., 0] = 1
    assert doubly_stochastic_penalty(fixed, counts).item() == pytest.approx((1 - P) ** 2 + P - 1)
    # A step that does not count is as if it were not there: half of the captions look at nothing.
    counts[:, 1] = False
    assert doubly_stochastic_penalty(fixed, counts).item() == pytest.approx(((1 - P) ** 2 + P - 1 + P) / 2)


@pytest.mark.parametrize("image_input", INPUTS)
def test_every_parameter_learns(image_input: str) -> None:
    model = network(image_input)
    tokens = torch.tensor([[V + 1] * 3, [0, 1, 2], [3, 4, 5]])
    logits, _ = model(images(image_input), tokens)
    logits[:, :, 2].sum().backward()
    idle = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not idle


def writer_of(model: Captioner) -> CaptionWriter:
    return CaptionWriter(TorchNetwork(model.float()), V)


def test_start_is_never_written() -> None:
    assert network("every-step").output.out_features == V + 1  # the words and END


@pytest.mark.parametrize("image_input", INPUTS)
def test_an_image_is_described_the_same_in_any_company(image_input: str) -> None:
    writer = writer_of(network(image_input))
    several = images(image_input).numpy()
    together, state = writer.begin(several)
    alone, own = writer.begin(several[1:2])
    assert together[1] == pytest.approx(alone[0], abs=1e-6)
    # The state of row 1 goes on where row 1 was, after a selection too.
    picked = writer.select(state, np.array([1]))
    tokens = np.array([3])
    assert writer.feed(tokens, picked)[0] == pytest.approx(writer.feed(tokens, own)[0], abs=1e-6)


def test_the_log_probability_is_that_of_the_steps() -> None:
    writer = writer_of(network("every-step"))
    image, tokens = images("every-step", 1).numpy(), np.array([2, 5, V])
    logits, state = writer.begin(image)
    total = 0.0
    for token in tokens:
        logs = torch.log_softmax(torch.from_numpy(logits[0]), -1)
        total += float(logs[token])
        logits, state = writer.feed(np.array([token]), state)
    assert writer.log_probability(image, tokens) == pytest.approx(total, abs=1e-5)


def test_attention_of_a_caption_has_a_map_for_each_token() -> None:
    writer = writer_of(network("attention"))
    alpha = writer.attention(images("attention", 1).numpy(), np.array([2, 5, V]))
    assert alpha is not None and alpha.shape == (3, P)
    assert alpha.sum(1) == pytest.approx(np.ones(3), abs=1e-6)
    assert writer_of(network("every-step")).attention(images("every-step", 1).numpy(), np.array([2])) is None


def test_late_attention_is_the_equation_of_the_literature() -> None:
    """h_t = RNN(x_t, h_{t-1}); alpha_t = softmax(w tanh(W_v V + W_g h_t)); what is read out has both."""
    model = network("late-attention", cell="rnn").eval()
    v, tokens = images("late-attention"), torch.tensor([[V + 1] * 3, [0, 1, 2]])
    attention, cell = model.attention, model.recurrent.cells[0]
    assert attention is not None and model.image is not None and model.initial is not None
    grid = torch.relu(model.image(v))
    h = model.initial(grid.mean(1))
    logits, alphas = model(v, tokens)
    for t, x in enumerate(model.embedding(tokens)):
        h = torch.tanh(x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh)
        scores = attention.score(torch.tanh(attention.key(grid) + attention.query(h)[:, None])).squeeze(-1)
        alpha = torch.softmax(scores.float(), -1)
        torch.testing.assert_close(alphas[t], alpha)
        z = torch.sigmoid(attention.gate(h)) * (alpha[..., None] * grid).sum(1)
        read = x + attention.hidden_out(h) + attention.context_out(z)
        torch.testing.assert_close(logits[t], model.output(read), atol=1e-6, rtol=1e-6)


def test_late_attention_knows_the_word_just_read() -> None:
    for image_input, depends in (("late-attention", True), ("attention", False)):
        model = network(image_input).eval()
        first, second = (
            model(images(image_input), torch.tensor([[V + 1] * 3, [word] * 3]))[1] for word in (0, 1)
        )
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1]) != depends


def test_dropout_draws_in_training_only() -> None:
    model = network("every-step", feature_dropout=0.5, input_dropout=0.5, output_dropout=0.5)
    tokens = torch.tensor([[V + 1] * 3, [0, 1, 2]])
    v = images("every-step")
    assert not torch.equal(model(v, tokens)[0], model(v, tokens)[0])
    model.eval()
    assert torch.equal(model(v, tokens)[0], model(v, tokens)[0])


def test_locked_dropout_hides_the_same_units_at_every_step() -> None:
    model = network("every-step", locked_dropout=True, input_dropout=0.5)
    dropped = model._drop(torch.ones(6, 3, 50, dtype=torch.float64), 0.5)
    assert (dropped == dropped[0]).all() and 0 < (dropped[0] == 0).double().mean() < 1


def test_without_attention_the_scan_runs_on_the_fast_kernel() -> None:
    model = network("every-step", cell="lstm")
    inputs = torch.zeros(4, 2, model.recurrent.input_size, dtype=torch.float64)
    assert [kernel.name for kernel in model.recurrent.kernel_for(inputs)] == ["torch"]
