"""Tables without a label: pairs, captions, clips, tagged words, and what only looks like them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from throughtime.data.audio import AUDIO_SUFFIXES
from throughtime.data.features import is_sequence_file, is_sound_file
from throughtime.data.file_names import FILE_COLUMN
from throughtime.data.images import is_image
from throughtime.data.joined import JoinedTable, table_suffix
from throughtime.data.video import VIDEO_SUFFIXES
from throughtime.recognition.advice import (
    columns_named,
    describe_columns,
    flag,
    likely_label,
    likely_pair,
    likely_text,
    which_columns,
)
from throughtime.recognition.beside import table_of_names
from throughtime.recognition.columns import are_numbered, is_time
from throughtime.recognition.foreign import OTHER_SOUNDS
from throughtime.recognition.grouped import advice_on_steps
from throughtime.recognition.match import Match
from throughtime.recognition.series import VALUE_NAMES
from throughtime.recognition.survey import Survey, TableSurvey
from throughtime.recognition.wanted import Wanted
from throughtime.tasks.captioner.captions import CAPTION_COLUMNS
from throughtime.tasks.word_tagger.marks import MARK_COLUMNS
from throughtime.tasks.word_tagger.sentences import TAG_COLUMNS, table_columns

_OF_DRAWINGS = (
    "jq -c '{label: .word, steps: [.drawing[] | (.[0] | length) as $n | range($n) as $i | "
    "[.[0][$i], .[1][$i], if $i == $n - 1 then 1 else 0 end]]}' %s > %s.steps.jsonl"
)
# Names that are times: two may be a version and a day.
_FEWEST_TIMES = 3


def without_header(survey: Survey, wanted: Wanted) -> Match | None:
    """A CSV or TSV file whose first line is a row."""
    table = survey.table
    if table is None or not table.no_header:
        return None
    ways = which_columns(table, None, [], numbers=False)
    pair = likely_pair(table)
    if pair is not None and likely_label(table) is None:
        ways = [f"{flag('source-column', pair[0])} {flag('target-column', pair[1])}"]
    if survey.path.is_dir():
        return _no_file_column(table)
    flags = next(iter(ways), "--label-column N")
    return Match(
        f"line 1 looks like a row and not like the columns' names ({table.no_header})",
        advice=f"put a line with names above it, or name columns by number: --no-header {flags}",
    )


def tagged_lists(survey: Survey, wanted: Wanted) -> Match | None:
    """A list of words and a list as long with their tags, as Hugging Face's data sets have them."""
    table = survey.table
    if table is None:
        return None
    marks = sorted(table.of_kind("marks"), key=lambda name: name not in MARK_COLUMNS)
    text = "text" if "text" in table.columns else likely_text(table)
    if marks and text is not None and wanted.word_column is None and wanted.tag_column is None:
        return Match(
            f"`{text}` is text, and `{marks[0]}` says which of its characters are marked, and as what",
            "a tag for every word",
            options={"word_column": text, "tag_column": marks[0]},
        )
    if wanted.task == "word-tagger":
        words, tags = table_columns(list(table.columns), table.path, wanted.word_column, wanted.tag_column)
        return _tagged(words, [tags or ""])
    lists = table.of_kind("texts", "numbers", "lists")
    for words in sorted(lists, key=lambda name: "tag" in name.lower()):
        tags = [
            name
            for name in lists
            if name != words
            and table.columns[name].lengths == table.columns[words].lengths
            and not table.columns[name].measures
        ]
        if table.columns[words].kind == "texts" and tags:
            known = [name for name in TAG_COLUMNS if name in tags]
            if len(tags) > 1 and known[:1] != ["tags"]:
                return Match(
                    f"`{words}` holds lists of words, and {columns_named(tags)} lists as long",
                    advice=f"choose the tags: {flag('tag-column', (known or tags)[0])}",
                )
            return _tagged(words, known or tags)
    return None


def _tagged(words: str, tags: list[str]) -> Match:
    return Match(
        f"`{words}` holds lists of words, and `{tags[0]}` lists as long",
        "a tag for every word",
        options={"word_column": words, "tag_column": tags[0]},
    )


def drawings(survey: Survey, wanted: Wanted) -> Match | None:
    """Strokes with their x in one list and their y in another, as Quick, Draw! has them."""
    table = survey.table
    if table is None or not {"drawing", "word"} <= set(table.of_kind("lists", "text")):
        return None
    if table.columns["drawing"].kind != "lists":
        return None
    file = Path(str(table.path))
    command = _OF_DRAWINGS % (shlex.quote(str(file)), shlex.quote(file.stem))
    return Match(
        "`drawing` holds strokes, and `word` says what of",
        advice=f"a step has to be a list of numbers: x, y, and whether the stroke ends: {command}",
    )


def pairs(survey: Survey, wanted: Wanted) -> Match | None:
    """A table with a source and a target in each row, or two files of lines."""
    if wanted.target is not None:
        if survey.table is not None:
            return Match(
                "a table holds both sides of a pair",
                advice=f"leave out --target {wanted.target}, and name the columns: --source-column, "
                "--target-column",
            )
        if not survey.is_text:
            return None
        return Match(f"a file of lines, and --target {Path(wanted.target).name}", "translation, line by line")
    table = survey.table
    pair = None if table is None else wanted.pair(table)
    if table is None or pair is None:
        return None
    if wanted.task is None and wanted.label(table) is not None:
        return Match(
            f"it has {columns_named(pair)}, and a label",
            advice="say which it is for: --task translator, or --task classifier "
            f"{flag('text-column', *pair)}",
        )
    for name in pair:
        if table.columns[name].kind not in ("text", "number", "time", "empty"):
            return Match(f"`{name}` holds no texts", advice="put a text into each row, or name other columns")
    settled = {"source_column": pair[0], "target_column": pair[1]}
    others = [one for one in table.of_kind("text") if one not in pair]
    aside = f" ({columns_named(others)} {'is' if len(others) == 1 else 'are'} not read)" if others else ""
    return Match(
        f"{len(table.columns)} columns",
        f"translation of `{pair[0]}` into `{pair[1]}`{aside}",
        options=settled,
    )


def captions(survey: Survey, wanted: Wanted) -> Match | None:
    """A table that names pictures, with what is said of each."""
    table = survey.table
    if table is None or FILE_COLUMN not in table.columns:
        return None
    caption = next((name for name in CAPTION_COLUMNS if name in table.columns), None)
    if caption is None or not _first_is_image(table):
        return None
    if wanted.task is None and wanted.label(table) is not None:
        return Match(
            f"it has `{FILE_COLUMN}`, `{caption}` and a label",
            advice="say which it is for: --task captioner, or --task classifier "
            f"{flag('text-column', caption)}",
        )
    return Match(
        f"{len(table.columns)} columns; `{FILE_COLUMN}` names pictures", f"writing what stands in `{caption}`"
    )


def any_table(survey: Survey, wanted: Wanted) -> Match | None:
    """Every other table: the question that its owner has to answer."""
    table = survey.table
    if table is None:
        return None
    if wanted.task == "language-model":
        return None
    label, texts = wanted.label(table), wanted.texts(table)
    if survey.path.is_dir() and FILE_COLUMN not in table.columns:
        return _names_files(table) or _no_file_column(table)
    missing = _missing(table, wanted, label)
    flags = []
    if wanted.task in (None, "classifier"):
        flags = which_columns(table, label, texts, numbers=wanted.kind in (None, "number"))
    pair = likely_pair(table)
    if wanted.task in (None, "translator") and pair is not None and label is None:
        flags.append(f"{flag('source-column', pair[0])} {flag('target-column', pair[1])}")
    found = _names_files(table)
    if found is not None:
        return found
    if wanted.task in (None, "forecaster") and label is None:
        found = _series_in_rows(table)
        if found is not None:
            return found
    when = table.of_kind("time")
    amount = next((name for name in table.of_kind("number") if name.strip().lower() in VALUE_NAMES), None)
    if when and amount is not None and wanted.task is None:
        flags.append(
            f"--task forecaster {flag('time-column', when[0])} {flag('columns', amount)} --every day "
            "--aggregate sum, which forecasts what the rows of each day add up to"
        )
    if {"annotations", "data"} <= set(table.columns):
        return Match(
            f"this looks like all that Label Studio keeps of a task; {describe_columns(table)}",
            advice="export it as JSON-MIN, whose rows hold a text and its labels, or as CoNLL",
        )
    lists = table.of_kind("texts")
    if wanted.task is None and lists and not flags:
        flags.append(f"--lines {flag('text-column', lists[0])}, which learns to write such lists")
    advice = f"use {', or '.join(flags)}" if flags else _last_resort(table, wanted)
    if wanted.task is None and len(table.of_kind("number")) == len(table.columns):
        rows = "to forecast them, add a column of times, or of row numbers called `time`"
        advice = f"{advice}; {rows}" if len(table.columns) > 1 else rows
    return Match(f"{missing}; {describe_columns(table)}", advice=advice + advice_on_steps(table))


def _no_file_column(table: TableSurvey) -> Match:
    command = table_of_names(table.folder) if isinstance(table.path, Path) else None
    if command is not None:
        return Match("metadata.csv names sounds, but has no header", advice=f"write it anew: {command}")
    return Match(
        f"{Path(str(table.path)).name} has no column `{FILE_COLUMN}` ({describe_columns(table)})",
        advice=f"its first line has to name the columns, as in {FILE_COLUMN},label or {FILE_COLUMN},text, "
        "and each row a file, as in wavs/a.wav; or name the table itself, if it says all",
    )


def _names_files(table: TableSurvey) -> Match | None:
    """A table that names files under another name than `file_name`, or elsewhere than in their folder."""
    if FILE_COLUMN in table.columns:
        return None
    for name in table.of_kind("text"):
        first = next(iter(table.columns[name].values))
        kinds = (
            (is_image(first), "pictures", "caption"),
            (is_sound_file(first) or Path(first).suffix.lower() in OTHER_SOUNDS, "sounds", "label, or text"),
            (is_sequence_file(first), "arrays", "label"),
            (Path(first).suffix.lower() in VIDEO_SUFFIXES, "videos", "labels"),
        )
        what, column = next(((what, column) for fits, what, column in kinds if fits), ("", ""))
        if what:
            suffix = table_suffix(table.path)
            other = Path(first).suffix.lower() in OTHER_SOUNDS
            convert = f"convert them to {', '.join(AUDIO_SUFFIXES)}; " if other else ""
            return Match(
                f"`{name}` names {what} ({first}), and these are read from a folder with a metadata{suffix}; "
                f"{describe_columns(table)}",
                advice=f"{convert}call `{name}` {FILE_COLUMN}, and what is said of each {column}; call the "
                f"table metadata{suffix}, put it where the names in it begin, and name that folder",
            )
    return None


def _series_in_rows(table: TableSurvey) -> Match | None:
    """A series in each row: its times, or the numbers of its steps, stand in the line of names."""
    times = [name for name in table.columns if is_time(name)]
    steps = [name for name in table.of_kind("number") if re.search(r"\d$", name)]
    keys = [name for name in table.columns if name not in (*times, *steps)]
    name = Path(str(table.path)).name
    if len(times) >= _FEWEST_TIMES:
        which = [one for one in keys if table.columns[one].kind == "text"]
        return Match(
            f"times stand in the line of names ({times[0]}, {times[1]}...)",
            advice="a forecaster reads a row for each time: turn the table, in pandas with "
            f'read_csv({name!r}).melt({keys}, var_name="time", value_name="value")'
            '.to_csv("turned.csv", index=False)'
            f", and add {flag('series-column', *which or keys)} --value-column value",
        )
    key = next((one for one in keys if table.columns[one].different == table.rows), None)
    if key is None or not are_numbered(steps):
        return None
    return Match(
        f"each row looks like a series, named in `{key}`, with its steps in {steps[0]}, {steps[1]}...",
        advice="a forecaster reads a row for each time and a column for each series: turn the table, in "
        f"pandas with read_csv({name!r}, index_col={key!r}).loc[:, {steps[0]!r}:{steps[-1]!r}].T"
        f"{'' if steps[0].isdigit() else '.reset_index(drop=True)'}"
        '.rename_axis("time").to_csv("turned.csv"); to learn a label for each row, name it '
        "(--label-column LABEL --input sequences)",
    )


def _missing(table: TableSurvey, wanted: Wanted, label: str | None) -> str:
    if wanted.task == "translator":
        names = [name for name in ("source", "target") if name not in table.columns]
    elif wanted.task in ("captioner", "tagger"):
        other = "caption" if wanted.task == "captioner" else "labels"
        names = [name for name in (FILE_COLUMN, other) if name not in table.columns]
    else:
        names = [] if label is not None else ["label"]
    return f"no column {columns_named(names)}" if names else f"{len(table.columns)} columns"


def _last_resort(table: TableSurvey, wanted: Wanted) -> str:
    text = likely_text(table)
    if text is not None and likely_label(table) is None and wanted.task is None:
        first = (
            "add a column with labels, or a second text to translate into; to learn to write like its texts"
        )
        if isinstance(table.path, JoinedTable) and table_suffix(table.path) not in (".csv", ".tsv"):
            return f"{first}, use {flag('text-column', text)}"
        return f"{first}, put them into a .txt file"
    return (
        "name the column with the labels (--label-column), or see docs/reference.md for what each task reads"
    )


def _first_is_image(table: TableSurvey) -> bool:
    return is_image(next(iter(table.columns[FILE_COLUMN].values), ""))
