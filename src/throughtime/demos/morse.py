"""Morse code by ear: short recordings of a beeping station, and what it sends, without any word of where.

Speed, pitch, loudness and noise differ from recording to recording. No text of the unseen ones occurs in
training.
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

SUMMARY = "Morse code written down from its sound (a text for a recording, without alignment)"
OPTIONS: dict[str, Any] = {
    "task": "transcriber",
    "mel_bands": 16,
    "frame_seconds": 0.03,
    "stack": 2,
    "cell": "gru",
    "hidden": 48,
    "layers": 1,
    "epochs": 16,
    "batch": 16,
    "learning_rate": 1e-2,
}

TRAINING, UNSEEN = "recordings", "unseen"
RATE = 4000
_RECORDINGS, _UNSEEN_RECORDINGS = 700, 60
_SHOWN = 8
# Seconds of a dot: 20 to 30 words a minute.
_DOTS = (0.045, 0.06)
_CODE = {
    "A": ".-", "B": "-...", "C": "-.-.", "D": "-..", "E": ".", "F": "..-.", "G": "--.", "H": "....",
    "I": "..", "J": ".---", "K": "-.-", "L": ".-..", "M": "--", "N": "-.", "O": "---", "P": ".--.",
    "Q": "--.-", "R": ".-.", "S": "...", "T": "-", "U": "..-", "V": "...-", "W": ".--", "X": "-..-",
    "Y": "-.--", "Z": "--..",
}  # fmt: skip


def write(folder: Path, seed: int) -> Path:
    """Write recordings/ (700 sounds and metadata.csv) and unseen/ (60 others, of other texts)."""
    from throughtime.data.audio import write_sound

    generator = np.random.Generator(np.random.PCG64(seed))
    texts = compose(generator, _RECORDINGS + _UNSEEN_RECORDINGS)
    parts = ((TRAINING, texts[:_RECORDINGS]), (UNSEEN, texts[_RECORDINGS:]))
    for name, part in parts:
        (folder / name).mkdir(parents=True, exist_ok=True)
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(("file_name", "text"))
        for number, text in enumerate(part):
            write_sound(folder / name / f"{number:03}.wav", beeps(generator, text), RATE)
            rows.writerow((f"{number:03}.wav", text))
        write_atomically(folder / name / "metadata.csv", table.getvalue().encode())
    return folder / TRAINING


def show(run: TranscriberRun, folder: Path) -> Iterator[str]:
    """What unseen recordings send, beside what the model heard, and how often it is right."""
    for found in islice(run.predict([folder / UNSEEN]), _SHOWN):
        mark = "" if found["text"] == found["truth"] else f"   (sent: {found['truth']})"
        yield f"{found['input']}  {found['text']}{mark}\n"
    scores = run.evaluate(folder / UNSEEN)
    yield (
        f"\n{scores['cer']:.1%} of the characters wrong (CER) in {scores['recordings']} unseen recordings, "
        f"{scores['right']:.0%} of them right to the letter; no text among them occurs in training\n"
        f"Hear one, and what it says: throughtime predict {run.folder} {folder / UNSEEN / '000.wav'}\n"
    )


def compose(generator: np.random.Generator, count: int) -> list[str]:
    """Different texts of two or three groups of letters each."""
    letters = list(_CODE)
    texts: dict[str, None] = {}
    while len(texts) < count:
        sizes = generator.integers(3, 6, size=generator.integers(2, 4))
        texts[" ".join("".join(generator.choice(letters, size=size)) for size in sizes)] = None
    return list(texts)


def beeps(generator: np.random.Generator, text: str) -> NDArray[np.float32]:
    """A text as it sounds, (N,): a dash has three dots, letters are three dots apart, words seven."""
    dot = generator.uniform(*_DOTS)
    keyed: list[tuple[bool, float]] = [(False, generator.uniform(0.05, 0.3))]
    for letter in text:
        if letter == " ":
            keyed.append((False, 4 * dot))
            continue
        for sign in _CODE[letter]:
            keyed += [(True, (3 if sign == "-" else 1) * dot * generator.uniform(0.9, 1.1)), (False, dot)]
        keyed.append((False, 2 * dot))
    keyed.append((False, generator.uniform(0.05, 0.2)))
    envelope = np.concatenate([np.full(round(seconds * RATE), float(on)) for on, seconds in keyed])
    # Keys click; a smooth edge of 5 ms does not.
    envelope = np.convolve(envelope, np.hanning(RATE // 200) / np.hanning(RATE // 200).sum(), mode="same")
    pitch, loudness = generator.uniform(450, 900), generator.uniform(0.1, 0.4)
    tone = np.sin(2 * np.pi * pitch * np.arange(len(envelope)) / RATE)
    noise = generator.uniform(0.005, 0.03) * generator.standard_normal(len(envelope))
    return (loudness * envelope * tone + noise).astype(np.float32)
