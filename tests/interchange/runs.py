"""Run folders as a training leaves them, made in an instant: real files, drawn weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from throughtime.config import resolve
from throughtime.data import Tokenizer
from throughtime.data.features import FeatureSpace
from throughtime.data.labels import Labels
from throughtime.run import CONFIG, WEIGHTS, Run, run_class
from throughtime.tasks.forecaster.prepared import SeriesFile
from throughtime.tasks.forecaster.scaling import Scaling, SeriesFacts
from throughtime.tasks.forecaster.series import Roles
from throughtime.tasks.forecaster.times import Frequency
from throughtime.tasks.word_tagger.spelling import Vocabulary
from throughtime.training.checkpoint import save_tensors

TEXT = "what a film, said the cat to the dog in the hat"


def make_run(folder: Path, task: str, **options: Any) -> Run:
    """A run of the task with these options; every weight is drawn, norms and biases too."""
    config = resolve({"task": task, "source": "data", **options})
    folder.mkdir(parents=True, exist_ok=True)
    config.save(folder / CONFIG)
    {
        "language-model": _language_model,
        "classifier": _classifier,
        "tagger": _tagger,
        "translator": _translator,
        "captioner": _captioner,
        "word-tagger": _word_tagger,
        "forecaster": _forecaster,
    }[task](folder, config)
    run = run_class(task)(folder, config)
    run.load()
    torch.manual_seed(0)
    model = run.build_model()
    for name, tensor in model.state_dict().items():
        if "mean" not in name and "deviation" not in name and "scale" not in name:
            torch.nn.init.normal_(tensor, std=0.3)
    save_tensors(folder / WEIGHTS, model.state_dict(), {})
    return Run.open(folder)


def _language_model(folder: Path, config: Any) -> None:
    Tokenizer.train_on_texts("character", [TEXT]).save(folder / "tokenizer.json")


def _classifier(folder: Path, config: Any) -> None:
    Labels.of(["bad", "fair", "good"]).save(folder / "labels.json")
    if config.data.input == "text":
        Tokenizer.train_on_texts("character", [TEXT]).save(folder / "tokenizer.json")
    else:
        FeatureSpace(("a", "b"), None, (0.5, -1.0), (2.0, 0.25)).save(folder / "features.json")


def _tagger(folder: Path, config: Any) -> None:
    is_video = config.data.image_size is not None
    facts = {
        "labels": ["sit", "stand", "walk"],
        "kind": "video" if is_video else "array",
        "frame_rate": None,
        "mean": None if is_video else [0.5, -1.0],
        "deviation": None if is_video else [2.0, 0.0],
    }
    (folder / "frames.json").write_text(json.dumps(facts))


def _translator(folder: Path, config: Any) -> None:
    if config.data.shared_vocabulary:
        Tokenizer.train_on_texts("character", [TEXT]).save(folder / "tokenizer.json")
        return
    Tokenizer.train_on_texts("character", [TEXT]).save(folder / "source_tokenizer.json")
    Tokenizer.train_on_texts("character", ["abc"]).save(folder / "target_tokenizer.json")


def _word_tagger(folder: Path, config: Any) -> None:
    Labels.of(["O", "B-name", "I-name"]).save(folder / "labels.json")
    Vocabulary(TEXT.split()[:4], sorted(set(TEXT)), True).save(folder / "words.json")


def _forecaster(folder: Path, config: Any) -> None:
    roles = Roles("time", ["load"], known=["event"])
    scaling = Scaling([SeriesFacts("load", 5.0, 2.0, 1.0)], known=1, means=[0.5], deviations=[0.5])
    SeriesFile(roles, Frequency("number", 1.0), scaling, [99]).save(folder / "series.json")


def _captioner(folder: Path, config: Any) -> None:
    Tokenizer.train_on_texts("word", [TEXT]).save(folder / "tokenizer.json")
    grid = config.model.image_input == "attention"
    size = config.data.image_size
    shape = [size, size, 3] if size else [4, 7] if grid else [7]
    (folder / "images.json").write_text(json.dumps({"shape": shape, "longest": 9}))
