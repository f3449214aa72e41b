"""What to tell a user whose table is not recognised: the columns that it has, and the flags to name them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from throughtime.recognition.columns import Column
from throughtime.recognition.survey import TableSurvey

_LISTED = 8
_WORDS_OF_A_TEXT = 2
# A label has fewer.
_MOST_WORDS_OF_A_LABEL = 4
# Texts that are there to be compared; others, such as a title and a body, are read one after the other.
_COMPARED = ({"question", "answer"}, {"premise", "hypothesis"}, {"query", "document"}, {"text", "hypothesis"})
# Names under which people keep labels, best first.
_LABEL_NAMES = [
    "labels",
    "class",
    "category",
    "target",
    "sentiment",
    "y",
    "tag",
    "intent",
    "topic",
    "type",
    "genre",
    "species",
    "stars",
    "rating",
    "score",
    "polarity",
    "is_spam",
    "spam",
    "toxic",
    "emotion",
    "language",
    "lang",
    "author",
    "churn",
    "survived",
    "diagnosis",
    "outcome",
    "result",
]
_KINDS = {
    "text": "text",
    "number": "number",
    "time": "time",
    "numbers": "lists of numbers",
    "texts": "lists of words",
    "times": "lists of times",
    "marks": "marks in a text",
    "lists": "lists of lists",
    "record": "JSON objects",
    "empty": "empty",
}


def columns_named(names: Sequence[str]) -> str:
    """Some names for a sentence: `a`, `b` and `c`."""
    quoted = [f"`{name}`" for name in names[:_LISTED]]
    if len(names) > _LISTED:
        return f"{', '.join(quoted)}... ({len(names):,} in all)"
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else "".join(quoted)


def flag(name: str, *columns: str) -> str:
    """An option with columns as its value, as a shell takes it."""
    return f"--{name} {shlex.quote(','.join(columns))}"


def describe_columns(table: TableSurvey) -> str:
    """Which columns there are: "text columns: review; number columns: stars"."""
    parts = []
    for kind, what in _KINDS.items():
        names = table.of_kind(kind)
        if names:
            title = f"{what} column{'s' * (len(names) != 1)}" if kind in ("text", "number", "time") else what
            more = f"... ({len(names):,})" if len(names) > _LISTED else ""
            parts.append(f"{title}: {', '.join(names[:_LISTED])}{more}")
    return "; ".join(parts)


def likely_label(table: TableSurvey, but: Sequence[str] = ()) -> str | None:
    """The column that most likely holds the labels; None where none does."""
    found = [
        column
        for name, column in table.columns.items()
        if name not in but
        and column.is_category
        and not column.is_time
        and column.mean_words <= _MOST_WORDS_OF_A_LABEL
    ]
    # Tables end with what is to be predicted more often than they begin with it.
    return min(reversed(found), key=_unlikely).name if found else None


def likely_list(table: TableSurvey) -> str | None:
    """The one column of lists of words, beside a text that they may be labels of."""
    lists = table.of_kind("texts")
    return lists[0] if len(lists) == 1 and likely_text(table) is not None else None


def likely_text(table: TableSurvey, but: Sequence[str] = ()) -> str | None:
    """The column with the longest texts; None where there is no text. A code of each row is none."""
    texts = [table.columns[name] for name in table.of_kind("text") if name not in but]
    # Formulas and sequences are long, and have no words.
    best = max(
        (column for column in texts if not column.names_rows and column.different > 1),
        key=lambda one: (one.mean_words if one.mean_words > _WORDS_OF_A_TEXT else 0, one.mean_characters),
        default=None,
    )
    return None if best is None else best.name


def _is_long(table: TableSurvey, name: str) -> bool:
    return table.columns[name].mean_words > _WORDS_OF_A_TEXT


def _without_number(name: str) -> str:
    return re.sub(r"[\d_ #-]+", "", name.lower())


def likely_pair(table: TableSurvey) -> tuple[str, str] | None:
    """The columns of a text and of its translation; None where there are no two. Categories are no texts."""
    columns = [table.columns[name] for name in table.of_kind("text")]
    texts = [one.name for one in columns if not (one.is_category or one.names_rows)]
    if len(table.columns) > 2:
        texts = [name for name in texts if table.columns[name].mean_words > 1]
    return (texts[0], texts[1]) if len(texts) >= 2 else None


def _unlikely(column: Column) -> tuple[int, bool, int]:
    known = ("label", *_LABEL_NAMES)
    # `airline_sentiment` is a sentiment, if no column is called so.
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column.name).lower())
    places = [known.index(word) for word in words if word in known]
    exact = column.name.strip().lower() in known
    place = min(places, default=len(known)) + (0 if exact else len(known))
    return place, column.mean_words > 2, column.different


def likely_number(table: TableSurvey, but: Sequence[str] = ()) -> str | None:
    """The column that most likely holds the number to predict; None where there are no numbers."""
    columns = [table.columns[name] for name in table.of_kind("number") if name not in but]
    columns = [
        column
        for column in reversed(columns)
        if not (column.counts_rows or column.counts_up or column.names_rows or column.is_time)
        and column.different > 1
    ]
    best = min(columns, key=lambda one: (_unlikely(one)[0], one.is_category), default=None)
    return None if best is None else best.name


def which_columns(
    table: TableSurvey, label: str | None, texts: Sequence[str], numbers: bool = True
) -> list[str]:
    """The flags that would make a classifier's table of this one, each way by itself.

    Args:
        table: what its columns hold.
        label: the column with the labels, where that is known.
        texts: the columns with the texts, where they are known.
        numbers: whether numbers to predict are a way.
    """
    ways = []
    found = label or likely_label(table, texts) or likely_list(table)
    if found is not None:
        ways.append(_flags(table, found, label, texts))
    number = likely_number(table, texts) if numbers and label is None else None
    if number is not None and number == found:
        ways.append("the same with --target number")
    elif number is not None:
        ways.append(f"{_flags(table, number, None, texts, is_number=True)} --target number")
    return [way for way in ways if way]


def _numbered_pair(table: TableSurvey, but: str) -> list[str]:
    """Two texts whose names differ in a number only, as sentence1 and sentence2; [] where there are none."""
    names = [name for name in table.of_kind("text") if name != but and _is_long(table, name)]
    stems = sorted({_without_number(name) for name in names}, key=len)
    pairs = ([name for name in names if _without_number(name) == stem] for stem in stems)
    return next((pair for pair in pairs if len(pair) == 2), [])


def _flags(
    table: TableSurvey, found: str, label: str | None, texts: Sequence[str], is_number: bool = False
) -> str:
    pair = [] if texts else _numbered_pair(table, found)
    if pair and len([one for one in table.of_kind("text") if _is_long(table, one)]) > 2:
        read = f"{flag('text-column', pair[0])} {flag('second-text', pair[1])} {flag('columns', *pair)}"
        return f"{read} {flag('label-column', found)}" if label != "label" else read
    text = None if texts else likely_text(table, [found])
    numbers = [name for name in table.of_kind("number") if name != found]
    texts_of_few = [name for name in table.of_kind("text") if table.columns[name].is_category]
    categories = [name for name in texts_of_few if name != found]
    if numbers and text in categories and table.columns[text].mean_words <= _WORDS_OF_A_TEXT:
        return f"{flag('label-column', found)} {flag('static-columns', *categories)}"
    flags = [flag("label-column", found)] if label != "label" else []
    if text is not None and text != "text":
        flags.insert(0, flag("text-column", text))
    read = list(texts) or ([] if text is None else [text])
    others = [
        one.name
        for one in table.columns.values()
        if one.kind not in ("number", "time", "times", "empty")
        and one.name not in (*read, found)
        and not one.names_rows
    ]
    second = [one for one in others if table.columns[one].kind == "text" and _is_long(table, one)]
    if len(read) == 1 and len(second) == 1 and _is_long(table, read[0]):
        read = sorted([read[0], second[0]], key=list(table.columns).index)
        others.remove(second[0])
        flags = [one for one in flags if not one.startswith("--text-column")]
        is_pair = (
            _without_number(read[0]) == _without_number(read[1]) or set(map(str.lower, read)) in _COMPARED
        )
        both = (
            [flag("text-column", read[0]), flag("second-text", read[1])]
            if is_pair
            else [flag("text-column", *read)]
        )
        flags = [*both, *flags]
    if others and read:
        flags.append(flag("columns", *read))
    return " ".join(flags)
