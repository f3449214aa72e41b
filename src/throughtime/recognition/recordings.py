"""Tables that name sounds or arrays, with the text of each: what a transcriber learns from."""

from __future__ import annotations

from pathlib import Path

from throughtime.data.audio import AUDIO_SUFFIXES
from throughtime.data.features import is_sequence_file, is_sound_file
from throughtime.data.file_names import FILE_COLUMN
from throughtime.recognition.advice import columns_named, describe_columns, flag
from throughtime.recognition.foreign import OTHER_SOUNDS
from throughtime.recognition.match import Match
from throughtime.recognition.survey import Survey, TableSurvey
from throughtime.recognition.wanted import Wanted
from throughtime.tasks.tagger.clips import LABELS_COLUMN
from throughtime.tasks.transcriber.recordings import TEXT_COLUMNS


def transcripts(survey: Survey, wanted: Wanted) -> Match | None:
    """A folder of recordings whose table has the text of each."""
    table = survey.table
    if table is None or FILE_COLUMN not in table.columns:
        return None
    names = table.columns[FILE_COLUMN]
    first = next(iter(names.values), "")
    texts = _texts(table, wanted)
    if texts and Path(first).suffix.lower() in OTHER_SOUNDS:
        return Match(
            f"`{FILE_COLUMN}` names sounds in a format that is not read ({first})",
            advice=f"convert them to {', '.join(AUDIO_SUFFIXES)}, and the names in the table",
        )
    if not is_sequence_file(first):
        return None
    if not texts:
        if wanted.task != "transcriber":
            return None
        return Match(
            f"no column `{TEXT_COLUMNS[0]}`; {describe_columns(table)}",
            advice="name the column with the text of each recording: --text-column",
        )
    label = wanted.label(table) or (LABELS_COLUMN if LABELS_COLUMN in table.columns else None)
    if wanted.task is None and label is not None:
        if wanted.text_column is not None:
            return None  # a classifier of these texts
        return Match(
            f"`{FILE_COLUMN}` names recordings ({first}) with a text ({columns_named(texts)}) and `{label}`",
            advice="say which it is for: --task transcriber, or --task "
            f"{'tagger' if label == LABELS_COLUMN else 'classifier'}",
        )
    if len(texts) > 1:
        return Match(
            f"{columns_named(texts)} could each be the text of the recordings",
            advice=f"choose one: {flag('text-column', texts[0])}",
        )
    if table.complete and names.different < names.filled:
        return Match(
            f"`{FILE_COLUMN}` names a recording in several rows, each with a text",
            advice="a transcriber needs a file for each text: cut the recordings into their parts",
        )
    kind = "audio" if is_sound_file(first) else "sequences"
    if wanted.input not in ("auto", kind):
        return Match(
            f"`{FILE_COLUMN}` names {first}",
            advice=f"leave out --input {wanted.input}",
        )
    what = "sounds" if kind == "audio" else "arrays"
    return Match(
        f"{len(table.columns)} columns; `{FILE_COLUMN}` names {what}",
        f"writing the text of each from `{texts[0]}`",
        options={"input": kind, "text_column": texts[0]},
    )


def _texts(table: TableSurvey, wanted: Wanted) -> list[str]:
    if wanted.text_column is not None:
        return [wanted.column(table, wanted.text_column, "--text-column")]
    kinds = ("text", "number", "time")
    return [one for one in TEXT_COLUMNS if one in table.columns and table.columns[one].kind in kinds]
