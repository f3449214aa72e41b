"""Tables that are taken as they are: the task that their owner meant, and why, in a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recognition.tables import (
    CONLL,
    FLOWERS,
    MOVIES,
    PRICES,
    REVIEWS,
    SENSORS,
    TITLES,
    UNIVERSAL,
    hours,
    json_lines,
    rows,
    write,
)
from throughtime.errors import DataError
from throughtime.recognition import recognise


def test_a_parquet_of_dates_and_numbers_is_a_series(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    days = np.arange("2020-01", "2020-03", dtype="datetime64[D]")
    parquet.write_table(pyarrow.table({"ds": days, "y": np.arange(60.0)}), tmp_path / "s.parquet")
    found = recognise(tmp_path / "s.parquet")
    assert (found.task, found.options) == ("forecaster", {"time_column": "ds", "columns": "y"})


@pytest.mark.parametrize(
    ("name", "content", "options", "task", "why"),
    [
        (
            "r.csv",
            rows("text", "label", of=REVIEWS),
            {},
            "classifier",
            "2 columns; `label` has 3 values: classification of `text`",
        ),
        (
            "r.csv",
            rows("id", "text", "label", of=[(n, *row) for n, row in enumerate(REVIEWS)]),
            {},
            "classifier",
            "3 columns; `label` has 3 values: classification of `text` (`id` is not read)",
        ),
        (
            "r.csv",
            rows("review", "stars", of=REVIEWS),
            {"text_column": "1", "label_column": "2"},
            "classifier",
            "2 columns; `stars` has 3 values: classification of `review`",
        ),
        (
            "r.csv",
            rows("review", "stars", of=REVIEWS),
            {"text_column": "review", "label_column": "stars"},
            "classifier",
            "2 columns; `stars` has 3 values: classification of `review`",
        ),
        (
            "r.csv",
            rows(of=REVIEWS),
            {"header": False, "text_column": "1", "label_column": "2"},
            "classifier",
            "2 columns; `2` has 3 values: classification of `1`",
        ),
        (
            "r.json",
            json.dumps([{"text": text, "label": stars} for text, stars in REVIEWS]),
            {},
            "classifier",
            "2 columns; `label` has 3 values: classification of `text`",
        ),
        (
            "motions.ts",
            "# of a watch\n@problemName x\n@classLabel true a b\n@data\n"
            + "".join(f"1,2,{n}:0,?,{n}:{'ab'[n % 2]}\n" for n in range(9)),
            {},
            "classifier",
            "3 columns; `label` has 2 values: classification of sequences in `x0` and `x1`",
        ),
        (
            "gun.arff",
            "% of hands\n@RELATION gun\n@ATTRIBUTE 'at 1' numeric\n@attribute b REAL\n"
            "@attribute label {1,2}\n@DATA\n" + "".join(f"{n},{n}.5,{1 + n % 2}\n" for n in range(9)),
            {},
            "classifier",
            "3 columns; `label` has 2 values: classification of the numbers in `at 1` and `b`",
        ),
        (
            "i.csv",
            rows(of=FLOWERS),
            {"header": False, "label_column": "3"},
            "classifier",
            "3 columns; `3` has 2 values: classification of the numbers in `1` and `2`",
        ),
        (
            "f.csv",
            rows("title", "text", "label", of=TITLES),
            {"text_column": "title,text"},
            "classifier",
            "3 columns; `label` has 2 values: classification of `title` and `text`",
        ),
        (
            "f.csv",
            rows("title", "text", "label", of=TITLES),
            {"columns": "text"},
            "classifier",
            "3 columns; `label` has 2 values: classification of `text`",
        ),
        (
            "g.csv",
            rows("timestamp", "x", "y", "label", of=SENSORS),
            {"columns": "2,3"},
            "classifier",
            "4 columns; `label` has 2 values: classification of the numbers in `x` and `y`",
        ),
        (
            "h.csv",
            rows("rooms", "area", "label", of=PRICES),
            {"any_labels": True},
            "classifier",
            "3 columns; `label` has 40 values: classification of the numbers in `rooms` and `area`",
        ),
        (
            "h.csv",
            rows("rooms", "area", "label", of=PRICES),
            {"target": "number"},
            "classifier",
            "3 columns; `label` has 40 different numbers: `label` predicted from the numbers in `rooms` "
            "and `area`",
        ),
        (
            "h.csv",
            rows("rooms", "area", "label", of=PRICES),
            {"target": "number", "label_column": "3,area"},
            "classifier",
            "3 columns; `label` and `area` are numbers: `label` and `area` predicted from the numbers in "
            "`rooms`",
        ),
        (
            "h.csv",
            rows("rooms", "area", "label", of=PRICES),
            {"target": "label"},
            "classifier",
            "3 columns; `label` has 40 values: classification of the numbers in `rooms` and `area`",
        ),
        (
            "movies.jsonl",
            json_lines({"text": "boy meets girl", "label": ["drama"]}, {"text": "boom", "label": []}),
            {},
            "classifier",
            "2 columns; `label` holds lists of labels: several labels for `text`",
        ),
        (
            "movies.csv",
            rows("text", "label", of=MOVIES),
            {},
            "classifier",
            "2 columns; `label` has several labels in a cell ('drama|romance', between '|'): several "
            "labels for `text`",
        ),
        (
            "movies.csv",
            rows("text", "label", of=MOVIES),
            {"target": "label"},
            "classifier",
            "2 columns; `label` has 4 values: classification of `text`",
        ),
        (
            "movies.csv",
            rows("text", "label", of=[(f"a film {n}", f"a{n % 3}/b{n}") for n in range(12)]),
            {"label_separator": "/"},
            "classifier",
            "2 columns; `label` has labels between '/': several labels for `text`",
        ),
        (
            "comments.csv",
            rows("text", "toxic", "threat", of=[(f"a comment {n}", n % 2, int(n < 4)) for n in range(12)]),
            {"label_column": "toxic,threat", "target": "labels"},
            "classifier",
            "3 columns; `toxic` and `threat` say with 0 or 1 which labels are given: several labels for "
            "`text`",
        ),
        (
            "ner.jsonl",
            json_lines({"tokens": ["EU", "rejects"], "ner_tags": [3, 0]}, {"tokens": ["a"], "ner_tags": [0]}),
            {},
            "word-tagger",
            "`tokens` holds lists of words, and `ner_tags` lists as long: a tag for every word",
        ),
        (
            "pos.jsonl",
            json_lines({"tags": ["DET", "NOUN"], "tokens": ["the", "dog"]}),
            {},
            "word-tagger",
            "`tokens` holds lists of words, and `tags` lists as long: a tag for every word",
        ),
        (
            "train.conll",
            CONLL,
            {},
            "word-tagger",
            "CoNLL, with words in column 1 of 2 and tags in 2: a tag for every word",
        ),
        (
            "train.txt",
            CONLL,
            {},
            "word-tagger",
            "CoNLL, with words in column 1 of 2 and tags in 2: a tag for every word",
        ),
        (
            "en.conllu",
            UNIVERSAL,
            {},
            "word-tagger",
            "CoNLL-U, with tags in `upos`: a tag for every word",
        ),
        (
            "en.conllu",
            UNIVERSAL,
            {"tag_column": "deprel"},
            "word-tagger",
            "CoNLL-U, with tags in `deprel`: a tag for every word",
        ),
        (
            "p.tsv",
            rows("en", "de", of=[("a", "b")] * 9, separator="\t"),
            {"source_column": "en", "target_column": "de"},
            "translator",
            "2 columns: translation of `en` into `de`",
        ),
        (
            "t.txt",
            "The quick brown fox, and more.\nA second line.\n",
            {},
            "language-model",
            "text: writing like it",
        ),
        ("t.md", "# A title\n\n- one\n- two\n", {}, "language-model", "text: writing like it"),
        (
            "names.txt",
            "emma\nolivia\nava\n" * 9,
            {},
            "language-model",
            "text: writing like it; --lines makes each of its lines an example of its own",
        ),
        (
            "people.txt",
            "Smith, John\nDoe, Jane\nRoe, Richard\n",
            {},
            "language-model",
            "text: writing like it",
        ),
        (
            "steps.txt",
            "1 Open the door\n2 Walk in\n3 Sit down\n",
            {},
            "language-model",
            "text: writing like it",
        ),
        (
            "server.log",
            "".join(f"2020-01-01\tGET\t/{n}\n" for n in range(20)),
            {},
            "language-model",
            "text: writing like it",
        ),
        (
            "s.jsonl",
            json_lines(
                {"x": [1, 2, 3], "y": [4, 5, 6], "label": "up"}, {"x": [1], "y": [2], "label": "down"}
            ),
            {},
            "classifier",
            "3 columns; `label` has 2 values: classification of sequences in `x` and `y`",
        ),
        (
            "etth1.csv",
            rows("date", "HUFL", "OT", of=[(hour, n % 7, 30.5 - n) for n, hour in enumerate(hours(60))]),
            {},
            "forecaster",
            "`date` is a time, and `HUFL` and `OT` are numbers: forecasting `HUFL` and `OT`",
        ),
        (
            "etth1.csv",
            rows("date", "HUFL", "OT", of=[(hour, n % 7, 30.5 - n) for n, hour in enumerate(hours(60))]),
            {"columns": "OT", "past_columns": "HUFL"},
            "forecaster",
            "`date` is a time, and `HUFL` and `OT` are numbers: forecasting `OT`",
        ),
        (
            "scope.tsv",
            rows("time", "volts", of=[(n / 10, n % 3) for n in range(30)], separator="\t"),
            {},
            "forecaster",
            "`time` is a time, and `volts` is a number: forecasting `volts`",
        ),
        (
            "sales.csv",
            rows(
                "store",
                "month",
                "sales",
                of=[(s, f"2020-{m:02d}", s * m) for s in (1, 2) for m in range(1, 13)],
            ),
            {"series_column": "store", "value_column": "sales"},
            "forecaster",
            "`month` is a time, and `store` and `sales` are numbers: forecasting `sales` of 2 series, named "
            "in `store`",
        ),
        (
            "sales.csv",
            rows("unique_id", "ds", "y", of=[(s, d, s * 2) for s in (1, 2) for d in hours(30)]),
            {},
            "forecaster",
            "`ds` is a time, and `unique_id` and `y` are numbers: forecasting `y` of 2 series, named in "
            "`unique_id`",
        ),
        (
            "iris.csv",
            rows("", "x", "y", "label", of=[(n, *row) for n, row in enumerate(FLOWERS)]),
            {},
            "classifier",
            "4 columns; `label` has 2 values: classification of the numbers in `x` and `y` (`column 1` is "
            "not read)",
        ),
        (
            "spam.csv",
            rows(
                "v1",
                "v2",
                "",
                "",
                of=[("ham" if n % 2 else "spam", f"win {n} now", "", "") for n in range(12)],
            ),
            {"text_column": "v2", "label_column": "v1"},
            "classifier",
            "4 columns; `v1` has 2 values: classification of `v2`",
        ),
        (
            "comments.csv",
            rows("id", "text", "label", of=[(f"{n}fe{n}", f"a word {n}", "ab"[n % 2]) for n in range(12)]),
            {},
            "classifier",
            "3 columns; `label` has 2 values: classification of `text` (`id` is not read)",
        ),
        (
            "emotions.tsv",
            rows(of=[(f"so it is {n}", ("0,2", "1", "2")[n % 3]) for n in range(12)], separator="\t"),
            {"header": False, "text_column": "1", "label_column": "2"},
            "classifier",
            "2 columns; `2` has several labels in a cell ('0,2', between ','): several labels for `1`",
        ),
        (
            "ucr.csv",
            rows(
                "label",
                *(f"t{n}" for n in range(20)),
                of=[("ab"[n % 2], *range(n, n + 20)) for n in range(12)],
            ),
            {"columns": "t0,t1", "input": "sequences"},
            "classifier",
            "21 columns; `label` has 2 values: classification of sequences of 2 steps, one a column",
        ),
        (
            "ucr.csv",
            rows(
                "label",
                *(f"t{n}" for n in range(20)),
                of=[("ab"[n % 2], *range(n, n + 20)) for n in range(12)],
            ),
            {},
            "classifier",
            "21 columns; `label` has 2 values: classification of the numbers in `t0`, `t1`, `t2`, `t3`, "
            "`t4`, `t5`, `t6`, `t7`... (20 in all); --input sequences reads the columns as the steps of a "
            "sequence",
        ),
        (
            "clicks.jsonl",
            json_lines({"events": ["open", "buy"], "label": 1}, {"events": ["open"], "label": 0}),
            {},
            "classifier",
            "2 columns; `label` has 2 values: classification of `events`",
        ),
        (
            "ner.csv",
            rows(
                "Sentence #",
                "Word",
                "Tag",
                of=[("" if n % 3 else n, f"Bo{n}", f"B-{'xy'[n % 2]}") for n in range(12)],
            ),
            {"group_by": "Sentence #", "word_column": "Word", "tag_column": "Tag"},
            "word-tagger",
            "4 groups of rows by `Sentence #`; `Word` holds lists of words, and `Tag` lists as long: a tag "
            "for every word",
        ),
        (
            "har.csv",
            rows("series_id", "x", "surface", of=[(n % 12, 0.1 * n, "ab"[n % 2]) for n in range(24)]),
            {"group_by": "series_id", "label_column": "surface"},
            "classifier",
            "12 groups of rows by `series_id`; 2 columns; `surface` has 2 values: classification of "
            "sequences in `x`",
        ),
        (
            "excel.csv",
            "sep=;\n" + rows("text", "label", of=REVIEWS, separator=";"),
            {},
            "classifier",
            "2 columns; `label` has 3 values: classification of `text`",
        ),
        (
            "questions.csv",
            rows(
                "text",
                "label",
                of=[("how to sort", "<c++><stl>"), ("a list", "<c++>"), ("b", "<stl><c#>")] * 4,
            ),
            {},
            "classifier",
            "2 columns; `label` has several labels in a cell ('<c++><stl>', between '><'): several labels "
            "for `text`",
        ),
        (
            "umsatz.csv",
            rows("Tag", "EUR", of=[(f"{d}/03/2024", f"1.{d + 99},5") for d in range(1, 29)], separator=";"),
            {},
            "forecaster",
            "numbers are written as 1.234,5 (--decimal ,); `Tag` is a time, and `EUR` is a number: "
            "forecasting `EUR`",
        ),
        (
            "stock.csv",
            rows("date", "close", of=[(f"2/{d}/2024", f'"${d},000.5"') for d in range(1, 29)]),
            {},
            "forecaster",
            "numbers are written as 1,234.5 (--decimal .); `date` is a time, and `close` is a number: "
            "forecasting `close`",
        ),
    ],
)
def test_what_is_right_is_taken_and_said(
    tmp_path: Path, name: str, content: str, options: dict[str, Any], task: str, why: str
) -> None:
    found = recognise(write(tmp_path, name, content), options)
    assert (found.task, found.why) == (task, why)


def test_columns_by_number_are_settled_as_names(tmp_path: Path) -> None:
    path = write(tmp_path, "r.csv", rows("review", "stars", of=REVIEWS))
    found = recognise(path, {"text_column": "1", "label_column": "2"})
    assert found.options == {"text_column": "review", "label_column": "stars", "input": "text"}
    with pytest.raises(DataError, match=r"no column '3' \(--label-column\); text column: review"):
        recognise(path, {"label_column": "3"})
