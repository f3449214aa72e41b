"""Measures what the pictures show, and keeps it in measured.json. Takes about ten minutes on two cores.

    python docs/pictures/measure.py                   everything
    python docs/pictures/measure.py samples neuron    only these parts

The part "lesson" is what `benchmarks/lesson.py --json` writes.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import throughtime as tt
from throughtime.demos import demo_named
from throughtime.demos.program import write_corpus
from throughtime.inspection.neurons import rank_units
from throughtime.inspection.report import hidden_states
from throughtime.tasks.captioner.run import CaptionerRun
from throughtime.tasks.forecaster.run import ForecasterRun
from throughtime.tasks.language_model.run import LanguageModelRun
from throughtime.training.notebook import Curve, NotebookProgress

HERE = Path(__file__).parent
MEASURED = HERE / "measured.json"
_QUOTED = r"\"[^\"\n]*\"|'[^'\n]*'"
_SMALL = {"layers": 1, "dropout": 0.0, "output_dropout": 0.0, "threads": 1, "tensorboard": False}


def clipping(work: Path) -> Any:
    """The block of the tutorial that trains an RNN with and without clipping."""
    page = (HERE.parent / "tutorial.md").read_text(encoding="utf-8")
    (block,) = [text for text in re.findall(r"```python\n(.*?)```", page, re.S) if "def train_rnn" in text]
    (work / "python.txt").write_text("")
    write_corpus(work / "python.txt", 20_000)
    names: dict[str, Any] = {"torch": torch, "tt": tt}
    exec(compile(block.replace('"python.txt"', repr(str(work / "python.txt"))), "tutorial", "exec"), names)
    found = {}
    for key, clip in (("free", None), ("clipped", 1.0)):
        losses, norms = names["train_rnn"](clip)
        found[key] = {"loss": [round(x, 4) for x in losses], "norm": [float(f"{x:.4g}") for x in norms]}
    return found


def samples(work: Path) -> Any:
    """A character model after several epochs: its loss on the text that it learns, and what it writes."""
    write_corpus(work / "samples.txt", 120_000)
    options = {**_SMALL, "hidden": 128, "embedding": 32, "chunk": 32, "batch": 8, "schedule": "constant"}
    text = (work / "samples.txt").read_text()
    alphabet = "".join(sorted(set(text)))
    found = []
    for epochs in (0.05, 0.2, 1, 4, 12):
        # Whole epochs are the unit of training, so a shorter one reads a shorter text.
        part, folder = work / f"part-{epochs}.txt", work / f"samples-{epochs}"
        part.write_text(alphabet + text[: int(len(text) * min(epochs, 1))])
        if not (folder / "model.safetensors").exists():
            tt.train(part, out=folder, epochs=max(int(epochs), 1), learning_rate=4e-3,
                     validation=str(work / "samples.txt"), **options)  # fmt: skip
        last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
        written = LanguageModelRun.open(folder).sample("def ", length=300, temperature=0.6, seed=4)
        # A picture has no room for deep indentation.
        written = re.sub(r"(?m)^ {5,}", "    ", written)
        lines = [line for line in written.split("\n") if line.strip()][:3]
        found.append(
            {
                "updates": last["step"],
                "loss": round(last["val_loss"], 4),
                "text": "\n".join(line if len(line) <= 62 else line[:61] + "…" for line in lines),
            }
        )
    return found


def neuron(work: Path) -> Any:
    """The unit that best tells text inside quotation marks, on text that the model has not read."""
    run = _language_model(work)
    hidden, ids = hidden_states(run.model, run.held_out_tokens(), 40_000)
    text = "".join(run.tokenizer.token_text(int(token)) for token in ids.flat)
    hidden = hidden.reshape(-1, hidden.shape[-1])
    (probe,) = rank_units(hidden, text, properties={"inside quotation marks": _QUOTED})
    unit, area, is_on = probe.units[0]
    values = hidden[:, unit] * (1 if is_on else -1)
    shown, kept = _quoted_lines(text, lines=5, width=76)
    scale = np.abs(values[kept]).max()
    return {
        "unit": unit,
        "auc": round(area, 4),
        "text": shown,
        # A line's end has no place of its own in the picture.
        "values": [0.0 if index < 0 else round(float(values[index] / scale), 2) for index in kept],
    }


def gates(work: Path) -> Any:
    """The forget gates of a few units over a line of text."""
    run = _language_model(work)
    tokens = run.held_out_tokens()
    text = "".join(run.tokenizer.token_text(int(token)) for token in tokens[:60_000])
    shown, kept = _quoted_lines(text, lines=1, width=100)
    start, stop = kept[0], kept[-1] + 1
    model = run.model
    cell = model.recurrent.cells[0]
    with torch.no_grad():
        state, rows = cell.initial_state(1, model.embedding.weight), []
        for token in torch.tensor(np.asarray(tokens[max(start - 200, 0) : stop], dtype=np.int64)):
            projected = cell.project(model.embedding(token[None]))
            rows.append(cell.gates(projected, state)["forget gate"][0].numpy())
            _, state = cell.step(projected, state)
    values = np.stack(rows)[-(stop - start) :]
    # Two units that hardly ever let go, and those that differ most from step to step.
    units = [*map(int, np.argsort(-values.mean(0))[:2]), *map(int, np.argsort(-values.std(0))[:6])]
    return {"units": units, "text": shown, "values": values[:, units].T.round(2).tolist()}


def _quoted_lines(text: str, lines: int, width: int) -> tuple[str, list[int]]:
    """The lines with the most short quotations, without their common indentation.

    Returns:
        The text, and where each of its characters stands in `text`; -1 for the ends of lines.
    """
    everything, starts = text.split("\n"), [0]
    for line in everything:
        starts.append(starts[-1] + len(line) + 1)
    best, chosen = 0, 0
    for number in range(len(everything) - lines):
        stretch = everything[number : number + lines]
        if all(line.strip() and len(line) < width and "#" not in line for line in stretch):
            count = sum(len(match[0]) < 24 for line in stretch for match in re.finditer(_QUOTED, line))
            words = sum(len(re.sub(_QUOTED, "", line).strip()) for line in stretch)
            if count > best and words > 12 * lines:
                best, chosen = count, number
    stretch = everything[chosen : chosen + lines]
    indent = min(len(line) - len(line.lstrip()) for line in stretch)
    kept: list[int] = []
    for number, line in enumerate(stretch):
        kept += [starts[chosen + number] + column for column in range(indent, len(line))]
        kept.append(-1)
    return "\n".join(line[indent:] for line in stretch), kept[:-1]


def attention(work: Path) -> Any:
    """A scene that the captioner has not seen, its caption, and where it looked for each word."""
    demo = demo_named("captioning")
    source = demo.write(work / "scenes", 1)
    options = {**demo.OPTIONS, "threads": 1, "tensorboard": False}
    run = CaptionerRun.open(tt.train(source, out=work / "captioner", **options).folder)
    from PIL import Image

    pictures = sorted(source.glob("test_*.png"))[:40]
    for path, caption in zip(pictures, run.caption(pictures), strict=True):
        if caption.text in _references(source, path.name):
            weights = np.asarray(caption.attention)
            side = math.isqrt(weights.shape[1])
            words = [*caption.words, "END"]
            return {
                "pixels": np.asarray(Image.open(path).convert("RGB")).tolist(),
                "words": words,
                "weights": weights.reshape(len(words), side, side).round(3).tolist(),
            }
    raise SystemExit("no caption of an unseen scene is right: train longer")


def terminal(work: Path) -> Any:
    """What a first session prints: train, sample, inspect."""
    write_corpus(work / "python.txt", 300_000)
    shutil.rmtree(work / "runs", ignore_errors=True)
    commands = [
        "throughtime train python.txt --out runs/python --hidden 128 --layers 1 --epochs 4 --batch 8",
        'throughtime sample runs/python --prompt "class " --length 180 --temperature 0.6 --seed 3',
        "throughtime inspect runs/python --lags 100",
    ]
    session = []
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        result = subprocess.run(
            ["sh", "-c", command + " 2>&1"], cwd=work, check=True, stdout=subprocess.PIPE, encoding="utf-8",
            env={**os.environ, "PATH": path, "COLUMNS": "96", "NO_COLOR": "1"},
        )  # fmt: skip
        # Progress bars redraw their line; a recording keeps what stays.
        lines = [line.rstrip() for line in result.stdout.split("\n") if not re.match(r"epoch \d+/", line)]
        session.append((command, "\n".join(lines).strip("\n")))
    return session


def _references(folder: Path, name: str) -> list[str]:
    import csv

    with (folder / "metadata.csv").open(newline="") as file:
        return [row["caption"] for row in csv.DictReader(file) if row["file_name"] == name]


def _language_model(work: Path) -> LanguageModelRun:
    folder = work / "program"
    if not (folder / "model.safetensors").exists():
        write_corpus(work / "program.txt", 1_000_000)
        tt.train(work / "program.txt", out=folder, hidden=160, embedding=32, chunk=96, batch=16, epochs=4,
                 learning_rate=8e-3, **_SMALL)  # fmt: skip
    return LanguageModelRun.open(folder)


def forecast(work: Path) -> Any:
    """A day of the forecasting demo that the model has not seen, with the week before it."""
    demo = demo_named("forecasting")
    source = demo.write(work / "visitors", 1)
    if not (work / "pool" / "model.safetensors").exists():
        tt.train(source, out=work / "pool", threads=1, tensorboard=False, **demo.OPTIONS)
    run = ForecasterRun.open(work / "pool")
    list(demo.show(run, work / "visitors"))  # which writes one-day.csv, its last 24 rows without visitors
    rows = list(run.forecast(work / "visitors" / "one-day.csv"))
    kept = (work / "visitors" / "one-day.csv").read_text().splitlines()
    past = [float(line.split(",")[1]) for line in kept[1:] if line.split(",")[1]][-72:]
    days = {
        line.split(",")[0]: line.split(",")[1]
        for line in (work / "visitors" / "unseen.csv").read_text().splitlines()
    }
    names = ("low_95", "low_80", "forecast", "high_80", "high_95")
    return {
        "first": rows[0]["time"],
        "past": past,
        **{name: [round(row[name], 2) for row in rows] for name in names},
        "truth": [float(days[row["time"]]) for row in rows],
    }


def notebook(work: Path) -> Any:
    """What a notebook shows of a training on remarks about films, at its end."""
    table = demo_named("sentiment").write(work / "remarks", 1)
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts, labels = [row["text"] for row in rows], [row["label"] for row in rows]
    show = _Kept()
    options = {"tokenizer": "word", "cell": "lstm", "hidden": 32, "epochs": 12, "learning_rate": 5e-3}
    tt.train((texts, labels), out=work / "films", threads=1, tensorboard=False, show=show, **options)
    given = [f"{name}={value!r}" for name, value in options.items()]
    return {
        "code": ["run = tt.train(", f"    (texts, labels), {', '.join(given)}", ")"],
        "said": show.said,
        "status": show.status(),
        "evaluations": show.evaluations[-6:],
        "epochs": options["epochs"],
        "training": [[round(epoch, 4), round(loss, 4)] for epoch, loss in show.curve.training],
        "validation": [[round(epoch, 4), round(loss, 4)] for epoch, loss in show.curve.validation],
    }


class _Kept(NotebookProgress):
    """Keeps what a notebook would show."""

    @property
    def said(self) -> list[str]:
        return self._said

    @property
    def curve(self) -> Curve:
        return self._curve

    @property
    def evaluations(self) -> list[str]:
        return self._evaluations

    def status(self) -> str:
        return self._status()

    def _draw(self, at_once: bool = False) -> None:
        pass


PARTS: dict[str, Callable[[Path], Any]] = {
    function.__name__: function
    for function in (clipping, samples, neuron, gates, attention, forecast, terminal, notebook)
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}, lesson; all by default")
    parser.add_argument("--lesson", type=Path, help="the JSON of benchmarks/lesson.py")
    parser.add_argument("--work", type=Path, help="folder for runs, kept; a temporary one by default")
    arguments = parser.parse_args()
    if arguments.lesson:
        _keep("lesson", json.loads(arguments.lesson.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for name in arguments.parts or ([] if arguments.lesson else PARTS):
            _keep(name, PARTS[name](work))
            print(name, file=sys.stderr)


def _keep(name: str, found: Any) -> None:
    measured = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}
    measured[name] = found
    lines = ",\n".join(
        f"{json.dumps(key)}: {json.dumps(measured[key], sort_keys=True)}" for key in sorted(measured)
    )
    MEASURED.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
