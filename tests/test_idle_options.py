"""Options that would do nothing are refused, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from throughtime.config import CONFIGS, every_option, resolve
from throughtime.config.idle import idle_options, refuse_idle
from throughtime.demos import DEMOS, demo_named
from throughtime.errors import OptionError
from throughtime.presets import PRESETS, preset


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "gru", "peephole": True}, "--peephole would do nothing: it needs --cell lstm"),
        ({"cell": "rnn", "layer_norm": True}, "--layer-norm would do nothing: it needs --cell lstm"),
        ({"cell": "gru", "projection": 8}, "--projection 8 would do nothing"),
        ({"layers": 1, "dropout": 0.4}, "--dropout 0.4 would do nothing: it needs --layers 2 or more"),
        ({"momentum": 0.9}, "--momentum 0.9 would do nothing: it needs --optimizer sgd"),
        ({"cell": "lstm", "activation": "relu"}, "--activation relu would do nothing: it needs --cell rnn"),
        ({"cell": "lstm", "reset_after": False}, "--no-reset-after would do nothing: it needs --cell gru"),
        ({"cell": "gru", "forget_bias": 2.0}, "it needs --cell lstm or mogrifier"),
        ({"initialisation": "torch", "forget_bias": 2.0}, "it needs --initialisation orthogonal"),
        ({"initial_range": 0.2}, "it needs --initialisation uniform"),
        ({"schedule": "constant", "final_learning_rate": 0.1}, "it needs --schedule cosine"),
        ({"decay": 0.1}, "it needs --schedule zaremba or plateau"),
        ({"vocabulary": 100}, "it needs --tokenizer bpe or word"),
        ({"watch_every": 10}, "it needs --watch gradients"),
        ({"task": "classifier", "input": "vectors", "word_dropout": 0.1}, "it needs texts"),
        ({"task": "classifier", "input": "text", "mel_bands": 20}, "it needs sounds"),
        ({"task": "classifier", "cell": "none", "zoneout": 0.1}, "it needs a recurrent cell"),
        ({"task": "translator", "attention": "none", "attention_score": "dot"}, "it needs --attention luong"),
        ({"task": "captioner", "attention_size": 64}, "it needs --image-input attention"),
        ({"task": "captioner", "rewarded_length": 9}, "it needs --word-reward"),
        ({"task": "tagger", "context": 8}, "it needs --bidirectional"),
        ({"task": "classifier", "input": "text", "segment": 4}, "it needs arrays or sounds"),
        ({"task": "classifier", "input": "text", "input_noise": 0.2}, "it needs numbers"),
        (
            {"task": "classifier", "validation_fraction": 0.0, "early_stopping": 3},
            "--early-stopping 3 would do nothing: it needs something to validate on",
        ),
        ({"validation_fraction": 0.0, "schedule": "plateau"}, "it needs something to validate on"),
        ({"validation_fraction": 0.0, "keep_best": 3}, "it needs something to validate on"),
        ({"average": 1}, "it needs 2 evaluations or more"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as raised:
        refuse_idle(resolve(options), options)
    assert message in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "gru", "peephole": False, "projection": 0},
        {"layers": 1, "dropout": 0.0},
        {"cell": "lstm", "activation": "tanh"},
        {"cell": "lstm", "peephole": True, "projection": 64},
        {"task": "translator", "layers": 1, "dropout": 0.4},
        {"task": "tagger", "cell": "none", "layers": 1, "dropout": 0.4},
        {"optimizer": "sgd", "momentum": 0.9},
        {"task": "classifier", "input": "audio", "segment": 4},
        {"task": "classifier", "validation_fraction": 0.0, "folds": 0, "fold": "1/3", "early_stopping": 3},
    ],
)
def test_what_does_something_or_asks_for_nothing_is_taken(options: dict[str, Any]) -> None:
    refuse_idle(resolve(options), options)


def test_presets_and_demos_ask_for_nothing_in_vain() -> None:
    for options in (*map(preset, PRESETS), *(demo_named(name).OPTIONS for name in DEMOS)):
        refuse_idle(resolve(options), options)


def test_every_rule_names_options_that_exist() -> None:
    known = every_option()
    for task in CONFIGS:
        assert set(idle_options(resolve({"task": task}))) <= set(known)
