"""Tables with a word or an event in each row, and a column that says which rows belong together."""

from __future__ import annotations

import re

from throughtime.recognition.advice import columns_named, flag
from throughtime.recognition.match import Match
from throughtime.recognition.survey import Survey, TableSurvey
from throughtime.recognition.wanted import Wanted

_SENTENCES = re.compile(r"sent(ence)?([ _#-]*(id|no|num|number|idx))?[ #]*", re.IGNORECASE)
_WORDS = re.compile(r"words?|tokens?|forms?", re.IGNORECASE)
_TAGS = re.compile(r"(ner|pos|upos|xpos|bio)?[ _]?(tags?|labels?)|ner|pos|upos", re.IGNORECASE)
_EVENTS = re.compile(
    r"(event|action|activity|concept:name|page|click|behaviou?r|command|syscall)s?([ _](type|name))?",
    re.IGNORECASE,
)
_OWNERS = re.compile(
    r"(case:concept:name|(user|session|visitor|customer|client|case|device|host|account|member|player)"
    r"s?([ _]?(id|name|session))?)",
    re.IGNORECASE,
)
_SEQUENCES = re.compile(
    r"(series|sequence|recording|session|window|trial|subject|measurement|sample|breath|engine)[ _]?(id|no)",
    re.IGNORECASE,
)


def words_of_sentences(survey: Survey, wanted: Wanted) -> Match | None:
    """A word and its tags in each row, and the sentence that it is in, as in Kaggle's ner_dataset.csv."""
    table = survey.table
    if table is None or table.groups is not None or wanted.task not in (None, "word-tagger"):
        return None
    sentences, words = _called(table, _SENTENCES), _called(table, _WORDS)
    tags = [name for name in table.columns if _TAGS.fullmatch(name) and name not in (*sentences, *words)]
    if not sentences or not words or not tags or table.columns[words[0]].kind != "text":
        return None
    return Match(
        f"a word in each row, and `{sentences[0]}` says of which sentence",
        advice=f"use {flag('group-by', sentences[0])} {flag('word-column', words[0])} "
        f"{flag('tag-column', tags[-1])}",
    )


def event_log(survey: Survey, wanted: Wanted) -> Match | None:
    """An event in each row, and whose it is: clicks, activities of a case."""
    table = survey.table
    if (
        table is None
        or table.groups is not None
        or wanted.task is not None
        or wanted.label(table) is not None
    ):
        return None
    events = [name for name in _called(table, _EVENTS) if table.columns[name].kind == "text"]
    owners = [name for name in _called(table, _OWNERS) if name not in events]
    if not events or not owners or table.columns[owners[0]].different == table.columns[owners[0]].filled:
        return None
    return Match(
        f"an event in each row (`{events[0]}`), and {columns_named(owners[:1])} says whose",
        advice=f"to learn how they follow each other, use --lines {flag('group-by', owners[0])} "
        f"{flag('text-column', events[0])}; for a label of each {owners[0]}, {flag('group-by', owners[0])} "
        f"{flag('text-column', events[0])} --label-column COLUMN",
    )


def sequence_column(table: TableSurvey) -> str | None:
    """The column that says of which sequence each row is a step; None where there is none."""
    if table.groups is not None:
        return None
    columns = (table.columns[name] for name in _called(table, _SEQUENCES))
    return next((one.name for one in columns if one.filled > 2 * one.different), None)


def advice_on_steps(table: TableSurvey) -> str:
    """What is said of a table whose rows may be the steps of sequences; "" where no column says of which."""
    name = sequence_column(table)
    if name is None:
        return ""
    return f"; where the rows of a `{name}` are the steps of one sequence, add {flag('group-by', name)}"


def _called(table: TableSurvey, names: re.Pattern[str]) -> list[str]:
    return [name for name in table.columns if names.fullmatch(name.strip())]
