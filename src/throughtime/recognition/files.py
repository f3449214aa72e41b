"""What is no table: texts, files of other programs, folders without metadata."""

from __future__ import annotations

import shlex
from pathlib import Path

from throughtime.data.class_folders import are_parts
from throughtime.data.file_names import FILE_COLUMN
from throughtime.data.tables import is_table
from throughtime.recognition.beside import table_of_beside, table_of_transcripts
from throughtime.recognition.foreign import what_it_is
from throughtime.recognition.match import Match
from throughtime.recognition.plain_text import (
    labelled_lines,
    marked_up,
    only_numbers,
    sentences_beside_tags,
    short_lines,
    table_in_disguise,
    tagged_words,
    words_with_tags,
)
from throughtime.recognition.survey import FolderSurvey, Survey
from throughtime.recognition.wanted import Wanted
from throughtime.tasks.word_tagger.conll import layout_of

# Names of tables that say what the files beside them are.
_ABOUT_FILES = ("labels", "label", "metadata", "meta", "index", "annotations", "targets")
# A word and its tag on each line, and an empty line between sentences.
_OF_SENTENCES = (
    r"""awk -F'\t' '{n=split($1,w," "); split($2,t," "); for(i=1;i<=n;i++) print w[i]"\t"t[i]; print ""}' """
    "%s > %s.conll"
)
# Of lines such as NAME:START:1,2,?,4 under @data a row for each time.
_OF_MONASH = (
    '(echo series,time,value; awk -F: \'/^@data/{d=1; next} d{n=split($NF,v,","); '
    'for(i=1;i<=n;i++)print $1","i","v[i]}\' %s) > %s.csv'
)
# What a metadata.csv says of the files in a folder, by their kind.
_METADATA_OF = {
    "picture": f"{FILE_COLUMN},caption, a picture and what is said of it a row",
    "sound": f"{FILE_COLUMN},label, a sound and its label a row (or {FILE_COLUMN},text: what each says)",
    "video": f"{FILE_COLUMN},labels, a video and the file with its labels a row",
    "array": f"{FILE_COLUMN},label, an array and its label a row, or {FILE_COLUMN},labels",
    "table": f"{FILE_COLUMN},label, a sequence and its label a row, or {FILE_COLUMN},labels",
}


def other_programs(survey: Survey, wanted: Wanted) -> Match | None:
    """A spreadsheet, an archive, one picture..."""
    if survey.foreign is None:
        return None
    what, advice = survey.foreign
    return Match(f"this is {what}", advice=advice)


def other_encoding(survey: Survey, wanted: Wanted) -> Match | None:
    """A text that is not UTF-8, unless its owner has said what to do with such bytes."""
    if survey.encoding is None:
        return None
    if survey.is_text and (wanted.errors == "replace" or wanted.tokenizer == "byte"):
        return None
    name, called = survey.encoding
    others = "; --errors replace reads such bytes as U+FFFD" if survey.is_text else ""
    return Match(
        f"{survey.first_byte} is not UTF-8, and the text looks like {called}",
        advice=f"--encoding {name} reads it{others}",
    )


def as_text(survey: Survey, wanted: Wanted) -> Match | None:
    """Whatever its owner wants to be read as prose."""
    if wanted.task != "language-model":
        return None
    # One JSON document is text, too.
    if (
        survey.is_text
        or (is_table(survey.path) and survey.path.suffix != ".parquet")
        or survey.suffix == ".json"
    ):
        if survey.path.suffix.lower() == ".gz":
            return Match("this is a gzip file", advice=f"unpack it first: gunzip {survey.path}")
        what = "text" if survey.is_text else f"{survey.suffix} read as text, because {wanted.because} says so"
        return Match(what, "writing like it")
    return None


def tagged_lines(survey: Survey, wanted: Wanted) -> Match | None:
    """Words with their tags, one a line (CoNLL)."""
    if not survey.is_text or wanted.target is not None:
        return None
    if sentences_beside_tags(survey.lines):
        stem = survey.path.name.removesuffix(survey.path.suffix)
        command = _OF_SENTENCES % (shlex.quote(str(survey.path)), shlex.quote(stem))
        return Match(
            "each line is a sentence, a tab, and a tag for each of its words",
            advice=f"write a word and its tag on each line: {command}",
        )
    why = tagged_words(survey.suffix, survey.lines)
    if not why and wanted.task != "word-tagger":
        return None
    layout = layout_of(survey.lines, str(survey.path), wanted.word_column, wanted.tag_column)
    return Match(layout.described, "a tag for every word")


def disguised_table(survey: Survey, wanted: Wanted) -> Match | None:
    """A text that is a table by another name, or lines that begin with their labels."""
    if not survey.is_text or wanted.target is not None:
        return None
    if marked_up(survey.lines):
        stem = survey.path.name.removesuffix(survey.path.suffix)
        if survey.suffix == ".tsf":
            command = _OF_MONASH % (shlex.quote(str(survey.path)), shlex.quote(stem))
            return Match(
                "a file of the Monash archive, whose lines are series",
                advice=f"write a row for each time: {command}, and train on that with --time-column time "
                "--series-column series --value-column value",
            )
        return Match("this is an ARFF or sktime file", advice=f"call it {stem}.ts or {stem}.arff")
    why, suffix = table_in_disguise(survey.suffix, survey.lines)
    prose = "--task language-model reads it as text"
    if why:
        packed = ".gz" if survey.path.suffix.lower() == ".gz" else ""
        stem = survey.path.name[: len(survey.path.name) - len(packed) - len(survey.suffix)]
        return Match(f"a table by another name: {why}", advice=f"call it {stem}{suffix}{packed}, or {prose}")
    numbers = only_numbers(survey.suffix, survey.lines)
    if numbers:
        return Match(
            f"every line is {numbers}",
            advice="make a .csv of it, with times beside the numbers of a series, or a label beside those of "
            f"each example: awk '{{$1=$1}}1' OFS=, {shlex.quote(survey.path.name)} > NEW.csv (where the "
            f"labels are in a file of their own, paste -d, LABELS NEW.csv puts them in front); {prose}",
        )
    word = words_with_tags(survey.lines)
    if word:
        return Match(
            f"words with their tags, as in {word}",
            advice="write a word, a tab and its tag on each line, and an empty line between sentences, or "
            f"{prose}",
        )
    why = labelled_lines(survey.lines)
    return Match(why, advice=f"make it a .tsv with the header label, tab, text, or {prose}") if why else None


def text(survey: Survey, wanted: Wanted) -> Match | None:
    """A text file, for a language model."""
    if not survey.is_text:
        return None
    if survey.path.suffix.lower() == ".gz":
        return Match("this is a gzip file", advice=f"unpack it first: gunzip {survey.path}")
    lines = "; --lines makes each of its lines an example of its own" if short_lines(survey.lines) else ""
    return Match("text", f"writing like it{lines}")


def bare_folder(survey: Survey, wanted: Wanted) -> Match | None:
    """A folder without metadata."""
    folder = survey.folder
    if folder is None or wanted.task in ("language-model", "translator", "word-tagger"):
        return None
    if not folder.files and not folder.inside:
        return Match("the folder is empty", advice="put the training data into it")
    parts = {Path(name).stem.lower(): name for name in (*folder.tables, *folder.texts)}
    if are_parts(parts) and "train" in parts and not folder.files["sound"]:
        held_out = next((parts[one] for one in ("valid", "validation", "dev", "val") if one in parts), None)
        also = f" --validation {shlex.quote(str(Path(str(survey.path), held_out)))}" if held_out else ""
        return Match(
            f"a folder of parts of the data ({', '.join(sorted(parts.values()))})",
            advice=f"name one: {shlex.quote(str(Path(str(survey.path), parts['train'])))}{also}",
        )
    place = Path(str(survey.path))
    known = table_of_beside(place, folder) or (table_of_transcripts(place) if folder.inside else None)
    if known is not None:
        what, command = known
        sounds = _counted({"sound": folder.files["sound"]}) if folder.files["sound"] else "sounds"
        return Match(f"a folder of {sounds} {what}, without metadata.csv", advice=f"write one: {command}")
    misnamed = [name for name in folder.tables if name.lower() not in ("metadata.csv",)]
    found = {kind: count for kind, count in folder.files.items() if kind in _METADATA_OF}
    media = {kind: count for kind, count in found.items() if kind != "table"}
    others = {kind: count for kind, count in found.items() if kind != "table" or len(misnamed) > 1}
    about = next((one for one in misnamed if Path(one).stem.lower() in _ABOUT_FILES), None)
    if (media and len(misnamed) == 1) or (about is not None and others):
        table = about or misnamed[0]
        media = media or {"table": len(misnamed) - 1}
        suffix = table[table.rfind(".") :].lower()
        return Match(
            f"a folder of {_counted(media)} without metadata.csv",
            advice=f"if {table} says what they are, call it metadata{suffix}, with the column {FILE_COLUMN}",
        )
    if are_parts(folder.inside):
        parts = sorted(folder.inside)
        part = next((name for name in parts if name.lower().startswith("train")), parts[0])
        return Match(
            f"a folder of parts of the data ({', '.join(parts)})",
            advice=f"name one: {Path(str(survey.path), part)}",
        )
    classes = _classes(folder)
    if classes:
        kind, names = classes
        return Match(
            f"{len(names)} folders of {kind}s ({', '.join(names[:4])}{'...' if len(names) > 4 else ''})",
            advice=_for_classes(kind),
        )
    if not media and len(folder.tables) == 1:
        return Match(
            "a folder with one table", advice=f"name the table: {Path(str(survey.path), folder.tables[0])}"
        )
    if found:
        kind = max(media or found, key=lambda one: found[one])
        return Match(
            f"a folder of {_counted(media or found)} without metadata.csv",
            advice=f"put a metadata.csv beside them, with the header {_METADATA_OF[kind]}"
            + (
                f"; or name one of them: {Path(str(survey.path), folder.tables[0])}"
                if kind == "table"
                else ""
            ),
        )
    if folder.files["text"]:
        each = (
            "; where each file is a label, and each of its lines an example: "
            '(echo text,label; for f in *.txt; do sed "s/$/,${f%.txt}/" "$f"; done) > ../all.csv'
        )
        return Match(
            f"a folder with {_counted({'text': folder.files['text']})}",
            advice=f"name one file ({folder.example['text']}), or all of them: '{survey.path}/*.txt'"
            f"{each if folder.files['text'] > 1 else ''}",
        )
    bare = [name for name, files in folder.inside.items() if files["other"] == files.total() > 0]
    if len(bare) > 1:
        return Match(
            f"{len(bare)} folders ({', '.join(bare[:4])}{'...' if len(bare) > 4 else ''}) of files of no "
            "known kind",
            advice='the names of texts end in .txt: for f in */*; do mv "$f" "$f.txt"; done',
        )
    foreign = what_it_is(Path(folder.example.get("other", "")), b"")
    if foreign is not None:
        return Match(f"a folder of files such as {folder.example['other']}, {foreign[0]}", advice=foreign[1])
    return Match(
        "a folder without metadata.csv",
        advice="name a file, or see docs/reference.md for the folders that tasks read",
    )


def _classes(folder: FolderSurvey) -> tuple[str, list[str]] | None:
    """The kind of files in folders that are named after their labels, and these names."""
    for kind in ("picture", "sound", "text", "video", "array", "table"):
        names = [
            name for name, files in folder.inside.items() if files and files.most_common(1)[0][0] == kind
        ]
        if len(names) >= 2:
            return kind, names
    return None


def _for_classes(kind: str) -> str:
    if kind == "text":
        return "make one table of them, with the columns text and label, and name it"
    if kind == "picture":
        return (
            "no task names pictures; to learn captions, put a metadata.csv into the folder, with the columns "
            f"{FILE_COLUMN},caption"
        )
    if kind == "video":
        return f"put a metadata.csv into the folder, with the columns {_METADATA_OF['video']}"
    return (
        f"put a metadata.csv into the folder, with the columns {FILE_COLUMN},label, as this does there: "
        f'(echo {FILE_COLUMN},label; for f in */*; do echo "$f,${{f%%/*}}"; done) > metadata.csv'
    )


def _counted(files: dict[str, int]) -> str:
    return " and ".join(f"{count:,} {kind}{'s' * (count != 1)}" for kind, count in files.items())
