"""Options, given on the command line and in a TOML file."""

from __future__ import annotations

from collections.abc import Iterator

from fuzzing.target import ONE_THREAD, PREPARE, Target

_SOURCES = {"language-model": "text.txt", "classifier": "remarks.csv", "tagger": "tagged"}
_SOURCES |= {"translator": "pairs.csv", "captioner": "pictures", "transcriber": "spoken"}
_SOURCES |= {"word-tagger": "names.conll", "forecaster": "hours.csv"}

# Who asks for a network of a billion units, or a text without end, gets what was asked for, sooner or later.
_SIZES = {"hidden", "layers", "embedding", "projection", "members", "encoder_features", "attention_size"}
_SIZES |= {"image_embedding", "encoder_hidden", "decoder_layers", "threads"}
_SIZES |= {"character_embedding", "character_features"}
# The command has its own, or it names a file.
_OTHERS = {"source", "image_encoder", "device"}


def options() -> Iterator[Target]:
    """The options of each command that take a value."""
    writing = "temperature top-k top-p min-p repetition-penalty stop seed prompt precision backend"
    yield _options("sample runs/text --length=4 --json", ("runs/text/",), writing)
    searching = "beam length-penalty coverage-penalty precision backend"
    yield _options("translate runs/pairs source.txt --json", ("runs/pairs/", "source.txt"), searching)
    captioning = "beam length-penalty word-reward temperature top-k top-p seed precision"
    features = ("runs/features/", "features.npz")
    yield _options("caption runs/features features.npz --json", features, captioning)
    # A million samples are what was asked for, and take as long.
    writing_lines = "temperature top-k prefix beam condition length seed"
    given = "sample runs/people --condition=country=north --condition=year=1950 --json"
    yield _options(given, ("runs/people/",), writing_lines)
    forecasting = "future top precision backend chart"
    needs = ("runs/hours/", "recent.csv", "ahead.csv")
    yield _options("forecast runs/hours recent.csv --future=ahead.csv --json", needs, forecasting)
    measuring = "streams errors precision backend target"
    yield _options("eval runs/text text.txt --json", ("runs/text/", "text.txt"), measuring)
    yield Target(
        *("options of quantize", "options", "", ("runs/text/",)),
        ("quantize runs/text --json | --precision --out --data",),
    )
    yield from _training()
    read = (f"train text.txt --config options.toml {PREPARE}",)
    yield Target("options.toml", "options", "options.toml", ("text.txt",), read, 2.0)


def _options(command: str, needs: tuple[str, ...], names: str) -> Target:
    flags = " ".join(f"--{name}" for name in names.split())
    name = f"options of {command.split()[0]}"
    return Target(name, "options", "", needs, (f"{command} {ONE_THREAD} | {flags}",), 1.5)


def _training() -> Iterator[Target]:
    from throughtime.config import CONFIGS

    for task, source in _SOURCES.items():
        names = [
            name
            for section in CONFIGS[task].sections().values()
            for name, field in section.model_fields.items()
            if name not in _SIZES | _OTHERS and field.annotation not in (bool, bool | None)
        ]
        flags = " ".join(f"--{name.replace('_', '-')}" for name in names)
        command = f"train {source} --task {task} {PREPARE} | {flags} --preset --device"
        yield Target("options of train", "options", "", (source,), (command,), 1.5)
