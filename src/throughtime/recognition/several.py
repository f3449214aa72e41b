"""Several labels for an example: in a cell, in a list, or in a column of 0 and 1 for each."""

from __future__ import annotations

import re

from throughtime.recognition.advice import columns_named, flag
from throughtime.recognition.columns import Column
from throughtime.recognition.match import Match
from throughtime.recognition.survey import Survey
from throughtime.recognition.wanted import Wanted

# <python><pandas>, as Stack Overflow writes tags.
_BRACKETS = re.compile(r"(<[^<>]+>)+")
_SEPARATORS = ("|", ";", ",")
FLAGS = frozenset(["0", "1", "true", "false", "True", "False"])


def label_columns(survey: Survey, wanted: Wanted) -> Match | None:
    """A column of 0 and 1 for each label beside a text, where no column is named."""
    table = survey.table
    if table is None or wanted.label(table) is not None or wanted.task not in (None, "classifier"):
        return None
    texts = wanted.texts(table) or [one for one in table.of_kind("text") if table.columns[one].mean_words > 2]
    found = [name for name, column in table.columns.items() if column.filled and set(column.values) <= FLAGS]
    # A label that none of the first rows has is a label, too.
    flags = [name for name in found if table.columns[name].different == 2 or table.columns[name].values["0"]]
    if not texts or sum(table.columns[name].different == 2 for name in flags) < 2:
        return None
    text = "" if "text" in texts else flag("text-column", texts[0]) + " "
    return Match(
        f"{columns_named(flags)} are 0 or 1 for each text",
        advice=f"use {text}{flag('label-column', *flags)} --target labels",
    )


def several_labels(column: Column, wanted: Wanted, others: list[Column]) -> tuple[str, dict[str, str]] | None:
    """What shows that a column has several labels in a cell, and the options that follow; None where not."""
    if column.kind in ("texts", "numbers"):
        if not any(other.lengths == column.lengths for other in others):
            return "holds lists of labels", {"target": "labels"}
        return None
    if wanted.as_they_are or not column.kinds["text"]:  # of "3" and "3,7" most may be numbers
        return None
    cell, separator = cell_with_several(column)
    if not cell:
        return None
    said = f"has several labels in a cell ({cell!r}, between {separator!r})"
    return said, {"target": "labels", "label_separator": separator}


def cell_with_several(column: Column) -> tuple[str, str]:
    """A cell with several labels, and what separates them; "" where labels are single ones."""
    cells = list(column.values)
    for cell in cells:
        if len(cell) > 2 and cell[0] + cell[-1] in ("[]", "{}"):
            return cell, ","
    in_brackets = all(map(_BRACKETS.fullmatch, cells)) and next((one for one in cells if "><" in one), "")
    if in_brackets:
        return in_brackets, "><"
    for separator in _SEPARATORS:
        several = [cell for cell in cells if separator in cell]
        parts = [{part.strip() for part in cell.split(separator)} for cell in cells]
        together: set[str] = set().union(*parts)
        # Parts that come together in ever new ways are labels; "Paris, France" has a new part each time.
        if several and "" not in together and 2 <= len(together) <= len(cells):
            return several[0], separator
    return "", ""
