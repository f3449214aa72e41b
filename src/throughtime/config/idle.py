"""Options that do nothing beside what else was chosen: refused where a user gives one, and told by `info`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from throughtime.config.options import RunConfig
from throughtime.errors import OptionError
from throughtime.patterns import is_pattern


@dataclass(frozen=True)
class _Rule:
    """When options are idle.

    Args:
        options: their names.
        idle: whether they are, given all options by name.
        needs: what they need, as the end of a sentence.
    """

    options: tuple[str, ...]
    idle: Callable[[dict[str, Any]], bool]
    needs: str


def _cell_is_not(*cells: str) -> Callable[[dict[str, Any]], bool]:
    # Nothing is known of a cell of the user's own; its options are --cell-option, the named ones nobody's.
    return lambda given: given["cell"] not in cells


def _nothing_is_held_out(given: dict[str, Any]) -> bool:
    if given["task"] == "tagger":
        return False  # a column of its metadata may say which clips are
    if given.get("validation_fraction", 1.0) or given.get("folds") or given.get("fold") is not None:
        return False
    return given["validation"] is None


_RULES = (
    _Rule(("activation",), _cell_is_not("rnn"), "--cell rnn: the others have activations of their own"),
    _Rule(("peephole", "projection", "coupled", "layer_norm"), _cell_is_not("lstm"), "--cell lstm"),
    _Rule(("reset_after",), _cell_is_not("gru"), "--cell gru"),
    _Rule(("forget_bias",), _cell_is_not("lstm", "mogrifier"), "--cell lstm or mogrifier"),
    _Rule(
        ("forget_bias",),
        lambda given: given["initialisation"] != "orthogonal",
        "--initialisation orthogonal: the others draw all biases",
    ),
    _Rule(
        ("zoneout", "kernel", "gradient_memory", "learned_initial_state"),
        lambda given: given["cell"] == "none",
        "a recurrent cell",
    ),
    _Rule(
        ("dropout",),
        # A translator drops what its encoder gives out, too; a tagger without a recurrence has another layer.
        lambda given: (
            given["layers"] == 1
            and given["task"] != "translator"
            and not (given["task"] == "tagger" and given["cell"] == "none")
        ),
        "--layers 2 or more: it falls between layers",
    ),
    _Rule(
        ("locked_dropout",),
        lambda given: not any(given.get(name) for name in ("dropout", "input_dropout", "output_dropout")),
        "a dropout above 0",
    ),
    _Rule(("initial_range",), lambda given: given["initialisation"] != "uniform", "--initialisation uniform"),
    _Rule(("momentum",), lambda given: given["optimizer"] != "sgd", "--optimizer sgd: AdamW has its own"),
    _Rule(("final_learning_rate",), lambda given: given["schedule"] != "cosine", "--schedule cosine"),
    _Rule(
        ("decay",),
        lambda given: given["schedule"] not in ("zaremba", "plateau"),
        "--schedule zaremba or plateau",
    ),
    _Rule(("decay_after",), lambda given: given["schedule"] != "zaremba", "--schedule zaremba"),
    _Rule(("patience",), lambda given: given["schedule"] != "plateau", "--schedule plateau"),
    _Rule(
        ("longest_line", "condition_columns", "header", "group_by"),
        lambda given: given["task"] == "language-model" and not given["lines"],
        "--lines",
    ),
    _Rule(
        ("skip_bad", "text_column"),
        lambda given: (
            given["task"] == "language-model"
            and not given["lines"]
            and not is_pattern(given["source"])
            and not is_pattern(given["validation"])
        ),
        "--lines, or a corpus of JSON Lines or Parquet files",
    ),
    _Rule(
        ("chunk", "chunk_mode", "evaluation_streams", "watch", "watch_every"),
        lambda given: bool(given.get("lines")),
        "a text that goes on: with --lines every line is read whole",
    ),
    _Rule(("once_in_group",), lambda given: "group_by" in given and given["group_by"] is None, "--group-by"),
    _Rule(("aggregate",), lambda given: "every" in given and given["every"] is None, "--every"),
    _Rule(("chunk_mode",), lambda given: given["chunk"] == 0, "a --chunk above 0"),
    _Rule(("watch_every",), lambda given: given["watch"] == "none", "--watch gradients"),
    _Rule(
        ("vocabulary",), lambda given: given["tokenizer"] in ("character", "byte"), "--tokenizer bpe or word"
    ),
    _Rule(
        ("embedding_file",),
        lambda given: given["task"] == "classifier" and given["tokenizer"] not in ("word", "auto"),
        "--tokenizer word: other tokens have no vectors",
    ),
    _Rule(("minimum_count",), lambda given: given["tokenizer"] != "word", "--tokenizer word"),
    _Rule(
        (
            "tokenizer",
            "vocabulary",
            "lowercase",
            "errors",
            "embedding",
            "input_dropout",
            "word_dropout",
            "text_column",
            "second_text",
            "embedding_file",
        ),
        lambda given: (
            given["task"] == "classifier" and given.get("input") in ("vectors", "sequences", "audio")
        ),
        "texts",
    ),
    _Rule(
        ("mel_bands", "frame_seconds", "frame_hop"),
        lambda given: given.get("input") in ("vectors", "sequences", "text"),
        "sounds",
    ),
    _Rule(("fill",), lambda given: given.get("input") in ("vectors", "text", "audio"), "arrays"),
    _Rule(
        ("segment", "around", "convolutions"),
        lambda given: given.get("input") in ("vectors", "text"),
        "arrays or sounds",
    ),
    _Rule(("input_noise",), lambda given: given.get("input") == "text", "numbers"),
    _Rule(
        ("columns",),
        lambda given: given["task"] == "transcriber" and given["input"] == "audio",
        "arrays",
    ),
    _Rule(
        ("loss", "quantiles", "interval"),
        lambda given: "target" in given and given["target"] != "number",
        "--target number",
    ),
    _Rule(("quantiles",), lambda given: given["loss"] != "quantile", "--loss quantile"),
    _Rule(("interval",), lambda given: given["loss"] == "quantile", "another --loss than quantile"),
    _Rule(("class_weights",), lambda given: given.get("target") == "number", "labels"),
    _Rule(
        ("background",),
        lambda given: given["task"] == "tagger" and given["target"] != "label",
        "--target label",
    ),
    _Rule(("label_separator",), lambda given: given.get("target") != "labels", "--target labels"),
    _Rule(
        ("character_embedding", "character_features"),
        lambda given: given["characters"] == "none",
        "--characters cnn or lstm",
    ),
    _Rule(("attention_score",), lambda given: given["attention"] != "luong", "--attention luong"),
    _Rule(
        ("attention_size", "attention_penalty"),
        lambda given: given["image_input"] not in ("attention", "late-attention"),
        "--image-input attention or late-attention",
    ),
    _Rule(
        ("image_embedding",),
        lambda given: given["image_input"] not in ("every-step", "attention", "late-attention"),
        "--image-input every-step, attention or late-attention",
    ),
    _Rule(("rewarded_length",), lambda given: not given["word_reward"], "--word-reward"),
    _Rule(
        ("pixels",),
        lambda given: not str(given["image_encoder"] or "").endswith(".onnx"),
        "--image-encoder with an .onnx model",
    ),
    _Rule(
        ("image_encoder", "image_size"),
        lambda given: given["task"] == "captioner" and given["image_features"] is not None,
        "images: --image-features has them as numbers",
    ),
    _Rule(("context",), lambda given: not given.get("bidirectional"), "--bidirectional"),
    _Rule(
        ("highway",),
        lambda given: given["decoder"] == "autoregressive",
        "--decoder direct: each step already sees the value before it",
    ),
    _Rule(("loss",), lambda given: given.get("distribution", "point") != "point", "--distribution point"),
    _Rule(
        ("validation_fraction",),
        lambda given: given["validation"] is not None,
        "no --validation, which takes its place",
    ),
    _Rule(
        ("validation_fraction",),
        lambda given: bool(given.get("folds")) or given.get("fold") is not None,
        "no folds, which hold examples out by turns",
    ),
    _Rule(
        ("early_stopping", "keep_best"),
        _nothing_is_held_out,
        "something to validate on: a --validation-fraction above 0, or --validation",
    ),
    _Rule(
        ("schedule",),
        lambda given: given["schedule"] == "plateau" and _nothing_is_held_out(given),
        "something to validate on: a --validation-fraction above 0, or --validation",
    ),
    _Rule(
        ("folds", "fold"),
        lambda given: given["validation"] is not None,
        "no --validation: it is what they measure on",
    ),
    _Rule(("average",), lambda given: given["average"] == 1, "2 evaluations or more to be a mean"),
    _Rule(("fold",), lambda given: bool(given.get("folds")), "no --folds, which trains them all"),
)


def idle_options(config: RunConfig) -> dict[str, str]:
    """The options that do nothing in a run, each with what it needs to do something."""
    sections = config.sections()
    values = {"task": config.task}
    for name in sections:
        values |= getattr(config, name).model_dump()
    found: dict[str, str] = {}
    for rule in _RULES:
        for option in rule.options:
            if option in values and option not in found and rule.idle(values):
                found[option] = rule.needs
    return found


def refuse_idle(config: RunConfig, given: Iterable[str]) -> None:
    """Refuse options that a user gave, and that would do nothing.

    Args:
        config: the resolved options.
        given: the names of those that the user gave.
    Raises:
        OptionError: one is idle (the message says what it needs). One with its default's value, or switched
            off, asks for nothing and is let pass.
    """
    idle = idle_options(config)
    for name in given:
        section = config.section_of(name)
        if name not in idle or section is None:
            continue
        options = getattr(config, section)
        value = getattr(options, name)
        if value == type(options).model_fields[name].default or not value and name != "reset_after":
            continue
        flag = "--" + name.replace("_", "-")
        shown = flag if value is True else f"--no-{flag[2:]}" if value is False else f"{flag} {value}"
        raise OptionError(f"{shown} would do nothing: it needs {idle[name]}; leave it out")
