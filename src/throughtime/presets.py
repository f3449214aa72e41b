"""Option sets with known results; docs/results.md has the figures and the commands."""

from __future__ import annotations

from typing import Any

from throughtime.errors import OptionError

PRESETS: dict[str, dict[str, Any]] = {
    # tiny Shakespeare to <= 1.62 nats a character in under five minutes on two cores
    "quick": {
        "hidden": 512,
        "embedding": 128,
        "dropout": 0.2,
        "output_dropout": 0.2,
        "epochs": 3,
        "precision": "auto",
    },
    # tiny Shakespeare to <= 1.50 nats a character in under an hour on two cores
    "shakespeare": {
        "hidden": 512,
        "embedding": 128,
        "dropout": 0.4,
        "output_dropout": 0.4,
        "epochs": 14,
        "precision": "auto",
    },
    # Penn Treebank words. Zaremba, Sutskever and Vinyals 2014, section 4.1, "non-regularized LSTM". Their
    # loss is the sum over the 20 steps of a chunk and ours the mean: their rate 1 and norm 5 are 20 and 0.25.
    "zaremba-small": {
        "tokenizer": "word",
        "hidden": 200,
        "embedding": 200,
        "dropout": 0.0,
        "output_dropout": 0.0,
        "forget_bias": 0.0,
        "initialisation": "uniform",
        "initial_range": 0.1,
        "epochs": 13,
        "batch": 20,
        "chunk": 20,
        "optimizer": "sgd",
        "learning_rate": 20.0,
        "weight_decay": 0.0,
        "schedule": "zaremba",
        "warmup": 0.0,
        "decay": 0.5,
        "decay_after": 4,
        "clip_norm": 0.25,
        "evaluation_streams": 20,
    },
    # what `throughtime demo` runs: a sample that looks like Python after about two minutes
    "demo": {
        "hidden": 256,
        "embedding": 64,
        "dropout": 0.0,
        "output_dropout": 0.0,
        "epochs": 2,
        "learning_rate": 4e-3,
        "precision": "auto",
    },
}


SUMMARIES = {
    "quick": "a megabyte of text in minutes: 2 x 512 LSTM, 3 epochs",
    "shakespeare": "the same model to its best: dropout 0.4, 14 epochs",
    "zaremba-small": 'Penn Treebank words as in Zaremba et al. 2014, "non-regularized": 2 x 200, 20 steps',
    "demo": "what `throughtime demo` runs",
}


def preset(name: str) -> dict[str, Any]:
    """The options of a preset.

    Raises:
        OptionError: there is no preset of that name.
    """
    if name not in PRESETS:
        raise OptionError(f"preset {name!r} is unknown: use {', '.join(PRESETS)}")
    return {"task": "language-model", **PRESETS[name]}
