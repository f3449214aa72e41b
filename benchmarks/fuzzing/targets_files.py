"""Users' files: tables, texts, lines of standard input, arrays, sounds, pictures, video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from fuzzing.seeds_files import PICTURES
from fuzzing.seeds_sequences import TABLES
from fuzzing.target import ONE_THREAD, PREPARE, STANDARD_INPUT, Target

_TRANSLATE = f"translate runs/pairs --beam 2 {ONE_THREAD}"


def _predict(run: str, path: str) -> tuple[str, ...]:
    command = f"predict runs/{run} {path} {ONE_THREAD}"
    return command, f"{command} --json", f"{command} --json --skip-bad", f"{command} --csv"


def _train(source: str, options: str = "") -> tuple[str, ...]:
    command = f"train {source} {options} {PREPARE}"
    return command, f"{command} --skip-bad"


def tables() -> Iterator[Target]:
    """Rows of texts, numbers, lists and pairs, in every format that tables have."""
    for name in ("remarks", "vectors"):
        for suffix in ("csv", "tsv", "jsonl", "parquet", "csv.gz", "jsonl.gz"):
            path = f"{name}.{suffix}"
            # To measure draws a picture, which takes longer than anything else here.
            commands = (*_train(path), *_train(path, "--task classifier"), *_predict(name, path) * 2)
            measure = (f"eval runs/{name} {path} {ONE_THREAD} --json --skip-bad",)
            yield Target(f"table .{suffix}", "tables", path, (f"runs/{name}/",), commands + measure, 1.5)
    for suffix in ("csv", "tsv", "jsonl", "parquet", "csv.gz", "jsonl.gz"):
        path = f"pairs.{suffix}"
        commands = (*_train(path), f"{_TRANSLATE} {path} --json", f"{_TRANSLATE} {path} --skip-bad")
        yield Target(f"table .{suffix}", "tables", path, ("runs/pairs/",), commands, 1.5)
    for suffix in ("jsonl", "parquet", "jsonl.gz"):
        path = f"sequences.{suffix}"
        yield Target(f"table .{suffix}", "tables", path, (), _train(path))
    remarks = (*_train("remarks.json"), *_predict("remarks", "remarks.json"))
    yield Target("table .json", "tables", "remarks.json", ("runs/remarks/",), remarks)
    yield Target("table .json", "tables", "sequences.json", (), _train("sequences.json"))
    for path in ("motions.ts", "motions.arff"):
        commands = (*_train(path), *_train(path, "--input sequences"))
        yield Target("series file", "tables", path, (), commands, 2)
    for suffix in ("csv", "jsonl", "parquet"):
        path = f"clicks.{suffix}"
        commands = _train(path, "--text-column event --group-by user")
        commands += _train(path, "--lines --text-column event --group-by user")
        yield Target("rows in groups", "tables", path, (), commands)
    commands = (*_train("prices.csv"), *_train("prices.csv", "--decimal ,"))
    yield Target("decimal commas", "tables", "prices.csv", (), commands)
    commands = (*_train("classes"), *_predict("remarks", "classes"), *_predict("remarks", "classes/good"))
    needs = ("runs/remarks/", "classes/")
    yield Target("folder of labels", "texts", "classes/good/1.txt", needs, commands)


def series() -> Iterator[Target]:
    """Numbers over time, wide and long."""
    hours = "--known-future holiday,kind --lookback 12 --horizon 3"
    shops = "--series-column shop --value-column sales --static-columns region --lookback 6 --horizon 2"
    for name, options, ahead in (("hours", hours, "--future ahead.csv"), ("shops", shops, "")):
        for suffix in TABLES:
            path = f"{name}.{suffix}"
            read = f"forecast runs/{name} {path} {ONE_THREAD}"
            commands = (f"train {path} {options} {PREPARE}", f"{read} --anomalies --json")
            commands += (f"{read} {ahead} --json", f"{read} {ahead} --csv --skip-bad")
            commands += (f"eval runs/{name} {path} {ONE_THREAD} --json",)
            if ahead:
                joined = "--columns load --every 2h --aggregate sum --lookback 6 --horizon 2"
                commands += (f"train {path} {joined} {PREPARE}",)
            else:
                commands += (f"train {path} --series-column shop --value-column sales {PREPARE}",)
            yield Target(f"series .{suffix}", "series", path, (f"runs/{name}/", "ahead.csv"), commands, 1.5)
    items = "--series-column store,item --time-column date,hour --value-column sold"
    for path, options in (("items.csv", items), ("seconds.csv", "--time-column time")):
        commands = (f"train {path} {options} --lookback 6 --horizon 2 {PREPARE}",)
        yield Target("series .csv", "series", path, (), commands, 1.5)
    known = (f"forecast runs/hours recent.csv --future ahead.csv {ONE_THREAD} --json",)
    needs = ("runs/hours/", "recent.csv", "ahead.csv")
    yield Target("series, known ahead", "series", "ahead.csv", needs, known, 1.5)
    yield Target("series, known ahead", "series", "recent.csv", needs, known, 1.5)


def sentences() -> Iterator[Target]:
    """A tag for each word, and word vectors."""
    columns = "--word-column form --tag-column upos"
    for path, run, options in (
        *(("names.conll", "names", ""), ("names.conll.gz", "names", ""), ("parts.conllu", "parts", columns)),
        *(("names.jsonl", "names", ""), ("names.jsonl.gz", "names", ""), ("names.parquet", "names", "")),
        *((name, "names", "") for name in ("names.csv", "names.tsv")),
        *((f"marks.{suffix}", "marks", "") for suffix in ("jsonl", "json", "parquet")),
    ):
        commands = (*_train(path, options), *_train(path, "--task word-tagger"), *_predict(run, path))
        commands += (f"eval runs/{run} {path} {ONE_THREAD} --json",)
        yield Target("tagged words", "words", path, (f"runs/{run}/",), commands, 1.5)
    read = f"predict runs/names sentences.txt {ONE_THREAD}"
    yield Target("sentences", "words", "sentences.txt", ("runs/names/",), (read, f"{read} --json"), 1.5)
    for path in ("names.conll", "remarks.csv --tokenizer word"):
        commands = (f"train {path} --embedding-file word.vec {PREPARE}",)
        yield Target("word vectors", "words", "word.vec", ("names.conll", "remarks.csv"), commands, 1.5)


def lines_of_text() -> Iterator[Target]:
    """A text in each line, what steers it, and lists of events."""
    table = "--lines --text-column name --condition-columns country,year"
    for path, run, options in (
        *((f"people.{suffix}", "people", table) for suffix in TABLES),
        *((f"visits.{suffix}", "visits", "--lines") for suffix in ("jsonl", "parquet", "csv")),
    ):
        commands = (*_train(path, options), f"eval runs/{run} {path} {ONE_THREAD} --per-line --json")
        commands += (f"eval runs/{run} {path} {ONE_THREAD} --json",)
        yield Target("lines in a table", "lines", path, (f"runs/{run}/",), commands, 0.8)
    read = f"eval runs/people people.txt --condition country=north --condition year=1950 {ONE_THREAD}"
    commands = (*_train("people.txt", "--lines"), f"{read} --json", f"{read} --per-line --json")
    yield Target("lines", "lines", "people.txt", ("runs/people/",), commands, 2)


def other_targets() -> Iterator[Target]:
    """Numbers and several labels in place of one, a second text, columns beside it."""
    beside = "--text-column question --second-text answer --static-columns age,place"
    number = "--target number --label-column score"
    for name, options, suffixes in (
        *(("scores", number, TABLES), ("answers", beside, TABLES)),
        ("things", "", ("jsonl", "parquet", "csv")),
    ):
        for suffix in suffixes:
            path = f"{name}.{suffix}"
            commands = (*_train(path, options), *_predict(name, path))
            commands += (f"eval runs/{name} {path} {ONE_THREAD} --json --skip-bad",)
            yield Target(f"other targets .{suffix}", "tables", path, (f"runs/{name}/",), commands, 0.8)
    commands = (*_train("lists.csv"), f"eval runs/things lists.csv {ONE_THREAD} --json --skip-bad")
    yield Target("other targets .csv", "tables", "lists.csv", ("runs/things/",), commands, 1.5)


def tars() -> Iterator[Target]:
    """Arrays in tars."""
    for path in ("tones.tar", "tones.pax.tar", "tones.tar.gz"):
        commands = (*_train(path), f"predict runs/arrays {path} {ONE_THREAD} --json --skip-bad")
        yield Target("tar", "tars", path, ("runs/arrays/",), commands, 3)


def metadata() -> Iterator[Target]:
    """Tables that name files, and the labels of a clip's frames."""
    for folder in ("arrays", "tagged", "pictures", "spoken", "moments"):
        for suffix in ("csv", "jsonl", "parquet"):
            # Of a folder's tables the first is read, so that no other may lie there.
            needs = (f"runs/{folder}/", *(f"{folder}/{number}" for number in range(10)))
            commands = (*_train(folder), f"eval runs/{folder} {folder} {ONE_THREAD} --json")
            path = f"{folder}/metadata.{suffix}"
            yield Target(f"metadata .{suffix}", "tables", path, needs, commands, 0.8)
    yield Target("frame labels", "tables", "tagged/0.labels.csv", ("tagged/",), _train("tagged"), 2)


def texts() -> Iterator[Target]:
    """Text to learn from and to measure on, and two texts side by side."""
    prepare = (
        f"train text.txt --chunk 4 --tokenizer {kind} {PREPARE}"
        for kind in ("character", "byte", "bpe", "word")
    )
    use = (
        f"eval runs/text text.txt {ONE_THREAD} --json",
        f"eval runs/words text.txt {ONE_THREAD} --json",
        f"eval runs/text text.txt {ONE_THREAD} --errors replace",
        f"predict runs/remarks text.txt {ONE_THREAD} --json",
    )
    needs = ("runs/text/", "runs/remarks/", "runs/words/")
    yield Target("text", "texts", "text.txt", needs, (*prepare, *use), 3)
    for end in ("txt", "txt.gz"):
        sides = f"source.{end} --target target.{end}"
        both = (*_train(sides, "--task translator"), f"eval runs/pairs {sides} {ONE_THREAD} --json")
        needs = (f"source.{end}", f"target.{end}", "runs/pairs/")
        read = (f"{_TRANSLATE} source.{end} --json", f"{_TRANSLATE} source.{end} --skip-bad")
        yield Target("parallel texts", "texts", f"source.{end}", needs, both + read)
        yield Target("parallel texts", "texts", f"target.{end}", needs, both)


def standard_input() -> Iterator[Target]:
    """Lines that are typed or piped."""

    def lines(source: str, command: str, run: str, *needs: str) -> Target:
        begin = f"{source} {command} runs/{run} - {ONE_THREAD}"
        commands = (begin, f"{begin} --json", f"{begin} --json --skip-bad")
        return Target("standard input", "stdin", STANDARD_INPUT, (f"runs/{run}/", *needs), commands, 1.5)

    yield lines("lines.txt", "predict", "remarks")
    yield lines("numbers.txt", "predict", "vectors")
    yield lines("numbers.txt", "predict", "tagged")
    yield lines("source.txt", "translate", "pairs")
    yield lines("arrays.txt", "predict", "arrays", "arrays/")
    yield lines("pictures.txt", "caption", "pictures", "pictures/")
    yield lines("sentences.txt", "predict", "names")
    yield lines("recordings.txt", "predict", "spoken", "spoken/")
    yield lines("lines.txt", "predict", "things")
    yield lines("lines.txt", "predict", "scores")


def arrays() -> Iterator[Target]:
    """Sequences and clips as arrays, and features of pictures."""
    for folder in ("arrays", "tagged"):
        for name in ("0.npy", "1.npz", "2.csv", "3.tsv"):
            path = f"{folder}/{name}"
            commands = (*_predict(folder, path), *_train(folder))
            needs = (f"runs/{folder}/", f"{folder}/")
            yield Target(f"array {_suffix(name)}", "arrays", path, needs, commands, 1.5)
    caption = f"caption runs/features features.npz {ONE_THREAD} --json"
    commands = (caption, f"{caption} --skip-bad", *_train("captions.csv", "--image-features features.npz"))
    yield Target("features .npz", "arrays", "features.npz", ("runs/features/", "captions.csv"), commands, 2)


def media() -> Iterator[Target]:
    """Sounds, pictures and video."""
    for name in ("0.wav", "1.flac", "2.ogg"):
        path, needs = f"sounds/{name}", ("runs/sounds/", "sounds/")
        commands = (*_predict("sounds", path), *_train("sounds"))
        yield Target(f"sound {_suffix(name)}", "sounds", path, needs, commands, 2.5)
    for folder in ("spoken", "moments"):
        path, needs = f"{folder}/0.wav", (f"runs/{folder}/", f"{folder}/")
        yield Target("sound .wav", "sounds", path, needs, (*_predict(folder, path), *_train(folder)), 1)
    for number, suffix in enumerate(PICTURES):
        path = f"pictures/{number}.{suffix}"
        read = f"caption runs/pictures {path} {ONE_THREAD}"
        commands = (f"{read} --json", f"{read} --skip-bad", f"predict runs/pictures {path} --json --skip-bad")
        yield Target(f"picture .{suffix}", "pictures", path, ("runs/pictures/",), commands, 1.3)
    commands = (*_predict("clips", "clips/0.mp4"), *_train("clips"))
    yield Target("video .mp4", "video", "clips/0.mp4", ("runs/clips/", "clips/"), commands, 4)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix
