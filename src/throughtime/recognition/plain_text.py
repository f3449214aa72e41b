"""What a plain text file is besides prose: tagged words, a table under another name, labelled lines."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence

from throughtime.data.numbers import reads_as_number
from throughtime.recognition.columns import is_time

CONLL_SUFFIXES = (".conll", ".conllu", ".bio", ".bioes", ".iob", ".iob2")
# A log, a program or a page is text whatever its lines look like.
TABLE_LIKE_SUFFIXES = (".txt", ".data", ".dat", ".text", "")
_HEADERS = frozenset(
    [
        "text",
        "label",
        "labels",
        "sentence",
        "review",
        "document",
        "source",
        "target",
        "caption",
        "image",
        "file_name",
        "filename",
        "id",
        "date",
        "time",
        "timestamp",
        "class",
        "category",
        "sentiment",
        "rating",
        "title",
        "question",
        "answer",
        "english",
        "german",
        "french",
        "en",
        "de",
        "fr",
    ]
)
_TAG = re.compile(r"O|[BIESLU]-[\w./-]+|_|[A-Z$.,:'`#()-]{1,6}")
# The Penn Treebank writes tags in capitals, the Brown corpus in small letters (np-tl, nn$, ppss+bem).
_SLASHED = re.compile(r".+/[A-Za-z$.,:'`()*+-]{1,12}")
# Numbers, fastText's labels, and those of TREC's questions (DESC:manner).
_LABELS = (re.compile(r"\d+"), re.compile(r"__label__.*"), re.compile(r"[A-Z]{2,}:\w+"))
_FEWEST_LINES = 3
_SEPARATORS = (
    ("\t", "tabs", ".tsv"),
    (",", "commas", ".csv"),
    (";", "semicolons", ".csv"),
    ("|", "bars", ".csv"),
)
# Of the cells of a column of numbers; the others are missing, whatever is written there.
_MOST_CELLS = 0.9
_FEWEST_SLASHED = 20
_FEWEST_SHORT = 20
_SHORT = 80
# A label's line needs more lines to be believed, as a numbered list begins with numbers, too.
_FEWEST_LABELLED = 10
_MOST_LABELS = 50


def tagged_words(suffix: str, lines: Sequence[str]) -> str:
    """Why these lines are words with a tag each (CoNLL); "" where they are not."""
    rows = [line for line in lines if line.strip() and not line.startswith("#")]
    widths = {len(row.split("\t") if "\t" in row else row.split()) for row in rows}
    if suffix in CONLL_SUFFIXES and rows:
        return f"a {suffix} file"
    if suffix == ".tsv" and any(" " in row.split("\t")[0].strip() for row in rows):
        return ""  # texts rather than words
    blank = any(not line.strip() for line in lines)
    if len(rows) < _FEWEST_LINES or not blank or len(widths) != 1 or not 2 <= next(iter(widths)) <= 14:
        return ""
    last = [row.split()[-1] for row in rows]
    spans = sum(tag == "O" or tag[1:2] == "-" for tag in last)
    if not all(_TAG.fullmatch(tag) for tag in last) or (spans < len(last) and len(set(last)) > len(last) / 2):
        return ""
    return f"{next(iter(widths))} columns of words and tags, and an empty line between sentences"


def sentences_beside_tags(lines: Sequence[str]) -> bool:
    """Whether each line is a sentence, a tab, and a tag for each of its words."""
    rows = [[cell.split() for cell in line.split("\t")] for line in lines if line.strip()]
    paired = [row for row in rows if len(row) == 2 and len(row[0]) == len(row[1])]
    tags = [tag for _, tags in paired for tag in tags]
    marked = sum(tag == "O" or tag[1:2] == "-" for tag in tags)
    return len(paired) >= max(1, _MOST_CELLS * len(rows)) and 2 * marked > len(tags) > 2 * len(rows)


def table_in_disguise(suffix: str, lines: Sequence[str]) -> tuple[str, str]:
    """Why these lines are rows of a table, and the suffix of such files; "" where they are not."""
    rows = [line for line in lines if line.strip()]
    if suffix not in TABLE_LIKE_SUFFIXES or len(rows) < _FEWEST_LINES:
        return "", ""
    if all(row.lstrip().startswith("{") and row.rstrip().endswith("}") for row in rows):
        return "every line is a JSON object", ".jsonl"
    for separator, name, right in _SEPARATORS:
        cells = list(csv.reader(rows, delimiter=separator))
        if len(cells[0]) < 2:
            continue
        names = [cell.strip().lower() for cell in cells[0]]
        known = sum(name in _HEADERS for name in names) * 2 >= len(names)
        wide = all(len(row) >= len(names) for row in cells)
        # Prose has commas, too, but not as many in each line, and no header.
        same = len({len(row) for row in cells}) == 1
        filled = same and (_has_numbers(cells[1:]) or _has_labels(cells))
        # Tabs may be indentation inside of cells that commas part.
        whole = same and all(any(row[place].strip() for row in cells) for place in range(len(names)))
        if (whole and separator == "\t") or (known and wide) or filled:
            return f"its lines are {len(cells[0])} cells between {name}", right
    return "", ""


def _has_numbers(rows: Sequence[Sequence[str]]) -> bool:
    """Whether nearly all cells of some column are numbers, also with a decimal comma."""
    return bool(rows) and any(
        sum(reads_as_number(row[place].strip().replace(",", ".", 1)) for row in rows)
        >= _MOST_CELLS * len(rows)
        for place in range(len(rows[0]))
    )


def _has_labels(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first or the last column has a few words again and again, and the others do not."""
    if len(rows) < _FEWEST_SHORT:
        return False
    columns = [[row[place].strip() for row in rows] for place in (0, -1)]
    return any(
        2 <= len(set(labels)) <= len(rows) / 10
        and all(label and " " not in label for label in labels)
        and len(set(texts)) > len(rows) / 2
        for labels, texts in (columns, columns[::-1])
    )


def line_of_names(lines: Sequence[str]) -> int:
    """The line, from 1, that begins the table below a title; 1 where there is no title."""
    found = 1, 0
    for separator, _, _ in _SEPARATORS:
        widths = [len(row) for row in csv.reader(lines, delimiter=separator)]
        width, count = Counter(widths).most_common(1)[0]
        line = widths.index(width)
        # Where neither a lone cell nor a blank line is above it, the rows have commas that no one quoted.
        if width > 1 and count > found[1] and len(widths) == len(lines) and {0, 1} & {*widths[:line]}:
            found = line + 1, count
    return found[0]


def only_numbers(suffix: str, lines: Sequence[str]) -> str:
    """What these lines are where they are numbers or times and nothing else; "" where they are not.

    The first one may be the names of the columns.
    """
    rows = [line.split() for line in lines if line.strip()]
    if suffix not in TABLE_LIKE_SUFFIXES or len(rows) < _FEWEST_LINES or len({len(row) for row in rows}) > 1:
        return ""
    cells = [one for row in rows[1:] for one in row]
    if not any(map(reads_as_number, cells)) or not all(reads_as_number(one) or is_time(one) for one in cells):
        return ""
    if not all(map(reads_as_number, cells)):
        return "times and numbers"
    return f"{len(rows[0]):,} numbers" if len(rows[0]) > 1 else "a number"


def words_with_tags(lines: Sequence[str]) -> str:
    """A word of these lines where each has its tag behind a slash, as in the/DT; "" where they do not."""
    words = [word for line in lines for word in line.split()]
    tagged = [word for word in words if _SLASHED.fullmatch(word)]
    return tagged[0] if len(words) >= _FEWEST_SLASHED and len(tagged) > 0.95 * len(words) else ""


def short_lines(lines: Sequence[str]) -> bool:
    """Whether these lines look like names, addresses or formulas, each of which is an example of its own."""
    filled = [line for line in lines if line.strip()]
    many = len(filled) >= _FEWEST_SHORT and len(filled) == len(lines)
    return many and all(len(line) <= _SHORT and len(line.split()) <= 3 for line in filled)


def marked_up(lines: Sequence[str]) -> bool:
    """Whether these lines are of an ARFF file, or of one of sktime's .ts files."""
    return any(line.lower().startswith(("@problemname", "@relation", "@attribute")) for line in lines)


def labelled_lines(lines: Sequence[str]) -> str:
    """Why each of these lines is a label and a text, as fastText and others write them; "" where not."""
    rows = [line.split(maxsplit=1) for line in lines if line.strip()]
    bare = sum(len(row) < 2 for row in rows)
    if len(rows) < _FEWEST_LABELLED or bare > len(rows) / 20:
        return ""
    first = [row[0] for row in rows]
    labels = dict.fromkeys(first)
    is_label = any(all(map(kind.fullmatch, labels)) for kind in _LABELS)
    # Sorted files begin with many lines of one label.
    fewest = 1 if len(rows) > _MOST_LABELS else 2
    if not is_label or not fewest <= len(labels) <= min(_MOST_LABELS, len(rows) / 2):
        return ""
    listed = ", ".join(list(labels)[:4])
    which = f"one of {len(labels)} labels" if len(labels) > 1 else "a label"
    return f"every line begins with {which} ({listed}) and goes on with a text"
