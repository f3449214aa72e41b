"""Wrong tables and folders: none trains another task than its owner meant, and each says what to do."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recognition.tables import FLOWERS, PRICES, REVIEWS, SENSORS, TITLES, hours, json_lines, rows, write
from throughtime.data.tables import TABLE_SUFFIXES
from throughtime.errors import DataError, OptionError
from throughtime.recognition import recognise

# The file, what it holds, and what its owner is told; or the task that it is for.
FILES: dict[str, tuple[str, str, str]] = {
    "days that may be months": (
        "sales.csv",
        rows("date", "sales", of=[(f"0{d}/0{d + 1}/2024", d) for d in range(1, 9)]),
        r"01/02/2024 may begin with the day or with the month: say which: --day-first or --no-day-first",
    ),
    "an hour that comes twice": (
        "load.csv",
        rows("time", "load", of=[(t, n) for n, t in enumerate([*hours(40), hours(40)[-1]])]),
        r"1 of 41 times is there already, such as 2016-07-02 15:00:00: keep one row for each time",
    ),
    "a day and a clock": (
        "power.csv",
        rows("Date", "Time", "kW", of=[("2006-12-16", f"17:{n:02}:00", n * 0.5) for n in range(40)]),
        r"where `Time` is the hour of `Date`, use --time-column Date,Time; or",
    ),
    "no label": (
        "reviews.csv",
        rows("review", "stars", of=REVIEWS),
        r"no column `label`; text column: review; number column: stars.*use --text-column review "
        r"--label-column stars, or the same with --target number",
    ),
    "no label, scores": (
        "reviews.csv",
        rows("review", "stars", of=[(f"film {number}", 0.37 * number) for number in range(15)]),
        r"no column `label`; text column: review; number column: stars: use --text-column review "
        r"--label-column stars --target number",
    ),
    "no label, only numbers": (
        "houses.csv",
        rows("rooms", "area", "price", of=[(row[0], 0.5 + row[1], 0.25 + row[2]) for row in PRICES]),
        r"use --label-column rooms, or --label-column price --target number",
    ),
    "no label, only row numbers": (
        "remarks.csv",
        rows("id", "text", of=[(n, f"remark number {n}") for n in range(1, 16)]),
        r"number column: id: add a column with labels",
    ),
    "two texts and a number": (
        "answers.csv",
        rows(
            *("question", "answer", "age", "label"),
            of=[(f"is it number {n}", f"yes it is {n}", 20.5 + n, "ab"[n % 2]) for n in range(12)],
        ),
        r"--columns age reads the numbers only.*--text-column question --second-text answer compares the two",
    ),
    "no label, tabs": (
        "reviews.tsv",
        rows("review", "stars", of=REVIEWS, separator="\t"),
        r"--label-column stars",
    ),
    "no label, JSON": (
        "reviews.jsonl",
        json_lines({"review": "so so", "stars": 3}, {"review": "good", "stars": 5}),
        r"--text-column review --label-column stars",
    ),
    "no label, ndjson": (
        "reviews.ndjson",
        json_lines({"review": "a b", "y": 3}, {"review": "c", "y": 5}),
        r"--label-column y",
    ),
    "no label, semicolons": (
        "reviews.csv",
        rows("review", "stars", of=REVIEWS, separator=";"),
        r"--label-column stars",
    ),
    "other case": (
        "reviews.csv",
        rows("Text", "Label", of=REVIEWS),
        r"--text-column Text --label-column Label",
    ),
    "no header, text": (
        "reviews.csv",
        rows(of=REVIEWS),
        r"line 1 looks like a row.*--no-header .*--label-column 2",
    ),
    "no header, numbers": (
        "iris.csv",
        rows(of=FLOWERS),
        r"line 1 looks like a row.*--no-header --label-column 3",
    ),
    "several series": (
        "sales.csv",
        rows(
            "store", "month", "sales", of=[(s, f"2020-{m:02d}", s * m) for s in (1, 2) for m in range(1, 13)]
        ),
        r"the same times occur again and again.*--series-column store --value-column sales",
    ),
    "tags by two names": (
        "ner.jsonl",
        json_lines({"tokens": ["EU", "rejects"], "pos_tags": [1, 2], "ner_tags": [3, 0]}),
        r"`tokens` holds lists of words, and `pos_tags` and `ner_tags` lists as long: choose.*"
        r"--tag-column ner_tags",
    ),
    "a column a label": (
        "comments.csv",
        rows(
            "comment_text",
            "toxic",
            "threat",
            of=[("you are a bad person", 1, n % 2) for n in range(9)] + [("have a nice day", 0, 0)],
        ),
        r"several labels for an example \(`toxic` and `threat` are 0 or 1.*use --text-column comment_text "
        r"--label-column toxic,threat --target labels",
    ),
    "prices": (
        "houses.csv",
        rows("rooms", "area", "label", of=PRICES),
        r"looks like regression \(`label` has 40 different numbers.*--target number predicts numbers; "
        r"--target label takes each",
    ),
    "prices by name": ("houses.csv", rows("rooms", "area", "label", of=PRICES), r"regression"),
    "scores of texts": (
        "scores.csv",
        rows("text", "label", of=[(f"an essay {n}", n / 7) for n in range(30)]),
        r"looks like regression",
    ),
    "labels that are texts": (
        "summaries.csv",
        rows("text", "label", of=[(f"a long story {n} of it", f"story {n}") for n in range(20)]),
        r"20 different values in 20 rows.*--task translator --source-column text --target-column label",
    ),
    "two texts": (
        "nli.csv",
        rows(
            "premise", "hypothesis", "label", of=[(f"a man {n}", f"a person {n}", n % 3) for n in range(12)]
        ),
        r"--text-column",
    ),
    "a title beside the text": (
        "films.csv",
        rows("title", "text", "label", of=TITLES),
        r"`text` is text, and so is `title`.*--text-column text,title.*--columns text leaves `title` out",
    ),
    "source, target and label": (
        "pairs.csv",
        rows("source", "target", "label", of=[("ein Hund", "a dog", 1), ("zwei", "two", 0)] * 6),
        r"--task translator, or --task classifier",
    ),
    "languages": (
        "pairs.tsv",
        rows("en", "de", of=[(f"a dog {n}", f"ein Hund {n}") for n in range(12)], separator="\t"),
        r"--source-column en --target-column de",
    ),
    "pairs without a header": (
        "pairs.tsv",
        rows(of=[("Go.", "Va !"), ("Run!", "Cours !")] * 5, separator="\t"),
        r"line 1 looks like a row",
    ),
    "translation records": (
        "wmt.jsonl",
        json_lines({"translation": {"en": "a dog", "de": "ein Hund"}}),
        r"no column `label`; JSON objects: translation",
    ),
    "texts alone": (
        "texts.csv",
        rows("text", of=[(f"a line of text {n}",) for n in range(12)]),
        r"no column `label`; text column: text.*\.txt file",
    ),
    "a stream with labels": (
        "gestures.csv",
        rows("timestamp", "x", "y", "label", of=SENSORS),
        r"`timestamp` is a time, and each row has numbers and `label`.*--columns x,y",
    ),
    "marks of words": (
        "spans.jsonl",
        json_lines({"text": "Anna met Bo", "label": [[0, 4], [9, 11]]}),
        r"`label` holds lists of lists, such as \[0, 4\].*for marks in a text, lists such as \[0, 5, ",
    ),
    "premises with lists beside them": (
        "snli.jsonl",
        "".join(
            json_lines(
                {
                    "sentence1": f"it is {n}",
                    "sentence2": f"was it {n}",
                    "gold_label": "ab"[n % 2],
                    "votes": ["a"],
                },
                times=1,
            )
            for n in range(12)
        ),
        r"--second-text sentence2 --label-column gold_label --columns sentence1,sentence2(,|$)",
    ),
    "two questions": (
        "pairs.csv",
        rows(
            "id",
            "question1",
            "question2",
            "is_duplicate",
            of=[(n, f"is it {n}", f"it is {n}", n % 2) for n in range(12)],
        ),
        r"use --text-column question1 --second-text question2 --label-column is_duplicate, or",
    ),
    "a title and a body": (
        "news.csv",
        rows(
            "topic",
            "title",
            "body",
            "user",
            of=[("ab"[n % 2], f"a title {n}", f"it is said {n}", f"u{n // 2}") for n in range(12)],
        ),
        r"use --text-column title,body --label-column topic --columns title,body, or",
    ),
    "a label of another name": (
        "tweets.csv",
        rows(
            "tweet_id",
            "airline_sentiment",
            "text",
            of=[(570306133 + n, "ab"[n % 2], f"it flew {n}") for n in range(12)],
        ),
        r"use --label-column airline_sentiment$",
    ),
    "two languages without a header": (
        "deu.tsv",
        rows(
            of=[(f"go {n}.", f"geh {n}.", f"taken from the sentence number {n} of it") for n in range(12)],
            separator="\t",
        ),
        r"--no-header --source-column 1 --target-column 2$",
    ),
    "JSON Lines by another name": (
        "yelp.json",
        json_lines({"text": "a", "stars": 1}),
        r"call it yelp\.jsonl",
    ),
    "numbers and nothing else": ("X_train.txt", "  1.0e0  2.5\n -3.0  4\n" * 5, r"every line is 2 numbers"),
    "words with slashes": (
        "brown.txt",
        "The/AT jury/NN said/VBD it/PPS ./.\n" * 9,
        r"words with their tags, as in",
    ),
    "questions with labels": (
        "train_5500.txt",
        "".join(f"{label}:{fine} What is it ?\n" for label, fine in [("DESC", "def"), ("HUM", "ind")] * 9),
        r"every line begins with one of 2 labels \(DESC:def, HUM:ind\)",
    ),
    "a category among numbers": (
        "people.csv",
        rows("age", "job", "label", of=[(20 + n, "nurse" if n % 2 else "cook", n % 3) for n in range(12)]),
        r"`job` holds words.*--columns age",
    ),
    "a title above the table": (
        "report.csv",
        "Exported in 2024\n" + rows("text", "label", of=[("good", 1), ("bad", 0)] * 6),
        r"a title or a comment stands above line 2, .* as in tail -n \+2 report\.csv > NEW\.csv$",
    ),
    "months for names": (
        "sales.csv",
        rows("store", "2023-01", "2023-02", "2023-03", of=[(f"s{n}", n, n + 1, n + 2) for n in range(12)]),
        r"times stand in the line of names .*melt\(\['store'\].*--series-column store --value-column value$",
    ),
    "times between spaces": (
        "load.txt",
        "date load\n" + "".join(f"2024-01-{day} {day}\n" for day in range(10, 30)),
        r"every line is times and numbers: make a \.csv of it",
    ),
    "one column of numbers": (
        "load.csv",
        rows("load", of=[(0.5 * n,) for n in range(30)]),
        r"number column: load: to forecast them, add a column of times",
    ),
    "a word in each row": (
        "ner.csv",
        rows(
            "Sentence #",
            "Word",
            "POS",
            "Tag",
            of=[(f"Sentence: {n}", "Bo", "NNP", "B-per") for n in range(12)],
        ),
        r"use --group-by 'Sentence #' --word-column Word --tag-column Tag",
    ),
    "a click in each row": (
        "clicks.csv",
        rows(
            "user_id",
            "event",
            "timestamp",
            of=[(n // 3, "view", f"2024-01-01 10:00:{n:02}") for n in range(12)],
        ),
        r"`user_id` says whose: .*use --lines --group-by user_id --text-column event;",
    ),
    "a step in each row": (
        "har.csv",
        rows("series_id", "x", "surface", of=[(n // 6, 0.1 * n, "ab"[n // 6 % 2]) for n in range(24)]),
        r"the rows of a `series_id` are the steps of one sequence, add --group-by series_id",
    ),
    "a step in each row, and labels": (
        "gestures.csv",
        rows(
            "sequence_id",
            "x",
            "y",
            "label",
            of=[(n // 9, n / 2, n % 4, "ab"[n // 9 % 2]) for n in range(54)],
        ),
        r"`sequence_id` says which rows belong together: .* add --group-by sequence_id; .* --columns x,y$",
    ),
    "what somebody saw at each time": (
        "har.csv",
        rows("time", "x", "activity", of=[(n * 0.5, n % 7, "ab"[n // 20 % 2]) for n in range(60)]),
        r"`activity` says what each step is: to learn that, use --label-column activity; .* --columns x$",
    ),
    "keys and when they were pressed": (
        "keys.jsonl",
        json_lines(*({"keys": ["a", "b"], "times": [0.5, 0.5 + n]} for n in range(20))),
        r"--lines --text-column keys",
    ),
    "numbers alone": (
        "numbers.csv",
        rows("a", "b", of=[(n, n * n) for n in range(30)]),
        r"no column `label`; number columns: a, b",
    ),
    "a header alone": ("empty.csv", "text,label\n", r"no usable rows"),
    "a table called .txt": (
        "ratings.txt",
        rows("id", "document", "label", of=[(n, "good one", n % 2) for n in range(9)], separator="\t"),
        r"by another name.*call it ratings\.tsv",
    ),
    "a CSV called .data": ("iris.data", rows(of=FLOWERS), r"call it iris\.csv"),
    "spaCy's pairs": (
        "marked.json",
        json.dumps([["They live in Seoul", {"entities": [[13, 18, "place"]]}]] * 30),
        r"as spaCy has them: make objects: jq -c '.\[\] . \{text: .\[0\], entities: .\[1\].entities\}'",
    ),
    "commas with tabs in the cells": (
        "promoters.data",
        "".join(f"{'+-'[n % 2]},S{n},\t\t{'acgt' * n}\n" for n in range(1, 31)),
        r"its lines are 3 cells between commas: call it promoters.csv",
    ),
    "devices that report by turns": (
        "iot.csv",
        rows(
            "time", "device_id", "temperature", of=[(t, f"d{n % 3}", n % 7) for n, t in enumerate(hours(60))]
        ),
        r"`device_id` has 3 values again and again: where each is a series of its own, use --series-column "
        r"device_id --value-column temperature; .* --columns temperature$",
    ),
    "ratings": (
        "ratings.csv",
        rows(
            "userId",
            "movieId",
            "rating",
            "time",
            of=[(n // 9, n % 5, n % 4, t) for n, t in enumerate(hours(60))],
        ),
        r"`userId` has 7 values .*--series-column userId --value-column rating; .* --columns rating$",
    ),
    "who left": (
        "churn.csv",
        rows(
            "gender",
            "tenure",
            "churn",
            of=[("fm"[n % 2], n * 0.5, ("no", "yes")[n % 3 == 0]) for n in range(30)],
        ),
        r"use --label-column churn --static-columns gender",
    ),
    "JSON Lines called .txt": (
        "reviews.txt",
        json_lines({"text": "a", "label": 1}),
        r"call it reviews\.jsonl",
    ),
    "labelled lines": (
        "sst.txt",
        "".join(f"{n % 2} what a film number {n}\n" for n in range(20)),
        r"begins with one of 2 labels.*\.tsv",
    ),
    "fastText": (
        "ft.txt",
        "".join(f"__label__{n % 3} some words\n" for n in range(20)),
        r"begins with one of 3 labels",
    ),
    "sktime by another name": (
        "GunPoint_TRAIN.txt",
        "#x\n@problemName GunPoint\n@data\n1,2:a\n",
        r"sktime file.*call it GunPoint_TRAIN\.ts or GunPoint_TRAIN\.arff",
    ),
    "sktime with times": ("a.ts", "@timeStamps true\n@data\n(0,1):a\n", r"a time beside each number"),
    "ARFF in ARFF": (
        "a.arff",
        "@relation r\n@attribute a relational\n@data\n",
        r"line 2: an attribute that is",
    ),
    "ARFF without data": ("a.arff", "@relation r\n@attribute a real\n", r"no line @data"),
    "captions called .txt": (
        "captions.txt",
        rows(
            "image",
            "caption",
            of=[("a.jpg", "a dog, a cat"), ("b.jpg", "a bird"), ("c.jpg", "one, two, three")],
        ),
        r"call it captions\.csv",
    ),
    "one JSON document": ("data.json", '{"a": [{"text": "a", "label": 1}]}', r"one JSON document.*\.jsonl"),
    "a list of no objects": ("data.json", "[1, 2]", r"has no usable rows.*not a JSON object"),
    "a list cut off": ("data.json", '[{"text": "a"', r"data\.json: not JSON"),
    "a spreadsheet": ("data.xlsx", "PK\x03\x04", r"a spreadsheet.*save it as \.csv"),
    "a spreadsheet called .csv": ("data.csv", "PK\x03\x04" + "x" * 99, r"a ZIP archive or a spreadsheet"),
    "a sound": ("beep.wav", "RIFF", r"one sound.*metadata\.csv"),
    "a picture": ("dog.png", "\x89PNG", r"one picture.*metadata\.csv"),
    "an archive": ("data.zip", "PK\x03\x04", r"an archive: unpack it"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_wrong_file_is_told_what_it_is(tmp_path: Path, case: str) -> None:
    name, content, message = FILES[case]
    with pytest.raises(DataError, match=message) as raised:
        recognise(write(tmp_path, name, content))
    assert "\n" not in str(raised.value) and name in str(raised.value)


def folder_of(tmp_path: Path, *names: str, metadata: str = "", table: str = "metadata.csv") -> Path:
    folder = tmp_path / "data"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    folder.mkdir(exist_ok=True)
    if metadata:
        (folder / table).write_text(metadata)
    return folder


FOLDERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "empty": (lambda path: folder_of(path), r"the folder is empty"),
    "photos alone": (
        lambda path: folder_of(path, "a.jpg", "b.jpg"),
        r"2 pictures without metadata\.csv.*file_name,caption",
    ),
    "photos in classes": (
        lambda path: folder_of(path, "cat/a.jpg", "dog/b.jpg"),
        r"2 folders of pictures \(cat, dog\)",
    ),
    "photos with labels": (
        lambda path: folder_of(path, "a.jpg", metadata="file_name,label\na.jpg,cat\nb.jpg,dog\n"),
        r"`file_name` names pictures \(a\.jpg\)",
    ),
    "photos, other columns": (
        lambda path: folder_of(path, "a.jpg", metadata="image,caption\na.jpg,a cat\nb.jpg,a dog\n"),
        r"`image` names pictures \(a\.jpg\).*call `image` file_name, and what is said of each caption",
    ),
    "photos, another table": (
        lambda path: folder_of(path, "a.jpg", metadata="image,caption\na.jpg,a cat\n", table="captions.csv"),
        r"call it metadata\.csv",
    ),
    "sounds alone": (lambda path: folder_of(path, "a.wav", "b.wav"), r"2 sounds.*file_name,label"),
    "parts of the data": (
        lambda path: folder_of(path, "train/a.wav", "test/b.wav"),
        r"parts of the data \(test, train\): name one: .*train$",
    ),
    "parts with classes": (
        lambda path: folder_of(path, "train/pos/1.txt", "test/pos/1.txt"),
        r"parts of the data \(test, train\): name one: .*train$",
    ),
    "texts and sounds": (
        lambda path: folder_of(path, "yes/a.wav", "no/b.wav", "c/c.txt"),
        r"2 folders of sounds \(no, yes\)",
    ),
    "videos alone": (lambda path: folder_of(path, "a.mp4"), r"1 video without.*file_name,labels"),
    "one table": (lambda path: folder_of(path, "a.csv"), r"one table: name the table: .*a\.csv"),
    "series alone": (lambda path: folder_of(path, "a.csv", "b.csv"), r"2 tables without.*file_name,label"),
    "texts of one class": (lambda path: folder_of(path, "pos/1.txt"), r"a folder without metadata\.csv"),
    "texts alone": (lambda path: folder_of(path, "a.txt", "b.txt"), r"2 texts.*name one file"),
    "captions and labels": (
        lambda path: folder_of(path, metadata="file_name,caption,label\na.jpg,a cat,1\n"),
        r"--task captioner, or --task classifier",
    ),
    "labels in metadata": (
        lambda path: folder_of(path, "a.wav", metadata="file_name,labels\na.wav,yes|no\n"),
        r"no column `label`",
    ),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_wrong_folder_is_told_what_it_is(tmp_path: Path, case: str) -> None:
    make, message = FOLDERS[case]
    with pytest.raises(DataError, match=message) as raised:
        recognise(make(tmp_path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("task", "name", "message"),
    [
        ("language-model", "folder", r"is a folder, and a language-model reads one text file"),
        ("translator", "folder", r"is a folder, and a translator reads a table"),
        ("captioner", "a.txt", r"is a text file, and a captioner reads a folder of pictures"),
        ("word-tagger", "folder", r"is a folder, and a word-tagger reads a CoNLL file"),
        ("word-tagger", "a.csv", r"no column 'tokens'.*--word-column"),
        ("tagger", "a.txt", r"is a text file, and a tagger reads a folder of videos"),
        ("classifier", "a.txt", r"is a text file, and a classifier reads a table"),
        ("captioner", "a.csv", r"no column `file_name` and `caption`"),
        ("tagger", "a.csv", r"no column `file_name` and `labels`"),
        ("translator", "a.csv", r"no column `source` and `target`"),
        ("language-model", "a.parquet", r"a\.parquet"),
    ],
)
def test_a_file_for_a_folder_and_the_other_way_round(
    tmp_path: Path, task: str, name: str, message: str
) -> None:
    if name == "folder":
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("text")
    elif name == "a.parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / name)
    else:
        (tmp_path / name).write_text(rows("review", "stars", of=REVIEWS) if name == "a.csv" else "a text\n")
    with pytest.raises(DataError, match=message):
        recognise(tmp_path / name, {"task": task})


def test_a_table_is_prose_only_where_its_owner_says_so(tmp_path: Path) -> None:
    content = {".jsonl": json_lines({"a": 1}), ".ndjson": json_lines({"a": 1})}
    for suffix in TABLE_SUFFIXES:
        if suffix == ".parquet":
            continue
        path = write(tmp_path, f"t{suffix}", content.get(suffix, rows("a", "b", of=[(1, "x")] * 9)))
        with pytest.raises(DataError):
            recognise(path)
        found = recognise(path, {"task": "language-model"})
        assert found.task == "language-model" and "because --task language-model says so" in found.why
        with gzip.open(tmp_path / f"t{suffix}.gz", "wb") as file:
            file.write(path.read_bytes())
        with pytest.raises(DataError):
            recognise(tmp_path / f"t{suffix}.gz")


def test_a_parquet_of_prices_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    numbers = np.arange(40) * 1.5
    tables = {
        "prices": {"area": numbers, "label": numbers * 2 + 0.1},
        "reviews": {"review": ["a b c", "d e"] * 5, "stars": [1, 2] * 5},
    }
    for name, message in (
        ("prices", "regression"),
        ("reviews", "--label-column stars"),
    ):
        parquet.write_table(pyarrow.table(tables[name]), tmp_path / f"{name}.parquet")
        with pytest.raises(DataError, match=message):
            recognise(tmp_path / f"{name}.parquet")


@pytest.mark.parametrize(
    ("encoding", "text", "called"),
    [
        ("cp949", "영화가 정말 재미있다. 다시 보고 싶은 영화", "Korean"),
        ("shift_jis", "とても面白い映画でした。また見たいです", "Japanese"),
        ("gb18030", "这部电影非常好看，我还想再看一遍", "Chinese"),
        ("cp1251", "Очень хороший фильм и хочу посмотреть еще раз", "Cyrillic"),
        ("latin-1", "un très bon film à revoir", "Western European"),
        ("utf-16", "a good film", "UTF-16"),
    ],
)
def test_another_encoding_is_named_and_read(tmp_path: Path, encoding: str, text: str, called: str) -> None:
    table, prose = tmp_path / "r.csv", tmp_path / "r.txt"
    table.write_bytes(("text,label\n" + "".join(f"{text} {n},{n % 2}\n" for n in range(9))).encode(encoding))
    prose.write_bytes(f"{text}\n".encode(encoding) * 9)
    for path in (table, prose):
        with pytest.raises(
            DataError,
            match=r"is not UTF-8, and the text looks like "
            rf"{called}.*--encoding \S+ reads it",
        ):
            recognise(path)
        assert recognise(path, {"encoding": encoding}).task == (
            "classifier" if path is table else "language-model"
        )
    assert recognise(prose, {"errors": "replace"}).task == "language-model"


def test_a_broken_byte_in_utf_8_is_not_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes("가나다라마바사".encode() * 9 + b"\xff\n")
    assert recognise(path).task == "language-model"


def test_an_option_of_one_task_names_the_task(tmp_path: Path) -> None:
    path = write(tmp_path, "t.txt", "a text\n")
    with pytest.raises(DataError, match=r"a classifier \(--label-column is its option\) reads a table"):
        recognise(path, {"label_column": "stars"})
    assert recognise(path, {"target": str(path)}).task == "translator"


def test_a_kind_of_target_is_no_file_of_a_translator(tmp_path: Path) -> None:
    text = write(tmp_path, "t.txt", "a text\n")
    for kind in ("label", "labels", "number"):
        with pytest.raises(DataError, match=rf"--target {kind} needs a table .* is \./{kind}\)"):
            recognise(text, {"target": kind})
        assert recognise(text, {"target": f"./{kind}"}).task == "translator"
        assert recognise(text, {"target": kind, "task": "translator"}).task == "translator"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"label_column": "title", "target": "number"},
            "`title` holds no numbers.*leave out --target number",
        ),
        ({"label_column": "n,title"}, "names 2 columns: add --target number"),
        ({"label_column": "n,f", "target": "labels"}, "`n` holds more than 0 and 1"),
    ],
)
def test_columns_that_do_not_fit_the_target_are_named(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    content = rows("title", "text", "n", "f", of=[(f"t {n}", f"a text {n}", n, n % 2) for n in range(12)])
    with pytest.raises(DataError, match=message):
        recognise(write(tmp_path, "t.csv", content), options)


def clips_of(tmp_path: Path, name: str, content: Any) -> Path:
    folder = folder_of(tmp_path, metadata=f"file_name,labels\na.npy,{name}\n")
    np.save(folder / "a.npy", np.zeros((8, 2)))
    if isinstance(content, str):
        (folder / name).write_text(content)
    else:
        np.save(folder / name, content)
    return folder


STEPS = np.arange(8)


@pytest.mark.parametrize(
    ("name", "content", "options", "settled", "learned"),
    [
        ("l.txt", "up\n" * 8, {}, {}, "a label for every frame"),
        ("l.csv", "label\n" + "1\n2\n" * 4, {}, {}, "a label for every frame"),
        (
            "l.npy",
            STEPS[:, None] % [2, 3, 4] == 0,
            {},
            {"target": "labels"},
            "which of 3 labels every frame has",
        ),
        ("l.npy", STEPS % 2, {"target": "labels"}, {"target": "labels"}, "which of 1 labels every frame has"),
        ("l.npy", STEPS / 7, {}, {"target": "number"}, "a number for every frame"),
        ("l.npy", STEPS, {"target": "number"}, {"target": "number"}, "a number for every frame"),
        ("l.csv", "x,y\n" + "1.5,3\n" * 8, {}, {"target": "number"}, "2 numbers for every frame"),
        ("l.csv", "label\n1.5\n" * 1 + "2\n" * 7, {"target": "number"}, {"target": "number"}, "a number"),
    ],
)
def test_the_first_clip_shows_what_there_is_to_say_of_a_frame(
    tmp_path: Path, name: str, content: Any, options: dict[str, Any], settled: dict[str, str], learned: str
) -> None:
    found = recognise(clips_of(tmp_path, name, content), options)
    assert found.task == "tagger" and found.options == settled and learned in found.why


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("l.npy", STEPS, {}, "one whole number for each frame: --target number predicts it; where"),
        ("l.npy", STEPS / 7, {"target": "labels"}, "more than 0 and 1: --target number"),
        ("l.npy", STEPS / 7, {"target": "label"}, "needs the name of each frame's label"),
        ("l.txt", "up\n" * 8, {"target": "number"}, "names of labels: --target number needs an array"),
        ("l.csv", "label\n" + "".join(f"{n / 7}\n" for n in range(40)), {}, "40 different numbers: --target"),
    ],
)
def test_frames_that_do_not_fit_the_target_are_told_why(
    tmp_path: Path, name: str, content: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        recognise(clips_of(tmp_path, name, content), options)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf", b"\xff\xfe"])
def test_a_text_without_a_character_is_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match="nothing but a byte order mark"):
        recognise(tmp_path / "a.txt", {} if content[0] == 0xEF else {"encoding": "utf-16"})


def test_a_pipe_is_not_learned_from(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(DataError, match=r"a\.txt is a pipe or a device"):
        recognise(tmp_path / "a.txt")


def test_rows_with_other_columns_each_are_surveyed_in_one_pass(tmp_path: Path) -> None:
    lines = (json.dumps({"text": "a b", "label": "xy"[n % 2], f"key {n}": 1}) for n in range(3_000))
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert "(3,000 in all) are not read" in recognise(tmp_path / "a.jsonl").why


def test_a_number_of_hundreds_of_digits_in_joined_rows_is_one(tmp_path: Path) -> None:
    lines = (
        json.dumps({"id": n // 2, "x": 10 ** (400 * (n == 3)), "label": "ab"[n // 6]}) for n in range(12)
    )
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    found = recognise(tmp_path / "a.jsonl", {"group_by": "id", "label_column": "label"})
    assert "6 groups of rows by `id`" in found.why and found.task == "classifier"


def test_a_column_may_be_called_by_thousands_of_digits(tmp_path: Path) -> None:
    lines = (json.dumps({"x" + "1" * 5000: n, "y": n * n, "label": "ab"[n % 2]}) for n in range(12))
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert recognise(tmp_path / "a.jsonl").task == "classifier"


@pytest.mark.parametrize("option", ["columns", "text_column", "label_column", "static_columns"])
def test_commas_alone_name_no_column(tmp_path: Path, option: str) -> None:
    (tmp_path / "a.csv").write_text(rows("text", "label", of=REVIEWS))
    with pytest.raises(OptionError, match="',' names no column: give names with commas between them"):
        recognise(tmp_path / "a.csv", {option: ","})
