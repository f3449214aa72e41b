"""The translator: its fast path against the plain steps, masks, batches, and what it can learn."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from throughtime.tasks.translator.model import Translator
from throughtime.tasks.translator.options import TranslatorNetwork

VOCABULARY = 7
OPTIONS: dict[str, Any] = {
    "hidden": 6,
    "embedding": 5,
    "dropout": 0.0,
    "input_dropout": 0.0,
    "output_dropout": 0.0,
}
KINDS: dict[str, dict[str, Any]] = {
    "none": {"attention": "none"},
    "luong": {"attention": "luong"},
    "luong dot": {"attention_score": "dot"},
    "luong, input feeding": {"input_feeding": True},
    "bahdanau": {"attention": "bahdanau"},
}
CELLS: dict[str, dict[str, Any]] = {
    "lstm": {"cell": "lstm"},
    "gru": {"cell": "gru"},
    "rnn": {"cell": "rnn"},
    "two layers": {"layers": 2},
    "deeper decoder": {"layers": 1, "decoder_layers": 3},
    "layer norm": {"layer_norm": True},
    "projection": {"projection": 4, "encoder_hidden": 5},
    "zoneout": {"zoneout": 0.2},
    "one direction": {"bidirectional": False},
    "untied": {"tie_weights": False},
}


def translator(shared: bool = False, **options: Any) -> Translator:
    torch.manual_seed(1)
    config = TranslatorNetwork(**{**OPTIONS, **options})
    return Translator(config, VOCABULARY, VOCABULARY, shared).double().eval()


def pairs(source_lengths: list[int], steps: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    B = len(source_lengths)
    source = torch.randint(VOCABULARY, (max(source_lengths), B), generator=generator)
    target = torch.randint(VOCABULARY, (steps, B), generator=generator)
    target[0] = VOCABULARY + 1
    return source, torch.tensor(source_lengths), target


def step_by_step(model: Translator, source, lengths, target) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The definition: one `Decoder.step` after the other."""
    memory, state = model.encode(source, lengths)
    readouts, attentions = [], []
    for token in target:
        readout, weights, state = model.decoder.step(model.target_embedding(token), state, memory)
        readouts.append(readout)
        attentions.append(weights)
    return torch.stack(readouts), None if attentions[0] is None else torch.stack(attentions, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELLS)
def test_a_whole_target_is_read_as_step_by_step(kind, cell):
    if kind == "luong dot" and cell in ("projection", "one direction"):
        pytest.skip("the encoder is not as wide as the decoder")
    model = translator(**KINDS[kind], **CELLS[cell])
    source, lengths, target = pairs([5, 2, 3])
    results = []
    for run in (model, lambda *batch: step_by_step(model, *batch)):
        model.zero_grad()
        readouts, attention = run(source, lengths, target)
        model.logits(readouts).log_softmax(-1)[..., 3].sum().backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        results.append((readouts.detach(), attention, gradients))
    (fast, fast_attention, fast_gradients), (plain, plain_attention, plain_gradients) = results
    torch.testing.assert_close(fast, plain)
    if plain_attention is not None:
        torch.testing.assert_close(fast_attention, plain_attention)
    assert fast_gradients.keys() == plain_gradients.keys()
    for name, gradient in plain_gradients.items():
        torch.testing.assert_close(fast_gradients[name], gradient, msg=lambda m, name=name: f"{name}: {m}")


def test_every_parameter_gets_a_gradient():
    for options in KINDS.values():
        model = translator(**options, layers=2)
        source, lengths, target = pairs([5, 3])
        model.logits(model(source, lengths, target)[0]).log_softmax(-1)[..., 0].sum().backward()
        assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_is_read_alike_alone_and_in_a_batch_with_longer_ones(kind):
    model = translator(**KINDS[kind])
    source, lengths, target = pairs([6, 2, 4])
    together, attention = model(source, lengths, target)
    for row, length in enumerate(lengths.tolist()):
        alone, alone_attention = model(
            source[:length, row : row + 1], lengths[row : row + 1], target[:, row : row + 1]
        )
        torch.testing.assert_close(together[:, row : row + 1], alone)
        if attention is not None:
            torch.testing.assert_close(attention[row, :, :length], alone_attention[0])
            assert (attention[row, :, length:] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_readout_does_not_see_the_tokens_after_it(kind):
    model = translator(**KINDS[kind])
    source, lengths, target = pairs([5, 5])
    other = target.clone()
    other[3] = (other[3] + 1) % VOCABULARY
    torch.testing.assert_close(
        model(source, lengths, target)[0][:3], model(source, lengths, other)[0][:3], rtol=0, atol=0
    )


def test_logits_of_chosen_places_are_those_of_all_places():
    model = translator()
    source, lengths, target = pairs([5, 3])
    readouts, _ = model(source, lengths, target)
    where = torch.tensor([[True, True], [True, False], [False, False], [True, False]])
    torch.testing.assert_close(model.logits(readouts, where), model.logits(readouts)[where])
    assert model.logits(readouts).shape == (4, 2, VOCABULARY + 1)


def test_weights_are_shared_where_they_should_be():
    def parameters(shared: bool, **options: Any) -> int:
        return sum(p.numel() for p in translator(shared, **options).parameters())

    table, E, H = (VOCABULARY + 2) * 5, 5, 6
    assert parameters(shared=False) - parameters(shared=True) == table
    # Untied, the readout is as wide as the hidden state: its own layer and the output layer grow.
    untied = (H - E) * (2 * H + 1) + (VOCABULARY + 1) * H
    assert parameters(shared=True, tie_weights=False) - parameters(shared=True) == untied


def test_the_decoder_begins_where_the_encoder_ended():
    # Without attention the source reaches the decoder through its first state only.
    model = translator(attention="none")
    source, lengths, target = pairs([5, 5])
    readouts, _ = model(source, lengths, target)
    swapped, _ = model(source.flip(1), lengths, target.flip(1))
    torch.testing.assert_close(readouts.flip(1), swapped)
    other = source.clone()
    other[0, 0] = (other[0, 0] + 1) % VOCABULARY
    assert not torch.allclose(model(other, lengths, target)[0][0, 0], readouts[0, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_scheduled_sampling_at_rate_one_never_reads_the_target(kind):
    model = translator(**KINDS[kind])
    source, lengths, target = pairs([5, 3])
    other = target.clone()
    other[1:] = (other[1:] + 1) % VOCABULARY
    results = []
    for read in (target, other):
        torch.manual_seed(3)
        results.append(model(source, lengths, read, 1.0)[0])
    torch.testing.assert_close(*results, rtol=0, atol=0)
    assert not torch.allclose(results[0], model(source, lengths, target)[0])


def test_scheduled_sampling_reads_what_the_model_finds_probable():
    model = translator()
    with torch.no_grad():
        model.output_bias.fill_(-50.0)
        model.output_bias[4] = 50.0
    source, lengths, target = pairs([5, 3])
    sampled = model(source, lengths, target, 1.0)[0]
    always_four = torch.cat([target[:1], torch.full_like(target[1:], 4)])
    torch.testing.assert_close(sampled, model(source, lengths, always_four)[0])


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_dropout_draws_in_training_only(kind, locked):
    model = translator(
        **{**KINDS[kind], "dropout": 0.5, "input_dropout": 0.5, "layers": 2, "locked_dropout": locked}
    )
    batch = pairs([5, 3])
    torch.testing.assert_close(model(*batch)[0], model(*batch)[0], rtol=0, atol=0)
    model.train()
    assert not torch.allclose(model(*batch)[0], model(*batch)[0])


def test_mixed_precision_runs_every_kind():
    for options in KINDS.values():
        model = translator(**options).float().train()
        with torch.autocast("cpu", torch.bfloat16):
            readouts, attention = model(*pairs([5, 3]))
            logits = model.logits(readouts)
        logits.float().log_softmax(-1)[..., 0].sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())
        if attention is not None:
            torch.testing.assert_close(attention.sum(-1), torch.ones(2, 4))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_attention_learns_to_reverse(kind):
    # A sequence backwards: each word has its place, so a model with attention has to find it.
    torch.manual_seed(0)
    config = TranslatorNetwork(**{**OPTIONS, "hidden": 32, "embedding": 16, **KINDS[kind]})
    model = Translator(config, VOCABULARY, VOCABULARY).train()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    loss = torch.tensor(0.0)
    for _ in range(150):
        source = torch.randint(VOCABULARY, (5, 64))
        target = source.flip(0)
        read = torch.cat([torch.full((1, 64), model.start), target[:-1]])
        logits = model.logits(model(source, torch.full((64,), 5), read)[0])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.15
