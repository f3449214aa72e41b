"""Small tables as people have them, for the tests of what is recognised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REVIEWS = [("what a lovely film", 5), ("a bore from end to end", 1), ("it has its moments", 3)] * 5


def rows(*header: str, of: list[tuple[Any, ...]], separator: str = ",") -> str:
    return "".join(separator.join(map(str, row)) + "\n" for row in ([header] if header else []) + of)


def json_lines(*objects: dict[str, Any], times: int = 12) -> str:
    return "".join(json.dumps(one) + "\n" for one in objects * times)


def hours(count: int) -> list[str]:
    return [f"2016-07-{1 + hour // 24:02d} {hour % 24:02d}:00:00" for hour in range(count)]


PRICES = [(f"{3 + number % 4}", 50 + number, 100_000 + 37 * number) for number in range(40)]
TITLES = [(f"title {n}", f"what a film that was {n}", "good" if n % 2 else "bad") for n in range(12)]
SENSORS = [(5_702_026 + 32 * n, n * 0.5, -n * 0.25, "rest" if n < 20 else "wave") for n in range(40)]
FLOWERS = [(5.1 + n / 10, 3.5, "setosa" if n % 2 else "virginica") for n in range(12)]
MOVIES = [("boy meets girl", "drama|romance"), ("boom", "action"), ("tears", "drama")] * 4 + [
    ("tears and kisses", "romance")
]
CONLL = "EU\tB-ORG\nrejects\tO\nGerman\tB-MISC\ncalls\tO\n\nPeter\tB-PER\nBlackburn\tI-PER\nsaid\tO\n" * 5
UNIVERSAL = (
    "# text = Two dogs\n1\tTwo\ttwo\tNUM\t_\t_\t2\tnummod\t_\t_\n2\tdogs\tdog\tNOUN\t_\t_\t0\troot\t_\t_\n\n"
    * 3
)


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_bytes(content.encode("latin-1" if content[:1] in "P\x89" and "PK" in content[:2] else "utf-8"))
    return path
