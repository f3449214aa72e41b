"""Files that lie beside the sounds of a folder and say what is in them, as other programs leave them."""

from __future__ import annotations

import shlex
from pathlib import Path

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


def _has_times(path: Path) -> bool:
    """Whether a text's first line begins with two times, as a label track's does."""
    try:
        with path.open("rb") as file:
            cells = file.readline(_LOOKED_AT).decode("utf-8", "replace").split()
    except OSError:
        return False
    return len(cells) > 1 and all(map(reads_as_number, cells[:2]))


def _command(path: Path, inner: str) -> str:
    return f"cd {shlex.quote(str(path))} && ({inner}) > metadata.csv"
