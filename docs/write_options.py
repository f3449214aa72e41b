"""Writes docs/options.md from the options that the program has. A test holds the page to them.

python docs/write_options.py
"""

from __future__ import annotations

from pathlib import Path

from throughtime.config import CONFIGS, every_option
from throughtime.presets import PRESETS, SUMMARIES

PAGE = Path(__file__).with_name("options.md")

HEAD = """# Options of `train`

As flags, as `name = value` in a TOML file (`--config`), and as arguments of `tt.train` with underscores.
Flags win over `--config`, and that over `--preset`. On and off options have a `--no-...` form.
This page is written by docs/write_options.py.
"""


def page() -> str:
    """The page's text."""
    shared, own = {}, {task: {} for task in CONFIGS}
    for name, tasks in every_option().items():
        if name == "source":
            continue
        lines = {task: _line(name, field) for task, (_, field) in tasks.items()}
        if len(tasks) == len(CONFIGS) > 1 and len(set(lines.values())) == 1:
            shared[name] = next(iter(lines.values()))
        else:
            for task, line in lines.items():
                own[task][name] = line
    parts = [HEAD]
    if shared:
        parts.append(_table("Of every task", shared))
    parts += [_table(f"Of a {task}", lines) for task, lines in own.items()]
    presets = "\n".join(f"| `{name}` | {SUMMARIES[name]} |" for name in PRESETS)
    parts.append(f"## Presets\n\nFor language models.\n\n| preset | for |\n| --- | --- |\n{presets}\n")
    return "\n".join(parts)


def _line(name: str, field: object) -> str:
    default = "" if field.default in (None, "", {}, []) else str(field.default)  # type: ignore[attr-defined]
    return f"| `--{name.replace('_', '-')}` | {default} | {field.description} |"  # type: ignore[attr-defined]


def _table(title: str, lines: dict[str, str]) -> str:
    return f"## {title}\n\n| option | default | |\n| --- | --- | --- |\n" + "\n".join(lines.values()) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
