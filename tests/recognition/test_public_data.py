"""Data in the forms of well-known public data sets, as they lie about on the web."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.recognition.tables import CONLL, hours, rows
from throughtime.errors import DataError
from throughtime.recognition import recognise

DAYS = [f"2013-01-{day:02d}" for day in range(1, 31)]
SALES = [(day, store, item, 20 + store * item) for store in (1, 2) for item in (1, 2, 3) for day in DAYS]
FAMILIES = [
    (number, day, store, family, 7.5 * store, store % 2)
    for number, (day, store, family) in enumerate(
        (day, store, family) for day in DAYS for store in (1, 2) for family in ("AUTO", "BABY CARE")
    )
]
POWER = [("16/12/2006", f"17:{n:02}:00", f"{0.5 * n:.3f}", "0.000") for n in range(60)]
LOAD = [(hour, f"{20 + n},{n % 7}25", f"{3 * n},5") for n, hour in enumerate(hours(60))]
WEATHER = [(n + 1, 2010, 1, 1 + n // 24, n % 24, "NA" if n < 24 else 100 + n % 9, "NW") for n in range(200)]
SMILES = [(f"CMP{n}", f"CC(=O)OC(=O)O{'C' * n}", -0.37 * n) for n in range(30)]
NO_MARKS = json.dumps({"id": 2, "text": "So it is.", "label": []}) + "\n"
SUBWAY = [(day.replace("-", ""), 1, station, n) for n, day in enumerate(DAYS) for station in "ab"]
YEARS = [str(year) for year in range(1960, 1990)]
PAIRS = [
    {
        "gold_label": ("neutral", "entailment")[n % 2],
        "sentence1": f"a man walks {n}",
        "sentence1_parse": f"(ROOT (S a man walks {n}))",
        "sentence2": f"he sleeps now {n}",
        "sentence2_parse": f"(ROOT (S he sleeps now {n}))",
    }
    for n in range(20)
]


@pytest.mark.parametrize(
    ("name", "content", "options", "why"),
    [
        (
            "train.csv",
            rows("date", "store", "item", "sales", of=SALES),
            {"series_column": "store,item", "value_column": "sales"},
            "forecasting `sales` of the series, named in `store` and `item`",
        ),
        (
            "household_power_consumption.csv",
            rows("Date", "Time", "active", "reactive", of=POWER, separator=";"),
            {"time_column": "Date,Time"},
            "`Date` and `Time` say when, and `active` and `reactive` are numbers: forecasting",
        ),
        (
            "PRSA_data.csv",
            rows("No", "year", "month", "day", "hour", "pm2.5", "cbwd", of=WEATHER),
            {"time_column": "year,month,day,hour"},
            "forecasting `pm2.5` (`No` and `cbwd` are not read",
        ),
        (
            "series.csv",
            rows("", "ds", "shop", "y", of=[(n, day, 3, n * n % 7) for n, day in enumerate(DAYS)]),
            {},
            "forecasting `y` (`column 1` and `shop` are not read",
        ),
        (
            "conll2003.csv",
            rows("", "tokens", "ner_tags", of=[(n, "\"['EU' 'rejects']\"", "[3 0]") for n in range(12)]),
            {},
            "`tokens` holds lists of words, and `ner_tags` lists as long: a tag for every word",
        ),
        (
            "ncbi-disease.tsv",
            "## of a paper\t1\n" + CONLL,
            {},
            "CoNLL, with words in column 1 of 2 and tags in 2: a tag for every word",
        ),
        (
            "doccano.jsonl",
            json.dumps({"id": 1, "text": "Ann met Bo", "label": [[0, 3, "PER"]]}) + "\n" + NO_MARKS * 9,
            {},
            "`text` is text, and `label` says which of its characters are marked, and as what: a tag",
        ),
        (
            "arxiv_data.csv",
            rows("summaries", "terms", of=[(f"we show {n}", "\"['cs.CV', 'cs.LG']\"") for n in range(12)]),
            {"text_column": "summaries", "label_column": "terms"},
            "`terms` holds lists of labels: several labels for `summaries`",
        ),
        (
            "houses.csv",
            rows("area", "zone", "street", "price", of=[(n, "RL", "Pave", 7 * n) for n in range(5, 40)]),
            {"label_column": "price", "target": "number"},
            "`price` predicted from the numbers in `area` (`zone` and `street` are not read)",
        ),
    ],
)
def test_columns_that_belong_together_are_read_together(
    tmp_path: Path, name: str, content: str, options: dict[str, Any], why: str
) -> None:
    (tmp_path / name).write_text(content)
    assert why in recognise(tmp_path / name, options).why


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "train.csv",
            rows("date", "store", "item", "sales", of=SALES),
            "use --series-column store,item --value-column sales;",
        ),
        (
            "train.csv",
            rows("id", "date", "store_nbr", "family", "sales", "onpromotion", of=FAMILIES),
            "use --series-column store_nbr,family --value-column sales;",
        ),
        (
            "PRSA_data.csv",
            rows("No", "year", "month", "day", "hour", "pm2.5", "cbwd", of=WEATHER),
            "say when together: to forecast, use --time-column year,month,day,hour;",
        ),
        (
            "bikes.csv",
            rows("dteday", "hr", "cnt", of=[(DAYS[n // 24], n % 24, n) for n in range(200)]),
            "where `hr` is the hour of `dteday`, use --time-column dteday,hr;",
        ),
        (
            "emotions.txt",
            "".join(f"i feel that it is so {n};{('joy', 'fear')[n % 2]}\n" for n in range(30)),
            "its lines are 2 cells between semicolons: call it emotions.csv",
        ),
        (
            "co2_mm_mlo.csv",
            "# Mauna Loa\n# by month\n"
            + rows("decimal date", "average", of=[(n / 12, n) for n in range(30)]),
            "stands above line 3, which has the columns' names",
        ),
        (
            "API_NY.GDP.csv",
            '"Data Source","Indicators",\n\n"Updated","2023-05-10",\n\n'
            + rows("Country", "Code", *YEARS, "", of=[("Aruba", "ABW", *range(30), "")] * 9),
            "stands above line 5, which has the columns' names",
        ),
        (
            "gdp.csv",
            rows("Country", *YEARS, of=[(f"C{n}", *(n + m for m in range(30))) for n in range(9)]),
            "loc[:, '1960':'1989'].T.rename_axis(\"time\").to_csv(\"turned.csv\")",
        ),
        (
            "superstore.csv",
            rows(
                *("Order Date", "Category", "Product Name", "Sales"),
                of=[(day, "ab"[n % 2], f"a chair of wood {n}", 7.5 * n) for n, day in enumerate(DAYS)],
            ),
            "--task forecaster --time-column 'Order Date' --columns Sales --every day --aggregate sum",
        ),
        (
            "subway.csv",
            rows("day", "line", "station", "on", of=SUBWAY),
            "use --series-column station --value-column on;",
        ),
        (
            "essays.csv",
            rows("essay_id", "full_text", "score", of=[(f"{n:05x}", f"it is {n}", n % 5) for n in range(40)]),
            "use --text-column full_text --label-column score",
        ),
        (
            "AAPL.csv",
            rows("Price", "Close", of=[("Ticker", "AAPL"), ("Date", ""), *((day, 7) for day in DAYS)]),
            "`Price` is a time, and 'Ticker' and 'Date' stand among them: take these lines out",
        ),
        (
            "X_train.txt",
            "  1.0e0  2.5 \n -3.0  4 \n" * 9,
            "awk '{$1=$1}1' OFS=, X_train.txt > NEW.csv",
        ),
        (
            "shampoo.csv",
            rows("Month", "Sales", of=[(f"{1 + n // 12}:{n % 12:02}:x", 9 * n) for n in range(24)]),
            "`Month` seems to say when, and '1:00:x' is no time that is read: to forecast, write times as",
        ),
        (
            "LD2011_2014.txt",
            rows("", "MT_001", "MT_002", of=LOAD, separator=";"),
            "its lines are 3 cells between semicolons: call it LD2011_2014.csv",
        ),
        (
            "household_power_consumption.txt",
            rows("Date", "Time", "kW", of=[*POWER, ("17/12/2006", "00:00:00", "?", "?")], separator=";"),
            "cells between semicolons",
        ),
        ("brown.txt", "The/at jury/nn said/vbd it/pps did/dod n't/*\n" * 9, "words with their tags"),
        (
            "multiTimeline.csv",
            "Category: All categories\n\n" + rows("Week", "pizza", of=[(day, 7) for day in DAYS]),
            "stands above line 3, which has the columns' names: leave it out, as in tail -n +3 ",
        ),
        (
            "tweets.csv",
            "text,label\n" + "so it is, after all,1\nwell, it was not,0\n" * 9,
            "a cell that holds a comma has to stand in quotes",
        ),
        (
            "Hourly-train.csv",
            rows("V1", *(f"V{n}" for n in range(2, 40)), of=[(f"H{n}", *range(38)) for n in range(20)]),
            "each row looks like a series, named in `V1`",
        ),
        (
            "time_series_covid19.csv",
            rows("Province/State", "Country", "1/22/20", "1/23/20", "1/24/20", of=[("", "Italy", 1, 2, 3)]),
            "--series-column Country --value-column value",
        ),
        (
            "delaney.csv",
            rows("Compound ID", "smiles", "solubility", of=SMILES),
            "use --text-column smiles --label-column solubility --target number",
        ),
        (
            "snli_1.0_train.jsonl",
            "".join(json.dumps(pair) + "\n" for pair in PAIRS),
            "use --text-column sentence1 --second-text sentence2 --columns sentence1,sentence2 "
            "--label-column gold_label",
        ),
        (
            "test.csv",
            rows("id", "comment_text", of=[(f"{n}fe{n:013x}", f"so it is {n} times") for n in range(20)]),
            "add a column with labels",
        ),
        (
            "esc50.csv",
            rows("filename", "category", of=[(f"{n}.wav", "dog") for n in range(12)]),
            "`filename` names sounds (0.wav)",
        ),
        (
            "train.tsv",
            rows("path", "sentence", of=[(f"{n}.mp3", "So it is.") for n in range(12)], separator="\t"),
            "convert them to .wav, .flac, .ogg; call `path` file_name",
        ),
    ],
)
def test_what_is_not_taken_is_told_the_command_that_takes_it(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as raised:
        recognise(tmp_path / name)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"train.txt": CONLL, "valid.txt": CONLL, "test.txt": CONLL},
            r"parts of the data .*: name one: \S*train\.txt --validation \S*valid\.txt$",
        ),
        (
            {"Arabic.txt": "Khoury\nNahas\n", "Korean.txt": "Kim\nPark\n"},
            r"each file is a label, and each of its lines an example: \(echo text,label; for f in",
        ),
        (
            {"a.csv": "x\n1\n", "b.csv": "x\n2\n", "labels.csv": "id,label\na,1\nb,2\n"},
            r"if labels\.csv says what they are, call it metadata\.csv",
        ),
        ({"walk/1.csv": "x\n1\n", "run/1.csv": "x\n2\n"}, r"file_name,label; for f in \*/\*; do"),
        ({"dataset_info.json": "{}", "data-00000-of-00001.arrow": "ARROW1"}, r"another program's table"),
        ({"sci.space/38001": "Hi.\n", "rec.autos/38002": "Hi.\n"}, r"names of texts end in \.txt: for f in"),
        (
            {"metadata.csv": "LJ1|it is 2|it is two\nLJ2|it was|it was\n", "wavs/LJ1.wav": "RIFF"},
            r"metadata\.csv names sounds, but has no header: write it anew: ",
        ),
    ],
)
def test_a_folder_is_told_what_it_lacks(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, content in files.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    with pytest.raises(DataError, match=message) as raised:
        recognise(tmp_path / "data")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [CONLL, " 1.0 2.0 3.0\n" * 20, "date;kW\n" + "2020-01-01;1,5\n" * 20])
def test_several_files_that_are_no_prose_are_not_read_as_prose(tmp_path: Path, content: str) -> None:
    for name in ("test.txt", "train.txt"):
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=r"read as prose, and .*test\.txt is none"):
        recognise(str(tmp_path / "*.txt"))
    assert recognise(str(tmp_path / "*.txt"), {"task": "language-model"}).task == "language-model"
