"""How to install a library that is missing, in a command that works for this installation."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

_NAME = "throughtime"


def install_command(extra: str, library: str = "") -> str:
    """The command that installs what an extra of pyproject.toml names, and nothing else.

    The libraries are named themselves, and not as `throughtime[extra]`, which pip would look for in an index
    even where Throughtime was installed from a folder or a wheel.

    Args:
        extra: "train", "vision"...
        library: what it needs at least, for an installation that does not know the extra.
    """
    requirements = list(dict.fromkeys(_requirements(extra))) or [library or f"{_NAME}[{extra}]"]
    wanted = " ".join(map(shlex.quote, requirements))
    python = sys.executable or "python"
    found = shutil.which("python")
    if found is not None and Path(found).resolve() == Path(python).resolve() and _same_environment(found):
        python = "python"
    # Environments that uv makes have no pip of their own.
    if find_spec("pip") is None and shutil.which("uv") is not None:
        return f"uv pip install --python {shlex.quote(sys.executable)} {wanted}"
    return f"{shlex.quote(python)} -m pip install {wanted}"


def _same_environment(python: str) -> bool:
    return Path(python).parent == Path(sys.executable).parent


def _requirements(extra: str) -> Iterator[str]:
    try:
        every = metadata.requires(_NAME) or []
    except metadata.PackageNotFoundError:  # run out of its source
        every = []
    for line in every:
        requirement, _, marker = line.partition(";")
        if not re.search(rf"""extra\s*==\s*['"]{re.escape(extra)}['"]""", marker):
            continue
        inner = re.fullmatch(rf"{_NAME}\[([\w,]+)\]", requirement.strip())
        if inner is None:
            yield requirement.strip().replace(" ", "")
        else:
            for name in inner[1].split(","):
                yield from _requirements(name)
