"""Numbers and several labels, as a user types it: of examples and of frames, from training to export."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.commands import throughtime

SMALL = ["--hidden", "8", "--epochs", "2", "--batch", "8", "--threads", "1"]
WORDS = ["red", "blue", "round", "heavy"]


def write_tables(folder: Path) -> None:
    """Texts with a price and a size, and with the colours that are in them."""
    generator = np.random.default_rng(0)
    prices, colours = ["text,price,size"], []
    for _ in range(60):
        words = generator.choice(WORDS, 4).tolist()
        prices.append(
            f"{' '.join(words)},{1000 + 50 * words.count('heavy') + generator.normal():.2f},{len(set(words))}"
        )
        colours.append(json.dumps({"text": " ".join(words), "label": sorted({"red", "blue"} & set(words))}))
    (folder / "prices.csv").write_text("\n".join(prices) + "\n")
    (folder / "colours.jsonl").write_text("\n".join(colours) + "\n")


def write_clips(folder: Path) -> None:
    """Arrays whose frames have keys that are down, and a level that follows."""
    generator = np.random.default_rng(1)
    for name in ("keys", "levels"):
        (folder / name).mkdir()
        rows = ["file_name,labels"]
        for number in range(5):
            frames = generator.integers(0, 2, (30, 3))
            np.save(folder / name / f"{number}.npy", frames.astype(np.float32))
            if name == "keys":
                np.savetxt(
                    folder / name / f"{number}.l.csv", frames[:, ::-1], "%d", ",", header="c,e,g", comments=""
                )
            else:
                np.save(folder / name / f"{number}.l.npy", 7 + np.cumsum(frames - 0.5, 0)[:, :1])
            rows.append(f"{number}.npy,{number}.l.{'csv' if name == 'keys' else 'npy'}")
        (folder / name / "metadata.csv").write_text("\n".join(rows) + "\n")


# The options of each training: a number and several, several labels; for texts and for frames.
TRAININGS: dict[str, list[str]] = {
    "price": ["prices.csv", "--label-column", "price", "--target", "number", "--columns", "text"],
    "both": [
        *("prices.csv", "--label-column", "price,size", "--target", "number", "--loss", "gaussian"),
        *("--members", "2"),
    ],
    "colours": ["colours.jsonl", "--class-weights", "balanced"],
    "keys": ["keys"],
    "levels": ["levels", "--loss", "quantile"],
}
DATA = {name: options[0] for name, options in TRAININGS.items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data and a run of each training."""
    folder = tmp_path_factory.mktemp("targets")
    write_tables(folder)
    write_clips(folder)
    for name, options in TRAININGS.items():
        small = SMALL if DATA[name] in ("keys", "levels") else [*SMALL, "--embedding", "6"]
        result = throughtime("train", *options, "--out", f"run_{name}", *small, folder=folder)
        assert result.returncode == 0, result.stderr
        assert f"Saved in run_{name}" in result.stderr
    return folder


def predicted(folder: Path, *arguments: str, given: str = "") -> list[dict[str, Any]]:
    result = throughtime("predict", *arguments, "--json", folder=folder, given=given)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_number_comes_with_its_interval(trained: Path) -> None:
    found = predicted(trained, "run_price", given="red heavy\n\nround\n")
    assert [one["input"] for one in found] == ["red heavy", "", "round"]
    assert found[0]["low"] < found[0]["value"] < found[0]["high"] and 900 < found[0]["value"] < 1300
    assert found[1]["value"] is None
    rows = throughtime("predict", "run_both", "prices.csv", "--csv", folder=trained).stdout
    first = next(csv.DictReader(io.StringIO(rows)))
    assert list(first) == [
        "input",
        "price",
        "price low",
        "price high",
        "size",
        "size low",
        "size high",
        "truth",
    ]
    assert len(first["truth"].split("; ")) == 2


def test_every_label_has_a_probability_and_its_threshold(trained: Path) -> None:
    found = predicted(trained, "run_colours", given="red heavy\n")
    assert set(found[0]["probabilities"]) == {"blue", "red"} and isinstance(found[0]["labels"], list)
    all_of_them = predicted(trained, "run_colours", "--threshold", "0", given="red heavy\n")
    assert all_of_them[0]["labels"] == ["blue", "red"]
    assert (
        throughtime("predict", "run_colours", "--threshold", "1", folder=trained, given="red\n").returncode
        == 0
    )
    frames = predicted(trained, "run_keys", "keys/0.npy")
    assert [one["frame"] for one in frames] == list(range(30))
    assert set(frames[0]["probabilities"]) == {"c", "e", "g"}


@pytest.mark.parametrize("name", ["keys", "levels"])
def test_frames_come_as_a_stream_and_as_a_picture(trained: Path, name: str) -> None:
    clip = f"{name}/0.npy"
    whole = predicted(trained, f"run_{name}", clip)
    lines = "\n".join(",".join(map(str, row)) for row in np.load(trained / clip)) + "\n"
    streamed = predicted(trained, f"run_{name}", given=lines)
    if name == "keys":
        assert [one["labels"] for one in streamed] == [one["labels"] for one in whole]
    else:
        assert [one["value"] for one in streamed] == pytest.approx([one["value"] for one in whole], rel=1e-5)
    suffix = "csv" if name == "keys" else "npy"
    drawn = ["--timeline", "t.png", "--labels", f"{name}/0.l.{suffix}"]
    result = throughtime("predict", f"run_{name}", clip, *drawn, folder=trained)
    assert result.returncode == 0, result.stderr
    assert (trained / "t.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("price", {"mae", "rmse", "r2", "rmse_of_mean", "coverage", "scatter"}),
        ("both", {"r2", "crps of price", "coverage of size", "scatter"}),
        ("colours", {"micro_f1", "macro_f1", "subset_accuracy", "label_scores"}),
        ("keys", {"micro_f1", "macro_f1", "subset_accuracy", "frames"}),
        ("levels", {"mae", "crps", "coverage", "frames"}),
    ],
)
def test_eval_and_info_and_torch_agree(trained: Path, name: str, figures: set[str]) -> None:
    scores = json.loads(throughtime("eval", f"run_{name}", DATA[name], "--json", folder=trained).stdout)
    assert figures <= set(scores)
    other = throughtime("eval", f"run_{name}", DATA[name], "--json", "--backend", "torch", folder=trained)
    assert json.loads(other.stdout)["loss"] == pytest.approx(scores["loss"], rel=1e-4)
    described = throughtime("info", f"run_{name}", folder=trained).stdout
    assert "perplexity" not in described and ("labels" in described or "numbers" in described)


@pytest.mark.parametrize("name", ["both", "keys"])
def test_runs_are_quantised_exported_and_resumed(trained: Path, name: str, tmp_path: Path) -> None:
    out = tmp_path / "small"
    quantised = throughtime(
        "quantize", f"run_{name}", "--precision", "int8", "--data", DATA[name], "--out", out, folder=trained
    )
    assert quantised.returncode == 0, quantised.stderr
    assert (out / "target.json").exists()
    resumed = throughtime("train", "--resume", f"run_{name}", "--epochs", "3", folder=trained)
    assert resumed.returncode == 0, resumed.stderr
    pytest.importorskip("onnxruntime")
    exported = throughtime("export", f"run_{name}", "--onnx", "--out", tmp_path / "onnx", folder=trained)
    assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "onnx" / "target.json").exists()


def test_a_users_mistakes_are_one_line_each(trained: Path) -> None:
    (trained / "words.csv").write_text("text,price\nred,cheap\n" + "blue,1\nround,2\n" * 6)
    (trained / "flat.csv").write_text("text,price\n" + "red round,3\n" * 12)
    (trained / "gaps.csv").write_text("text,price,size\n" + "red,1,2\nblue,,3\n" * 6)
    number = ["--label-column", "price", "--target", "number"]
    for arguments, message in [
        (
            ["train", "words.csv", *number, "--out", "x"],
            "line 2: price: 'cheap' is not a number (pass --skip-bad",
        ),
        (["train", "flat.csv", *number, "--out", "x"], "price is 3 in every training example"),
        (["train", "gaps.csv", *number, "--columns", "text", "--out", "x"], "line 3: price is empty"),
        (
            ["train", "prices.csv", *number, "--class-weights", "balanced"],
            "would do nothing: it needs labels",
        ),
        (["train", "colours.jsonl", "--loss", "huber", "--out", "x"], "it needs --target number"),
        (
            ["train", "prices.csv", *number, "--loss", "quantile", "--quantiles", "0.9"],
            "--quantiles 0.9: expected",
        ),
        (["predict", "run_price", "prices.csv", "--probabilities"], "numbers have no probabilities"),
        (["predict", "run_price", "prices.csv", "--threshold", "0.5"], "--threshold is for several labels"),
        (["predict", "run_colours", "colours.jsonl", "--threshold", "2"], "from 0 to 1"),
        (["eval", "run_levels", "levels", "--threshold", "0.5"], "--threshold is for several labels"),
        (["predict", "run_levels", "levels/0.npy", "--probabilities"], "--probabilities"),
    ]:
        result = throughtime(*arguments, folder=trained)
        assert result.returncode == 2, arguments
        assert message in result.stderr, result.stderr
        assert "Traceback" not in result.stderr and len(result.stderr.strip().splitlines()) == 1
