"""What makes a run folder a model of the Hub: config.json, README.md as a model card, tokenizer_config.json.

All three are written from the rest of the folder and never read as truth: config.toml is that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import throughtime
from throughtime.data.sources import Source
from throughtime.data.vocabularies import END_OF_LINE, UNKNOWN_WORD
from throughtime.files import write_atomically
from throughtime.run.history import read_metrics
from throughtime.run.layout import WEIGHTS
from throughtime.run.loss_picture import PICTURE
from throughtime.run.run import Run
from throughtime.run.summary import summary
from throughtime.tasks import TASKS

CONFIG, CARD, TOKENIZER_CONFIG = "config.json", "README.md", "tokenizer_config.json"
# A card that lacks this line was written by somebody, and stays as it is.
MARK = "<!-- Written by Throughtime. Remove this line to keep your own text: it is not written over then. -->"
_LIBRARY = "throughtime"


def write_hub_files(run: Run, name: str = "RUN") -> None:
    """Write the three files of a finished run, anew where it went on.

    Args:
        run: with weights.
        name: by which the card's commands call it.
    Raises:
        OSError: one cannot be written; it names the file.
    """
    write_atomically(run.folder / CONFIG, _json(_config(run)))
    tokenizer = _tokenizer(run)
    if tokenizer is not None:
        write_atomically(run.folder / TOKENIZER_CONFIG, _json(tokenizer))
    if (card := card_of(run, name)) is not None:
        write_atomically(run.folder / CARD, card)


def card_of(run: Run, name: str) -> bytes | None:
    """The card that a run is to have; None where somebody's own is there."""
    path = run.folder / CARD
    if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        return None
    return model_card(run, name).encode()


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


def _config(run: Run) -> dict[str, Any]:
    """What the Hub looks for in config.json, with the options as they are in config.toml."""
    return {
        "model_type": _LIBRARY,
        "architectures": [type(run).__name__.removesuffix("Run")],
        "task": run.task,
        "library_version": throughtime.__version__,
        "fingerprint": f"sha256:{_sha256(run.folder / WEIGHTS)}",
        **_without_folders(run.config.model_dump(exclude={"task"}, exclude_none=True)),
    }


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _without_folders(value: Any) -> Any:
    """Options with the names of files only: where they lay on a machine is nobody's business."""
    if isinstance(value, dict):
        return {name: _without_folders(one) for name, one in value.items()}
    return Path(value).name if isinstance(value, str) and is_elsewhere(value) else value


def is_elsewhere(name: str) -> bool:
    """Whether a name says where on a machine, or on which server, something lies."""
    return Path(name).is_absolute() or "://" in name


def _tokenizer(run: Run) -> dict[str, Any] | None:
    """What `AutoTokenizer` of transformers needs beside tokenizer.json."""
    tokenizer = getattr(run, "tokenizer", None) or getattr(getattr(run, "encoder", None), "tokenizer", None)
    if tokenizer is None or not (run.folder / "tokenizer.json").exists():
        return None
    words = {"unk_token": UNKNOWN_WORD, "eos_token": END_OF_LINE} if tokenizer.kind == "word" else {}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **words,
    }


def model_card(run: Run, name: str = "RUN") -> str:
    """The text of README.md."""
    facts = run.describe()
    source = Source(run.config.source).name or "data in memory"  # without the signature of a URL
    figures = _figures(run, facts)
    lines = [*_header(run, source, figures), MARK, "", f"# {run.folder.resolve().name}", ""]
    lines += [
        f"A {run.task} that learned from {_code(source)} to {TASKS[run.task].summary}. It was trained with "
        f"Throughtime {throughtime.__version__}.",
        "",
        "## Use",
        "",
        "```sh",
        "pip install throughtime",
        run.next_command().partition(": ")[2].replace(str(run.folder), name),
        "```",
        "",
        f"From Python: `throughtime.load({json.dumps(name)})`. Neither needs PyTorch, and no code is in "
        "the folder: weights are safetensors, and program.json says what is computed with them.",
        "",
    ]
    if name == "RUN":
        lines += ["RUN is this folder, or `hf://owner/name` where it is on the Hub.", ""]
    lines += ["## Figures", ""]
    if figures:
        lines += ["| on the data held out of the training | |", "| --- | --- |"]
        lines += [f"| {label.replace('_', ' ')} | {value:.5g} |" for label, value in figures]
        lines += [""]
    else:
        lines += ["The folder has none of held-out data: measure the model with `throughtime eval`.", ""]
    known = [(label, text) for label, text in summary(facts, run.objective) if label in _OF_MODEL]
    lines += ["| | |", "| --- | --- |", *(f"| {label} | {_cell(text)} |" for label, text in known), ""]
    if (run.folder / PICTURE).exists():
        lines += [f"![The losses against the epoch]({PICTURE})", ""]
    lines += ["## Limits", "", *_limits(bool(figures), source), ""]
    return "\n".join(lines)


_OF_MODEL = ("model", "parameters", "learning", "tokenizer", "tokenizers", "alphabet", "labels", "training")


def _limits(has_figures: bool, source: str) -> Iterator[str]:
    yield f"- It knows what is in {_code(source)}, with its errors and its bias, and nothing else."
    if has_figures:
        yield (
            "- The held-out data also chose which weights were kept, so new data will fare a little worse. "
            "Measure on your own: `throughtime eval`."
        )
    yield "- The licence of the model and of its data is not stated here: whoever shares it has to add it."


def _header(run: Run, source: str, figures: list[tuple[str, float]]) -> Iterator[str]:
    """The card's YAML. JSON's strings are YAML's, too."""
    tag = run.pipeline_tag
    yield "---"
    yield f"library_name: {_LIBRARY}"
    if tag is not None:
        yield f"pipeline_tag: {tag}"
    yield "tags:"
    yield f"- {_LIBRARY}"
    yield f"- {run.task}"
    if figures:
        yield "metrics:"
        yield from (f"- {name}" for name, _ in figures)
        yield "model-index:"
        yield f"- name: {json.dumps(run.folder.resolve().name)}"
        yield "  results:"
        yield f"  - task: {{type: {tag or run.task}}}"
        yield f"    dataset: {{name: {json.dumps(source)}, type: {json.dumps(source)}, split: validation}}"
        yield "    metrics:"
        yield from (f"    - {{type: {name}, name: {name}, value: {value!r}}}" for name, value in figures)
    yield "---"


def _figures(run: Run, facts: dict[str, Any]) -> list[tuple[str, float]]:
    """The metrics of the weights that the run kept."""
    measured = [entry for entry in read_metrics(run.folder) if run.objective in entry]
    if run.config.training.keep == "best":
        measured = [entry for entry in measured if entry[run.objective] == facts["best"]]
    if not measured:
        return []
    return [
        (name.removeprefix("val_"), value) for name, value in measured[-1].items() if name.startswith("val_")
    ]


def _code(text: str) -> str:
    """A name as Markdown shows it, whatever is in it."""
    return f"`{_cell(text).replace('`', '')}`"


def _cell(text: str) -> str:
    """A text in a row of a table."""
    return " ".join(text.split()).replace("|", r"\|")
