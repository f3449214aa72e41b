"""Every Python example of the docs passes a type checker, so that an editor helps whoever copies it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_examples import BLOCK, ROOT

# Other people's engines, which need not be installed.
ENGINES = ("dask", "optuna", "pyspark", "ray")
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))]


@pytest.mark.skipif(importlib.util.find_spec("pyright") is None, reason="pyright is not installed")
def test_the_examples_of_the_docs_have_no_type_errors(tmp_path: Path) -> None:
    for page in PAGES:
        code = [
            block["code"]
            for block in BLOCK.finditer((ROOT / page).read_text())
            if block["language"] == "python" and not block["setup"]
        ]
        if code:
            (tmp_path / page.replace("/", "_").replace("-", "_").replace(".md", ".py")).write_text(
                "\n".join(code)
            )
    # What says nothing of our interface: torch and other libraries leave some of their types open, and a page
    # imports again where a reader may begin.
    silent = [f"reportUnknown{name}Type" for name in ("Member", "Argument", "Variable")]
    silent += ["reportMissingTypeStubs", "reportDuplicateImport"]
    settings = {"typeCheckingMode": "strict", **dict.fromkeys(silent, "none")}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", str(tmp_path)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    if "generalDiagnostics" not in result.stdout:
        pytest.skip(f"pyright cannot run here: {result.stderr.strip()[-200:]}")
    found = json.loads(result.stdout)["generalDiagnostics"]
    errors = [
        f"{Path(one['file']).name}: {one['message']}"
        for one in found
        if one["severity"] == "error" and not _of_an_engine(one)
    ]
    assert not errors, "\n".join(errors)


def _of_an_engine(one: dict[str, Any]) -> bool:
    """Whether a complaint is that an engine is not installed, or of what is unknown because of it."""
    if one["rule"] == "reportMissingImports":
        return any(f'"{name}' in one["message"] for name in ENGINES)
    code = Path(one["file"]).read_text()
    return one["rule"].startswith("reportUnknown") and any(f"import {name}" in code for name in ENGINES)
