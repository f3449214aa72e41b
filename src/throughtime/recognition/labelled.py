"""Tables with a label in each row: what a classifier takes, and what only looks like it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from throughtime.data.features import is_sequence_file, is_sound_file
from throughtime.data.file_names import FILE_COLUMN
from throughtime.data.images import is_image
from throughtime.data.tables import separator_of, several_columns
from throughtime.errors import DataError
from throughtime.recognition.advice import columns_named, flag
from throughtime.recognition.columns import Column, are_numbered
from throughtime.recognition.grouped import sequence_column
from throughtime.recognition.match import Match
from throughtime.recognition.series import names_a_thing
from throughtime.recognition.several import FLAGS, cell_with_several, several_labels
from throughtime.recognition.survey import Survey, TableSurvey
from throughtime.recognition.wanted import Wanted

# Fewer examples say too little about their labels.
_FEWEST = 10
# More different numbers than this, with fractions among them, measure something; whole ones may be codes.
_MOST_FRACTIONS, _MOST_WHOLE = 20, 1_000
# More labels are not named in a line.
_NAMED = 12

# Of values that may be names of files.
_PLAIN = re.compile(r"[\w.-]+")
# One .csv of numbers and one .txt of labels for each recording.
_OF_STEPS = (
    """mkdir clips && awk -F'%s' 'NR>1{print %s > "clips/"%s".csv"; print %s > "clips/"%s".txt"}' %s && """
    '(echo file_name,labels; cd clips; for f in *.csv; do echo "$f,${f%%.csv}.txt"; done) > rows && '
    "mv rows clips/metadata.csv"
)


def quantity(survey: Survey, wanted: Wanted) -> Match | None:
    """Labels that are mostly different numbers."""
    table = survey.table
    name = None if table is None else wanted.label(table)
    if table is None or name is None or wanted.as_they_are or wanted.kind is not None:
        return None
    column = table.columns[name]
    different = column.different
    if column.kind != "number" or column.filled < _FEWEST or different < _FEWEST:
        return None
    bound = _MOST_WHOLE if column.whole else _MOST_FRACTIONS
    if different <= column.filled / 2 and different <= bound:
        return None
    return Match(f"`{name}` has {different:,} different numbers in {column.filled:,} rows")


def labels_of_their_own(survey: Survey, wanted: Wanted) -> Match | None:
    """Labels that differ in nearly every row, which are no classes."""
    table = survey.table
    name = None if table is None else wanted.label(table)
    if table is None or name is None or wanted.as_they_are or wanted.kind is not None:
        return None
    column = table.columns[name]
    if wanted.label_separator or cell_with_several(column)[0]:
        return None
    if column.kind != "text" or column.filled < _FEWEST or column.different <= column.filled / 2:
        return None
    texts = [one for one in (wanted.texts(table) or table.of_kind("text")) if one != name]
    pairs = (
        f"; or, where it is a text to write: --task translator {flag('source-column', texts[0])} "
        if texts
        else ""
    )
    pairs += flag("target-column", name) if texts else ""
    return Match(
        f"`{name}` has {column.different:,} different values in {column.filled:,} rows, and a class needs "
        f"several examples",
        advice=f"name the column with the classes (--label-column){pairs}; --target label takes them as "
        "they are",
    )


def labelled_steps(survey: Survey, wanted: Wanted) -> Match | None:
    """A label and numbers in each row, and a time: steps of one recording rather than separate examples."""
    table = survey.table
    name = None if table is None else wanted.label(table)
    if table is None or name is None or wanted.texts(table) or FILE_COLUMN in table.columns:
        return None
    rest = wanted.read(table, name)
    times = [one for one in rest if table.columns[one].is_time]
    numbers = [one for one in rest if table.columns[one].kind == "number" and one not in times]
    owner = sequence_column(table)
    if not times and numbers and owner is not None and owner in rest and wanted.columns is None:
        return Match(
            f"each row has numbers and `{name}`, and `{owner}` says which rows belong together",
            advice=f"where they are the steps of one sequence, add {flag('group-by', owner)}; to learn from "
            f"each row by itself, leave it out: {flag('columns', *[one for one in numbers if one != owner])}",
        )
    if not times or not numbers:
        return None
    command = _in_clips(table, name, numbers)
    return Match(
        f"`{times[0]}` is a time, and each row has numbers and `{name}`",
        advice="for a label at each step of a recording, put its numbers and its labels into files of their "
        f"own, and name a folder with a metadata.csv of file_name,labels (a tagger){command}; to learn from "
        f"each row by itself, leave the time out: {flag('columns', *numbers)}",
    )


def _in_clips(table: TableSurvey, label: str, numbers: Sequence[str]) -> str:
    """The command that takes a table of steps apart, by the column that says of whom; "" where none can."""
    if not isinstance(table.path, Path) or table.path.suffix not in (".csv", ".tsv"):
        return ""
    places = {name: f"${place}" for place, name in enumerate(table.columns, 1)}
    owners = [
        one.name
        for one in table.columns.values()
        if names_a_thing(one.name) and one.is_category and all(map(_PLAIN.fullmatch, one.values))
    ]
    read = [places[name] for name in numbers if name not in owners]
    if not read:
        return ""
    owner = places[owners[0]] if owners else '"all"'
    told = '","'.join(read), owner, places[label], owner, shlex.quote(str(table.path))
    return ": " + _OF_STEPS % (separator_of(table.path), *told)


def examples(survey: Survey, wanted: Wanted) -> Match | None:
    """A classifier's table: texts, vectors, lists of numbers, or the names of arrays and sounds."""
    table = survey.table
    name = None if table is None else wanted.label(table)
    if table is None or name is None:
        return None
    truth = wanted.truth(table)
    texts = wanted.texts(table)
    lists = [one for one in wanted.read(table, *truth) if table.columns[one].kind == "texts"]
    if not texts and len(lists) > 1:
        return Match(
            f"`{name}` is a label, and {columns_named(lists)} hold lists of words",
            advice=f"name the one to read: {flag('text-column', lists[0])}",
        )
    texts = texts or lists
    second = _second_text(table, wanted, [*truth, *texts])
    taken = {**dict.fromkeys(truth, "what is learned"), **dict.fromkeys([*texts, *second], "what is read")}
    static = wanted.beside(table, wanted.static_columns, "--static-columns", taken)
    rest = wanted.read(table, *truth, *texts, *second, *static)
    if wanted.columns is not None and texts and wanted.text_column is None:
        # --columns may leave out the column `text`, too.
        texts = [one for one in texts if one in several_columns(list(table.columns), wanted.columns)]
    found = _truth(table, wanted, truth, rest)
    if found.advice:
        return found
    if second and not texts:
        return Match(
            f"{found.why}; {columns_named(second)} is a second text, and there is no first one",
            advice="name the column with the first text (--text-column)",
        )
    if second:
        found = replace(found, options={**found.options, "second_text": second[0]})
    if static:
        kept = {**found.options, "static_columns": ",".join(static)}
        found = replace(found, why=f"{found.why}, {columns_named(static)} beside it", options=kept)
    if truth != ["label"] or wanted.label_column is not None:
        found = replace(found, options={**found.options, "label_column": ",".join(truth)})
    if FILE_COLUMN in table.columns and not (texts and wanted.text_column):
        return _files(survey, table, found, texts, rest)
    if texts and wanted.input not in ("auto", "text") and wanted.columns is None:
        return Match(
            f"{found.why}; {columns_named(texts)} is text",
            advice=f"leave out --input {wanted.input}, or name the columns of numbers (--columns)",
        )
    if texts and wanted.input in ("auto", "text"):
        found = _texts(table, wanted, texts, second, rest, found)
        return _of_events(table, wanted, texts, found) if set(texts) & set(lists) else found
    return _numbers(table, wanted, rest, found)


def _truth(table: TableSurvey, wanted: Wanted, names: list[str], rest: list[str]) -> Match:
    """What the columns of the truth show; its `learning` is to be followed by what is read."""
    columns = [table.columns[name] for name in names]
    first, named = columns[0], columns_named(names)
    begin = f"{len(table.columns)} column{'s' * (len(table.columns) != 1)}; {named}"
    labels = Match(f"{begin} has {_values(table, first)}", "several labels for", options={"target": "labels"})
    if wanted.kind == "number":
        words = [column.name for column in columns if column.kind != "number"]
        if words:
            return Match(
                f"{columns_named(words)} {'holds' if len(words) == 1 else 'hold'} no numbers",
                advice="leave out --target number, or name columns of numbers (--label-column)",
            )
        are = "are numbers" if len(names) > 1 else f"has {first.different:,} different numbers"
        return Match(f"{begin} {are}", f"{named} predicted from")
    if len(names) > 1:
        others = [column.name for column in columns if not set(column.values) <= FLAGS]
        if others:
            return Match(
                f"{columns_named(others)} {'holds' if len(others) == 1 else 'hold'} more than 0 and 1",
                advice="several columns of labels have to say with 0 or 1 whether each label is given",
            )
        return replace(labels, why=f"{begin} say with 0 or 1 which labels are given")
    if wanted.label_separator and wanted.kind in (None, "labels"):
        return replace(labels, why=f"{begin} has labels between {wanted.label_separator!r}")
    if first.kind == "lists":
        return Match(
            f"{named} holds lists of lists, such as {next(iter(first.values)).split(chr(0))[0]:.60}",
            advice="for several labels, write a list of names; for marks in a text, lists such as [0, 5, "
            '"person"]: the first character, the one past the last, and what they are',
        )
    if FILE_COLUMN not in table.columns or first.kind in ("text", "texts"):
        lists = [table.columns[name] for name in rest if table.columns[name].lengths]
        found = several_labels(first, wanted, lists)
        if found is not None:
            return replace(labels, why=f"{begin} {found[0]}", options=found[1])
    if wanted.kind == "labels":
        return labels
    return Match(labels.why, "classification of")


def _second_text(table: TableSurvey, wanted: Wanted, taken: list[str]) -> list[str]:
    """The column of second texts, where one is named."""
    if wanted.second_text is None:
        return []
    name = wanted.column(table, wanted.second_text, "--second-text")
    if name in taken:
        raise DataError(f"{table.path}: `{name}` is read already, and --second-text names it, too")
    return [name]


def _texts(
    table: TableSurvey, wanted: Wanted, texts: list[str], second: list[str], rest: list[str], truth: Match
) -> Match:
    begin, settled = truth.why, truth.options
    others = [
        one
        for one in rest
        if table.columns[one].kind not in ("number", "time", "times", "empty")
        and not table.columns[one].names_rows
    ]
    if others and wanted.columns is None:
        more = [one for one in others if table.columns[one].kind == "text"]
        both = ""
        if more and not second:
            both = f"{flag('second-text', more[0])} compares the two; " if len(more) == 1 else ""
            both += f"{flag('text-column', *texts, *more)} reads them one after the other; "
        categories = [one for one in others if table.columns[one].is_category]
        if categories:
            both += f"{flag('static-columns', *categories)} gives {_them(categories)} to the network beside "
            both += "the text; "
        return Match(
            f"{begin}; {columns_named(texts)} is text, and so {'is' if len(others) == 1 else 'are'} "
            f"{columns_named(others)}"
            if more
            else f"{begin}; {columns_named(others)} would not be read",
            advice=f"{both}{flag('columns', *texts, *second)} leaves {columns_named(others)} out",
        )
    unread = [one for one in rest if table.columns[one].filled] if wanted.columns is None else []
    aside = _not_read(table, unread)
    if wanted.text_column is not None:
        settled = {**settled, "text_column": ",".join(texts)}
    return Match(
        begin,
        f"{truth.learning} {columns_named([*texts, *second])}{aside}",
        options={**settled, "input": "text"},
    )


def _of_events(table: TableSurvey, wanted: Wanted, texts: list[str], found: Match) -> Match:
    """What is settled for lists of words: each of them is one token."""
    if wanted.tokenizer not in (None, "auto", "word"):
        return Match(
            f"{columns_named(texts)} holds lists, and each entry is one token",
            advice=f"leave out --tokenizer {wanted.tokenizer}",
        )
    if found.advice:
        return found
    return replace(found, options={**found.options, "text_column": ",".join(texts), "tokenizer": "word"})


def _them(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _not_read(table: TableSurvey, names: list[str]) -> str:
    """What is said of columns that nothing reads, and how they could be read; "" where there are none."""
    if not names:
        return ""
    said = f"{columns_named(names)} {'is' if len(names) == 1 else 'are'} not read"
    useful = [
        one
        for one in names
        if table.columns[one].kind in ("number", "text")
        and not (
            table.columns[one].counts_rows or table.columns[one].counts_up or table.columns[one].names_rows
        )
    ]
    return (
        f" ({said}; {flag('static-columns', *useful)} reads {_them(useful)}, too)" if useful else f" ({said})"
    )


def _as_a_pair(texts: Sequence[str]) -> str:
    return f"{flag('text-column', texts[0])} {flag('second-text', texts[1])} compares the two"


def _numbers(table: TableSurvey, wanted: Wanted, rest: list[str], truth: Match) -> Match:
    begin, settled = truth.why, truth.options
    columns = {name: table.columns[name] for name in rest}
    texts = {name: column for name, column in columns.items() if column.kind == "text"}
    same = [name for name, column in texts.items() if column.different == 1 and len(rest) > 1]
    words = [name for name, column in texts.items() if not (column.names_rows or name in same)]
    lists = [name for name, column in columns.items() if column.kind in ("numbers", "lists")]
    numbers = [name for name, column in columns.items() if column.kind == "number"]
    counters = [name for name, column in columns.items() if column.counts_rows or column.names_rows]
    counters += same  # nor does a word that every row has say anything
    listed = {} if wanted.columns is None else {"columns": ",".join(rest)}
    if wanted.input == "text" or (words and not lists and not numbers):
        best = max(words, key=lambda one: columns[one].mean_words, default="")
        advice = (
            f"name the column with the texts: {flag('text-column', best)}" if best else "there is no text"
        )
        if len(words) == 2:
            advice += f"; {_as_a_pair(words)}"
        return Match(f"{begin}; there is no column `text`", advice=advice)
    if words or not rest:
        usable = [name for name in (*numbers, *lists) if name not in counters]
        what = (
            f"{columns_named(words)} {'holds' if len(words) == 1 else 'hold'} words"
            if words
            else "no other column"
        )
        options = [flag("columns", *usable) + " reads the numbers only"] if usable else []
        categories = [name for name in words if columns[name].is_category]
        if usable and categories == words:
            options.append(f"{flag('static-columns', *words)} reads {_them(words)} beside the numbers")
        best = max(words, key=lambda one: columns[one].mean_words, default="")
        options += [flag("text-column", best) + " reads the text only"] if best else []
        long = [one for one in words if columns[one].mean_words > 2]
        options += [_as_a_pair(long)] if len(long) == 2 else []
        return Match(f"{begin}; {what}", advice="; ".join(options) or "there is nothing to learn from")
    aside = ""
    counters += [name for name, column in columns.items() if column.kind == "times"]
    if counters and wanted.columns is None:
        numbers = [name for name in numbers if name not in counters]
        usable = [name for name in rest if name in (*numbers, *lists)]
        if not usable or any("," in name for name in usable):
            return Match(
                f"{begin}; `{counters[0]}` counts the rows, and says nothing about them",
                advice="take it out" if usable else "there is nothing else to learn from",
            )
        aside = f" ({columns_named(counters)} {'is' if len(counters) == 1 else 'are'} not read)"
        listed = {"columns": ",".join(usable)}
    records = [name for name, column in columns.items() if column.kind == "record"]
    if records:
        return Match(
            f"{begin}; `{records[0]}` holds JSON objects", advice="write what counts into columns of its own"
        )
    if lists and numbers:
        return Match(
            f"{begin}; {columns_named(lists)} hold lists and {columns_named(numbers)} single numbers",
            advice=f"{flag('static-columns', *numbers)} puts {_them(numbers)} beside the lists; "
            f"{flag('columns', *lists)} reads the lists only",
        )
    kind = "sequences" if lists else "vectors"
    what = f"sequences in {columns_named(lists)}" if lists else f"the numbers in {columns_named(numbers)}"
    if not lists and len(numbers) > 1:
        if wanted.input == "sequences" or wanted.steps_in_columns:
            what = f"sequences of {len(numbers):,} steps, one a column"
            steps = {**settled, **listed, "input": "sequences", "steps_in_columns": True}
            return Match(begin, f"{truth.learning} {what}{aside}", options=steps)
        if are_numbered(numbers):
            aside += "; --input sequences reads the columns as the steps of a sequence"
    if wanted.input not in ("auto", kind):
        return Match(
            f"{begin}; the examples are {kind}",
            advice=f"leave out --input {wanted.input}, or name other columns",
        )
    return Match(begin, f"{truth.learning} {what}{aside}", options={**settled, **listed, "input": kind})


def _files(survey: Survey, table: TableSurvey, truth: Match, texts: list[str], rest: list[str]) -> Match:
    begin, settled = truth.why, truth.options
    names = table.columns[FILE_COLUMN]
    first = next(iter(names.values), "")
    if texts:
        return Match(
            f"{begin}; `{FILE_COLUMN}` and {columns_named(texts)} could both be what is labelled",
            advice=f"{flag('text-column', *texts)} labels the texts; for the files, take "
            f"{columns_named(texts)} out",
        )
    if is_image(first):
        return Match(
            f"{begin}; `{FILE_COLUMN}` names pictures ({first})",
            advice="a classifier reads texts, numbers and sounds; pictures can get captions (a column "
            "`caption`), "
            "and videos a label for each frame (files named in a column `labels`)",
        )
    if not is_sequence_file(first):
        return Match(
            f"{begin}; `{FILE_COLUMN}` names {first!r}",
            advice="a classifier reads files of arrays (.csv, .tsv, .npy, .npz) and sounds (.wav, .flac, "
            ".ogg)",
        )
    kind = "audio" if is_sound_file(first) else "sequences"
    where = f"in {survey.path if survey.path.is_dir() else table.folder}"
    unread = [one for one in rest if one != FILE_COLUMN and table.columns[one].filled]
    what = "sounds" if kind == "audio" else "arrays"
    return Match(
        begin,
        f"{truth.learning} {what} {where}{_not_read(table, unread)}",
        options={**settled, "input": kind},
    )


def _values(table: TableSurvey, column: Column) -> str:
    more = "" if table.complete else f" in the first {table.rows:,} rows"
    if isinstance(table.path, Path) and table.path.is_dir() and column.different <= _NAMED:
        more = f" ({', '.join(sorted(column.values))}){more}"  # any folder is taken for a label
    if column.different == 2 or column.different < 2:
        return f"{column.different} value{'s' * (column.different != 1)}{more}"
    return f"{column.different:,} values{more}"
