"""Small valid files of the sequences that people bring: series, tagged sentences, lines, recordings, tars."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.seeds_files import RATE, WORDS, table, write

# Formats that a table of numbers or texts is written in.
TABLES = ("csv", "tsv", "jsonl", "parquet", "csv.gz")


def make_sequences() -> None:
    """Write them, with paths relative to the current folder; the sounds of `seeds_files` are there."""
    for make in (_series, _sentences, _lines, _targets, _recordings, _beside, _tar):
        make()


def _series() -> None:
    """Hours of a load with a holiday and a kind of hour that are known ahead; two shops below each other."""
    rows: list[dict[str, Any]] = [
        {
            "time": f"2024-01-{1 + hour // 24:02} {hour % 24:02}:00",
            "load": round(10 + 3 * np.sin(hour / 4).item() + hour % 5, 2),
            "price": 0.5 * (hour % 7),
            "holiday": hour // 24 % 2,
            "kind": "sale" if hour % 9 == 0 else "",
        }
        for hour in range(72)
    ]
    for suffix in TABLES:
        table(f"hours.{suffix}", rows)
    table("recent.csv", rows[-20:])
    ahead = [{"time": f"2024-01-04 0{hour}:00", "holiday": 1, "kind": ""} for hour in range(3)]
    table("ahead.csv", ahead)
    shops = [
        {"shop": shop, "day": f"2024-02-{day + 1:02}", "region": region, "sales": (3 * day + size) % 11}
        for shop, region, size in (("a", "north", 1), ("b", "south", 4))
        for day in range(28)
    ]
    for suffix in TABLES:
        table(f"shops.{suffix}", shops)
    items: list[dict[str, Any]] = [
        {"store": store, "item": item, "date": f"{day + 1} Mar 2024", "hour": 12, "sold": (day + store) % 5}
        for store, item in ((1, "tea"), (2, "tea"), (2, "rice"))
        for day in range(24)
    ]
    items[5]["sold"] = "?"
    table("items.csv", items)
    table(
        "seconds.csv", [{"time": 1_700_000_000 + 3600 * n, "load": row["load"]} for n, row in enumerate(rows)]
    )


def _sentences() -> None:
    """A tag for each word, as CoNLL, as CoNLL-U and as lists; word vectors that others trained."""
    names, places = ("Ann", "Bo", "Cy Dee"), ("Rome", "Oslo", "New York")
    found: list[list[tuple[str, str]]] = []
    for name in names:
        for place in places:
            sentence = [("Then", "O")]
            for words, kind in ((name, "person"), ("sees", ""), (place, "place")):
                for number, word in enumerate(words.split()):
                    sentence.append((word, f"{'I' if number else 'B'}-{kind}" if kind else "O"))
            found.append([*sentence, (".", "O")])
    blocks = ("".join(f"{word}\t{tag}\n" for word, tag in sentence) for sentence in found)
    conll = "-DOCSTART- O\n\n" + "\n".join(blocks)
    write("names.conll", conll.encode())
    write("names.conll.gz", gzip.compress(conll.encode(), mtime=0))
    kinds = {"O": "X", "B-person": "NOUN", "I-person": "NOUN", "B-place": "PROPN", "I-place": "PROPN"}
    columns = (
        "".join(
            f"{number}\t{word}\t{word.lower()}\t{kinds[tag]}\t_\t_\t{number - 1}\tdep\t_\t_\n"
            for number, (word, tag) in enumerate(sentence, 1)
        )
        for sentence in found
    )
    header = "# sent_id = 1\n# text = Then\n1-2\tThenAnn" + 8 * "\t_" + "\n"
    write("parts.conllu", (header + "\n".join(columns)).encode())
    rows = [
        {"tokens": [word for word, _ in sentence], "tags": [tag for _, tag in sentence]} for sentence in found
    ]
    for suffix in ("jsonl", "jsonl.gz", "parquet"):
        table(f"names.{suffix}", rows)
    # As pandas writes lists, and as JSON does.
    table("names.csv", rows)
    table("names.tsv", [{name: json.dumps(value) for name, value in row.items()} for row in rows])
    _marks(found)
    write("sentences.txt", b"Then Ann sees Rome.\nBo didn't see U.S. roads\n\n")
    known = ("then", "sees", "ann", "good", "film", *WORDS)
    vectors = "".join(f"{word} {number / 10} -0.5 1e-3\n" for number, word in enumerate(dict.fromkeys(known)))
    write("word.vec", vectors.encode())


def _marks(sentences: list[list[tuple[str, str]]]) -> None:
    """Marks in texts, as doccano, Prodigy and Label Studio export them."""
    rows: list[tuple[str, list[tuple[int, int, str]]]] = []
    for sentence in sentences:
        text, marks = "", list[tuple[int, int, str]]()
        for word, tag in sentence:
            if tag != "O":
                marks.append((len(text), len(text) + len(word), tag[2:]))
            text += f"{word} "
        rows.append((text, marks))
    table("marks.jsonl", [{"text": text, "label": marks} for text, marks in rows])
    named = [
        {"text": text, "label": [dict(zip(("start", "end", "label"), mark, strict=True)) for mark in marks]}
        for text, marks in rows
    ]
    table("marks.parquet", named)
    several = [
        {"text": row["text"], "label": [{**mark, "labels": [mark.pop("label")]} for mark in row["label"]]}
        for row in json.loads(json.dumps(named))
    ]
    write("marks.json", json.dumps(several, indent=1).encode())


def _lines() -> None:
    """Names, each with the country it comes from and a year; lists of events."""
    ends = {"north": "sen", "south": "ini", "east": "ova"}
    rows: list[dict[str, Any]] = [
        {"name": f"{start}{end}", "country": country, "year": 1900.5 + 3 * number}
        for number, start in enumerate(("An", "Bor", "Cel", "Dim", "Est"))
        for country, end in ends.items()
    ]
    for suffix in TABLES:
        table(f"people.{suffix}", rows)
    write("people.txt", "".join(f"{row['name']}\n" for row in rows).encode())
    events = [
        {"events": ["log in", *("view item",) * (number % 3), "log out"], "country": ("FR", "PE")[number % 2]}
        for number in range(12)
    ]
    for suffix in ("jsonl", "parquet"):
        table(f"visits.{suffix}", events)
    table("visits.csv", events)


def _targets() -> None:
    """A number for each text, and several labels for each."""
    scores = [
        {"text": f"{word} {other}", "score": 10.0 + place - 2.5 * number}
        for place, word in enumerate(WORDS)
        for number, other in enumerate(WORDS[:3])
    ]
    things: list[dict[str, Any]] = [
        {"text": f"{row['text']} thing", "label": [word for word in WORDS[:2] if word in str(row["text"])]}
        for row in scores
    ]
    for suffix in TABLES:
        table(f"scores.{suffix}", scores)
    for suffix in ("jsonl", "parquet"):
        table(f"things.{suffix}", things)
    # As NumPy writes lists.
    lists = [f"[{' '.join(repr(label) for label in row['label'])}]" for row in things]
    table(
        "lists.csv", [{"text": row["text"], "label": cell} for row, cell in zip(things, lists, strict=True)]
    )
    table("things.csv", [{**row, "label": "|".join(row["label"])} for row in things])


def _recordings() -> None:
    """Sounds with what they say, and sounds with what is heard when."""
    for folder in ("spoken", "moments"):
        for path in Path("sounds").iterdir():
            if path.suffix != ".csv":
                write(f"{folder}/{path.name}", path.read_bytes())
    names = sorted(path.name for path in Path("spoken").iterdir())
    said = [{"file_name": name, "text": "no" if number % 2 else "oh on"} for number, name in enumerate(names)]
    for suffix in ("csv", "jsonl", "parquet"):
        table(f"spoken/metadata.{suffix}", said)
    heard = [
        {"file_name": name, "start": start, "end": start + 0.05 * (1 + number % 2), "label": "beep"}
        for number, name in enumerate(names)
        for start in (0, 0.1)
    ]
    for suffix in ("csv", "jsonl", "parquet"):
        table(f"moments/metadata.{suffix}", heard)
    write("recordings.txt", b"spoken/0.wav\nspoken/1.flac\n")


def _beside() -> None:
    """Two texts to compare, and a number and a name beside them."""
    rows = [
        {
            "question": f"is it {word}",
            "answer": f"it is {other}",
            "age": 20.5 + number,
            "place": "here" if number % 3 else "there",
            "label": "yes" if word == other else "no",
        }
        for word in WORDS[:3]
        for number, other in enumerate(WORDS[:4])
    ]
    for suffix in TABLES:
        table(f"answers.{suffix}", rows)


def _tar() -> None:
    """Sounds with a label and a column beside them, as WebDataset has them."""
    members: dict[str, bytes] = {}
    for number in range(6):
        tone = np.sin(2 * np.pi * (300 + 500 * (number % 2)) * np.arange(RATE // 8) / RATE)
        members[f"a/{number}.npy"] = _npy(tone.astype(np.float32).reshape(-1, 2)[:24])
        members[f"a/{number}.cls"] = (b"low", b"high")[number % 2]
        members[f"a/{number}.json"] = json.dumps({"speaker": "xy"[number % 2]}).encode()
    for name, format in (("tones.tar", tarfile.USTAR_FORMAT), ("tones.pax.tar", tarfile.PAX_FORMAT)):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
            for path, content in members.items():
                header = tarfile.TarInfo(path)
                header.size = len(content)
                if format == tarfile.PAX_FORMAT:
                    header.pax_headers = {"comment": "é"}
                archive.addfile(header, io.BytesIO(content))
        write(name, buffer.getvalue())
    write("tones.tar.gz", gzip.compress(Path("tones.tar").read_bytes(), mtime=0))


def _npy(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()
