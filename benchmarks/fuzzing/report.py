"""The outcome of a fuzz: a table by target, and each cause of failures once."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzzing.execution import ACCEPTED, REFUSED, Outcome, write_files
from fuzzing.seeds import Seeds
from fuzzing.target import Target, draw


@dataclass
class Line:
    """The figures of one target."""

    inputs: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    slowest: float = 0.0
    peak: float = 0.0

    def add(self, outcome: Outcome) -> None:
        self.inputs += 1
        self.kinds[outcome.kind] += 1
        self.seconds += outcome.seconds
        self.slowest = max(self.slowest, outcome.seconds)
        self.peak = max(self.peak, outcome.megabytes)

    @property
    def failures(self) -> dict[str, int]:
        return {kind: count for kind, count in self.kinds.items() if kind not in (ACCEPTED, REFUSED)}


@dataclass
class Report:
    """What became of all inputs.

    Args:
        seed: of the inputs.
        digest: of the files that they are made from.
        keep: where inputs that failed are written; None is nowhere.
    """

    seed: int
    digest: str
    keep: Path | None = None
    lines: dict[str, Line] = field(default_factory=lambda: defaultdict(Line))
    causes: dict[tuple[str, str, str], list[tuple[int, Target, Outcome]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    @property
    def total(self) -> Line:
        whole = Line()
        for line in self.lines.values():
            whole.inputs += line.inputs
            whole.kinds.update(line.kinds)
            whole.seconds += line.seconds
            whole.slowest, whole.peak = max(whole.slowest, line.slowest), max(whole.peak, line.peak)
        return whole

    def add(self, number: int, target: Target, outcome: Outcome) -> bool:
        """Count an input; whether it failed for a cause that is new."""
        self.lines[target.name].add(outcome)
        if not outcome.failed:
            return False
        known = self.causes[outcome.cause]
        known.append((number, target, outcome))
        return len(known) == 1

    def save(self, number: int, seeds: Seeds, targets: list[Target]) -> None:
        """Write an input's files, and the command, into a folder of its own."""
        if self.keep is None:
            return
        random, target = draw(number, self.seed, targets)
        case: Any = target.case(random, seeds)
        folder = self.keep / str(number)
        if folder.exists():
            return
        write_files(folder, case)
        command = f"throughtime {shlex.join(case.command)}"
        if case.stdin:
            (folder / "stdin").write_bytes(case.stdin)
            command += " < stdin"
        text = f"# damaged: {case.damaged}\n# {self.line_for(number)}\n{command}\n"
        (folder / "command.sh").write_text(text, errors="surrogateescape")

    def line_for(self, number: int) -> str:
        """What repeats an input."""
        return f"python benchmarks/fuzz.py --seed {self.seed} --only {number}"

    def table(self) -> str:
        """The figures by target, as text."""
        heading = ("target", "inputs", "refused", "accepted", "failures", "slowest s", "peak MB")
        rows = [
            heading,
            *(_row(name, self.lines[name]) for name in sorted(self.lines)),
            _row("all", self.total),
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(heading))]
        return "\n".join(_aligned(row, widths) for row in rows)

    def failures(self) -> Iterable[str]:
        """Each cause, with an input that shows it."""
        for (kind, error, where), found in sorted(self.causes.items(), key=lambda item: -len(item[1])):
            number, target, outcome = found[0]
            names = sorted({one.name for _, one, _ in found})
            yield f"{len(found)} x {kind} {error} {where}".rstrip()
            yield f"    in {', '.join(names[:4])}{' ...' if len(names) > 4 else ''}"
            yield f"    {outcome.message.strip()[:400]!r}"
            yield f"    {self.line_for(number)}"

    def as_json(self) -> dict[str, Any]:
        def of(line: Line) -> dict[str, Any]:
            kinds = line.kinds
            figures = {"inputs": line.inputs, "refused": kinds[REFUSED], "accepted": kinds[ACCEPTED]}
            return {
                **figures,
                "failures": line.failures,
                "seconds": line.seconds,
                "slowest": line.slowest,
                "peak_megabytes": line.peak,
            }

        causes = [
            {
                **{"kind": kind, "error": error, "where": where, "count": len(found), "input": found[0][0]},
                "targets": sorted({target.name for _, target, _ in found}),
                "message": found[0][2].message[:400],
            }
            for (kind, error, where), found in self.causes.items()
        ]
        targets = {name: of(line) for name, line in sorted(self.lines.items())}
        return {
            "seed": self.seed,
            "seeds": self.digest,
            "total": of(self.total),
            "targets": targets,
            "causes": causes,
        }


def _row(name: str, line: Line) -> tuple[str, ...]:
    failures = ", ".join(f"{count} {kind}" for kind, count in sorted(line.failures.items())) or "0"
    counts = (line.inputs, line.kinds[REFUSED], line.kinds[ACCEPTED])
    return (name, *(f"{count:,}" for count in counts), failures, f"{line.slowest:.2f}", f"{line.peak:,.0f}")


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    first, *figures = zip(row, widths, strict=True)
    cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in figures)]
    return "  ".join(cells).rstrip()
