"""A file or an option that is damaged, the commands that read it, and the draw of one input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from random import Random

from fuzzing.damage import damage
from fuzzing.damage_bytes import NUMBERS
from fuzzing.seeds import Files, Seeds

# Training data is read to its end, and then training does not begin: see `execution`.
PREPARE = "--out new --epochs 1 --batch 2 --hidden 4 --threads 1 --no-tensorboard --quiet"
ONE_THREAD = "--threads 1"
STANDARD_INPUT = "-"

_FORMATS = {
    **{".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".json": "json", ".txt": "text", ".toml": "toml"},
    **{".parquet": "parquet", ".npy": "npy", ".npz": "npz", ".safetensors": "safetensors", ".png": "png"},
    **{".jpg": "jpeg", ".webp": "webp", ".gif": "gif", ".tif": "tiff", ".wav": "wav", ".flac": "flac"},
    **{".ogg": "ogg", ".mp4": "mp4", ".tar": "tar", ".conll": "csv", ".conllu": "csv", ".vec": "text"},
}
# fmt: off
_VALUES = (
    *map(str, NUMBERS), "-5", "0.5", "1.5", "-0.0", "nan", "inf", "-inf", "1e10", "1e308", "1e400", "1e-300",
    "5e-324",
    "a", "None", "true", "[]", "-", "--", "auto", "../x", "/dev/null", "/", ".", "int8", "cpu", "cuda:99",
    "meta",
    "word", "byte", "bpe", "1,2", "1 2", "", " ", "[/b]", "[bold]", "9" * 5000, "\u0663", "\x1b[31m",
    "a" * 5000,
    "\udcff",  # how Python sees a byte of the command line that is not UTF-8
)
# fmt: on


@dataclass(frozen=True)
class Case:
    """One input.

    Args:
        files: what lies in the folder in which the command runs.
        command: the arguments of `throughtime`; one that begins with @ is a function of `execution`.
        stdin: what comes on standard input.
        damaged: what is: a file, standard input, an option.
    """

    files: Files
    command: tuple[str, ...]
    stdin: bytes = b""
    damaged: str = ""


@dataclass(frozen=True)
class Target:
    """Something from outside, and the commands that read it.

    Args:
        name: what the report calls it; several targets may share a line.
        kind: what --kind picks by.
        victim: the file that is damaged; `STANDARD_INPUT`; "" for options.
        needs: what has to lie there besides, by the beginnings of paths.
        commands: one of them is drawn. For standard input the first word is the file that it begins as; for
            options those that may get a value stand behind a bar.
        weight: how often it is drawn, against others.
    """

    name: str
    kind: str
    victim: str
    needs: tuple[str, ...]
    commands: tuple[str, ...]
    weight: float = 1.0

    def case(self, random: Random, seeds: Seeds) -> Case:
        """A damaged input."""
        return self._case(random.choice(self.commands), seeds, random)

    def cases(self, seeds: Seeds) -> Iterator[Case]:
        """The undamaged input, for every command."""
        return (self._case(command, seeds, None) for command in self.commands)

    def _case(self, command: str, seeds: Seeds, random: Random | None) -> Case:
        words = command.split()
        if not self.victim:
            return Case(seeds.below(*self.needs), _with_values(words, random), damaged="an option")
        source = words.pop(0) if self.victim == STANDARD_INPUT else self.victim
        content = seeds.files[source]
        if random is not None:
            content = damage(random, _format(source), content, _alike(seeds, PurePosixPath(source).suffix))
        files = seeds.below(*self.needs)
        if self.victim == STANDARD_INPUT:
            return Case(files, tuple(words), content, "standard input")
        return Case({**files, source: content}, tuple(words), damaged=source)


def draw(number: int, seed: int, targets: Sequence[Target]) -> tuple[Random, Target]:
    """What the input of this number is: the same for everyone who has the same targets and seeds."""
    random = Random(f"{seed}/{number}")
    return random, random.choices(targets, _weights(tuple(targets)))[0]


@lru_cache(maxsize=4)
def _weights(targets: tuple[Target, ...]) -> list[float]:
    return [target.weight for target in targets]


@lru_cache(maxsize=64)
def _alike(seeds: Seeds, suffix: str) -> list[bytes]:
    """Files to splice with."""
    return [other for other in seeds.of_suffix(suffix) if len(other) < 100_000]


def _format(path: str) -> str:
    # Safetensors files as well, with a checksum.
    for name in ("checkpoint", "snapshot"):
        if name in path:
            return name
    plain = path.removesuffix(".gz")
    known = _FORMATS.get(PurePosixPath(plain).suffix, "bytes")
    return known if plain == path else f"{known}.gz"


def _with_values(words: list[str], random: Random | None) -> tuple[str, ...]:
    bar = words.index("|")
    known, options = words[:bar], words[bar + 1 :]
    if random is None:
        return tuple(known)
    for option in random.sample(options, min(len(options), random.choice((1, 1, 1, 2)))):
        # With an equals sign, so that a value with a dash is not taken for an option.
        known.append(f"{option}={random.choice(_VALUES)}")
    return tuple(known)
