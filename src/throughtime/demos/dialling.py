"""Telephone numbers by ear: the tones of a dialling phone, and the number, without any word of where.

Tones and pauses have other lengths in each recording, and the line is noisy. No number of the unseen
recordings occurs in training.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.files import write_atomically

if TYPE_CHECKING:
    from throughtime.tasks.transcriber.run import TranscriberRun

SUMMARY = "telephone numbers from the tones of a phone (a text for a sound, without alignment)"
OPTIONS: dict[str, Any] = {
    "task": "transcriber",
    "mel_bands": 24,
    "frame_seconds": 0.032,
    "hidden": 32,
    "layers": 1,
    "epochs": 24,
    "batch": 8,
    "learning_rate": 1e-2,
}

TRAINING, UNSEEN = "recordings", "unseen"
RATE = 4000
_RECORDINGS, _UNSEEN_RECORDINGS = 400, 60
_SHOWN = 8
# Each key has the two tones of its row and its column, in hertz (ITU-T recommendation Q.23).
_ROWS, _COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477)
_KEYS = ("123", "456", "789", "*0#")
_TONES = {
    key: (_ROWS[row], _COLUMNS[column]) for row, keys in enumerate(_KEYS) for column, key in enumerate(keys)
}


def write(folder: Path, seed: int) -> Path:
    """Write recordings/ (400 sounds and metadata.csv) and unseen/ (60 others, of other numbers)."""
    from throughtime.data.audio import write_sound

    generator = np.random.Generator(np.random.PCG64(seed))
    numbers = compose(generator, _RECORDINGS + _UNSEEN_RECORDINGS)
    for name, part in ((TRAINING, numbers[:_RECORDINGS]), (UNSEEN, numbers[_RECORDINGS:])):
        (folder / name).mkdir(parents=True, exist_ok=True)
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(("file_name", "text"))
        for number, text in enumerate(part):
            write_sound(folder / name / f"{number:03}.wav", dial(generator, text), RATE)
            rows.writerow((f"{number:03}.wav", text))
        write_atomically(folder / name / "metadata.csv", table.getvalue().encode())
    return folder / TRAINING


def show(run: TranscriberRun, folder: Path) -> Iterator[str]:
    """What was heard of unseen recordings, beside what was dialled, and how often it is right."""
    for found in islice(run.predict([folder / UNSEEN]), _SHOWN):
        mark = "" if found["text"] == found["truth"] else f"   (dialled: {found['truth']})"
        yield f"{found['input']}  {found['text']}{mark}\n"
    scores = run.evaluate(folder / UNSEEN)
    yield (
        f"\n{scores['cer']:.1%} of the characters wrong (CER) in {scores['recordings']} unseen recordings, "
        f"{scores['right']:.0%} of the numbers right; none among them occurs in training\n"
        f"Try one: throughtime predict {run.folder} {folder / UNSEEN / '000.wav'}\n"
    )


def compose(generator: np.random.Generator, count: int) -> list[str]:
    """Different numbers of one to three groups, such as "*21# 5550142"."""
    numbers: dict[str, None] = {}
    while len(numbers) < count:
        sizes = generator.integers(2, 5, size=generator.integers(1, 4))
        numbers[" ".join("".join(generator.choice(list(_TONES), size=size)) for size in sizes)] = None
    return list(numbers)


def dial(generator: np.random.Generator, text: str) -> NDArray[np.float32]:
    """A number as it sounds, (N,): a tone for each key, a long pause for a space."""
    pieces = [np.zeros(round(RATE * generator.uniform(0.05, 0.2)))]
    loudness = generator.uniform(0.1, 0.4)
    for key in text:
        if key == " ":
            pieces.append(np.zeros(round(RATE * generator.uniform(0.2, 0.35))))
            continue
        clock = np.arange(round(RATE * generator.uniform(0.07, 0.15))) / RATE
        pieces += [
            loudness * sum(np.sin(2 * np.pi * tone * clock) for tone in _TONES[key]),
            np.zeros(round(RATE * generator.uniform(0.05, 0.09))),
        ]
    samples = np.concatenate([*pieces, np.zeros(RATE // 20)])
    noise = generator.uniform(0.005, 0.05) * generator.standard_normal(len(samples))
    return (samples + noise).astype(np.float32)
