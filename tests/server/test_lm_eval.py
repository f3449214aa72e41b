"""lm_eval's `local-completions`, unchanged, against the server: what it measures is what the run says."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import throughtime as tt
from tests.server.conftest import Server

TEXT = "hello world\nthe cat sat on the mat\ngood morning\n"
TASK = """
task: own_{name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: {kind}
test_split: test
target_delimiter: ""
"""
TASKS = {
    "choices": (
        "multiple_choice",
        'doc_to_text: "{{q}}"\ndoc_to_choice: "{{choices}}"\ndoc_to_target: gold\n'
        "metric_list: [{metric: acc}]\n",
        [
            {"q": "the cat sat on the ", "choices": ["mat", "dog"], "gold": 0},
            {"q": "hello ", "choices": ["gnome", "world"], "gold": 1},
        ],
    ),
    "perplexity": (
        "loglikelihood_rolling",
        'doc_to_text: ""\ndoc_to_target: "{{text}}"\nmetric_list: [{metric: bits_per_byte}]\n',
        [{"text": TEXT}],
    ),
    "answers": (
        "generate_until",
        'doc_to_text: "{{q}}"\ndoc_to_target: "{{a}}"\nmetric_list: [{metric: exact_match}]\n'
        'generation_kwargs: {until: ["\\n"], max_gen_toks: 16, temperature: 0}\n',
        [{"q": "hello "}, {"q": "good "}],
    ),
}


@pytest.mark.slow  # lm_eval takes half a minute to begin
@pytest.mark.parametrize("tokenized", [False, True])
def test_what_lm_eval_measures(tmp_path: Path, start: Callable[..., Server], tokenized: bool) -> None:
    pytest.importorskip("lm_eval")
    (tmp_path / "text.txt").write_text(TEXT * 100)
    options = {"hidden": 48, "epochs": 6, "learning_rate": 0.01, "batch": 4, "tensorboard": False}
    run = tt.train(tmp_path / "text.txt", task="language-model", out=tmp_path / "run", **options)
    for row in TASKS["answers"][2]:
        row["a"] = run.sample(row["q"], 16, temperature=0).removeprefix(row["q"]).partition("\n")[0]
    for name, (kind, fields, rows) in TASKS.items():
        data = tmp_path / f"{name}.json"
        data.write_text(json.dumps(rows))
        (tmp_path / f"{name}.yaml").write_text(TASK.format(name=name, data=data, kind=kind) + fields)
    server = start({"run": run.folder})
    model = f"model=run,base_url={server.url}/v1/completions,tokenized_requests={tokenized},max_length=512"
    command = [sys.executable, "-m", "lm_eval", "--model", "local-completions", "--model_args", model]
    command += ["--include_path", str(tmp_path), "--tasks", ",".join(f"own_{name}" for name in TASKS)]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    found = subprocess.run(
        command, cwd=tmp_path, text=True, capture_output=True, timeout=300, env={**os.environ, **offline}
    )
    assert found.returncode == 0, found.stderr[-4000:]
    values = {
        metric: float(value)
        for metric, value in re.findall(r"\|(\w+) *\|[↑↓] *\|? *\|? *([\d.]+)\|", found.stdout)
    }
    assert values["acc"] == 1 and values["exact_match"] == 1, found.stdout
    # Both measure every character of the text, given a line's end before it.
    (tmp_path / "test.txt").write_text("\n" + TEXT)
    loss = run.evaluate(tmp_path / "test.txt").nats_per_token
    assert values["bits_per_byte"] == pytest.approx(loss / math.log(2), abs=2e-4)
