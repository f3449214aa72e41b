"""Files that lie beside the sounds of a folder and say what is in them, as other programs leave them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from throughtime.data.features import is_sound_file
from throughtime.data.file_names import FILE_COLUMN
from throughtime.data.numbers import reads_as_number
from throughtime.recognition.survey import FolderSurvey

_TABLES = (".csv", ".tsv")
# RTTM has the recording, the begin, the length and the speaker of each turn.
_OF_TURNS = (
    f'echo {FILE_COLUMN},start_seconds,end_seconds,label; awk \'{{print $2"%s,"$4","$4+$5","$8}}\' *%s'
)
_OF_LABELS = f'echo {FILE_COLUMN},labels; for f in *%s; do echo "$f,${{f%%%s}}%s"; done'
# Quotes of a text are doubled, as CSV has them.
_OF_TEXTS = (
    f'echo {FILE_COLUMN},text; for f in *%s; do printf \'%%s,"%%s"\\n\' "$f" '
    '"$(sed \'s/"/""/g\' "${f%%%s}%s")"; done'
)
# LibriSpeech's: a line for each sound of the folder, its name without the suffix and what is said.
_TRANSCRIPTS = "*.trans.txt"
_OF_TRANSCRIPTS = (
    f"echo {FILE_COLUMN},text; find . -name '{_TRANSCRIPTS}' | sort | while read -r t; do "
    r"""sed -E 's/"/""/g; s#^([^ ]+) (.*)#'"$(dirname "$t")"'/\1%s,"\2"#' "$t"; done"""
)
_DEEPEST = 4
# LJ Speech's: the table is there, but for its header, the folder and the suffix; the last cell is the text.
_OF_NAMES = (
    f"echo {FILE_COLUMN},text; awk -F'%s' "
    r"""'{gsub(/"/, "\"\""); print "%s/"$1"%s,\""$NF"\""}' bare.txt"""
)
# Of names that stand in a command, and mean nothing to a shell or a pattern.
_PLAIN = re.compile(r"[\w.-]+")
_LOOKED_AT = 200


def table_of_beside(path: Path, folder: FolderSurvey) -> tuple[str, str] | None:
    """What such files are, and the command that writes a metadata.csv of them; None where there are none."""
    sound = folder.example.get("sound")
    if sound is None:
        return None
    suffix = Path(sound).suffix
    turns = next((one for one in (".rttm", ".RTTM") if any(path.glob(f"*{one}"))), None)
    if turns is not None:
        return "whose turns are in RTTM files", _command(path, _OF_TURNS % (suffix, turns))
    for kind in (".txt", *_TABLES):
        beside = path / Path(sound).with_suffix(kind)
        if not beside.is_file():
            continue
        form, what = _OF_LABELS, "labels"
        if kind == ".txt" and not _has_times(beside):
            form, what = _OF_TEXTS, "text"
        return f"with the {what} of each beside it ({beside.name})", _command(
            path, form % (suffix, suffix, kind)
        )
    return None


def table_of_transcripts(path: Path) -> tuple[str, str] | None:
    """Likewise, of transcripts in folders inside a folder."""
    for depth in range(_DEEPEST):
        found = next(path.glob("/".join(["*"] * depth + [_TRANSCRIPTS])), None)
        if found is not None:
            sound = next((one for one in found.parent.iterdir() if is_sound_file(one.name)), None)
            suffix = sound.suffix if sound is not None else ".flac"
            return f"with transcripts inside ({found.relative_to(path)})", _command(
                path, _OF_TRANSCRIPTS % suffix
            )
    return None


def table_of_names(path: Path) -> str | None:
    """The command that gives a folder's metadata.csv a header, and its sounds their whole names.

    None where the first cell of the table is no sound's name without its folder and suffix.
    """
    first = _first_line(path / "metadata.csv")
    separator = next((one for one in "|\t" if one in first), "")
    stem = first.partition(separator)[0] if separator else ""
    if not _PLAIN.fullmatch(stem):
        return None
    sound = next((one for one in path.glob(f"*/{stem}.*") if is_sound_file(one.name)), None)
    if sound is None or not _PLAIN.fullmatch(sound.parent.name):
        return None
    inner = _OF_NAMES % (f"[{separator}]", sound.parent.name, sound.suffix)
    return f"cd {shlex.quote(str(path))} && mv metadata.csv bare.txt && ({inner}) > metadata.csv"


def _has_times(path: Path) -> bool:
    """Whether a text's first line begins with two times, as a label track's does."""
    cells = _first_line(path).split()
    return len(cells) > 1 and all(map(reads_as_number, cells[:2]))


def _first_line(path: Path) -> str:
    """The beginning of a text's first line; "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.readline(_LOOKED_AT).decode("utf-8", "replace")
    except OSError:
        return ""


def _command(path: Path, inner: str) -> str:
    return f"cd {shlex.quote(str(path))} && ({inner}) > metadata.csv"
