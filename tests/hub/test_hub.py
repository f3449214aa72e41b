"""A run on the Hub: pushed, pulled, opened by its name; and what must never get there or come from there."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import throughtime as tt
from tests.commands import throughtime
from tests.hub.fake_hub import FakeHub, fake_hub
from throughtime.errors import MissingExtraError, OptionError, RunError
from throughtime.hub.cache import HubName, parse_name, run_folder
from throughtime.hub.shared_files import SHARED_FILES, shared_files
from throughtime.run import CONFIG
from throughtime.run.quantization import quantize_run
from throughtime.training import resume, train

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

TEXT = "the quick brown fox jumps over the lazy dog\n" * 12
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, quick_trainings: None) -> Path:
    """A small run, with all that training leaves."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "secret.txt").write_text(TEXT)
    options = {"hidden": 6, "embedding": 4, "batch": 2, "chunk": 16, "epochs": 1, "threads": 1}
    train(folder / "secret.txt", out=folder / "mine", **options)
    return folder / "mine"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A Hub, and an empty cache."""
    with fake_hub() as hub:
        for name, value in {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_TOKEN": "hf_none",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("HF_HUB_CACHE", raising=False)
        yield hub


def in_cache(run: Path, cache: Path, name: str = "me/mine") -> Path:
    """Put a run into a cache as huggingface_hub does; return the snapshot."""
    place = cache / f"models--{name.replace('/', '--')}"
    snapshot = place / "snapshots" / COMMIT
    for folder in (snapshot, place / "blobs", place / "refs"):
        folder.mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    for number, file in enumerate(shared_files(run)):
        shutil.copy(run / file.name, place / "blobs" / str(number))
        (snapshot / file.name).symlink_to(Path("..", "..", "blobs", str(number)))
    return snapshot


# ---- to the Hub


def test_a_dry_run_shows_the_list_and_sends_nothing(run: Path, hub: FakeHub) -> None:
    before = (run / "README.md").read_bytes()
    result = throughtime("push", run, "me/mine", "--dry-run", folder=run.parent)
    assert result.returncode == 0, result.stderr
    assert (run / "README.md").read_bytes() == before
    assert re.search(r"model.safetensors +[\d,]+ bytes", result.stdout)
    assert f"config.toml names where the data lay: {run.parent / 'secret.txt'}" in result.stderr
    assert hub.asked == []


def test_only_what_is_on_the_list_is_sent(run: Path, hub: FakeHub) -> None:
    refused = throughtime("push", run, "me/mine", folder=run.parent)
    assert refused.returncode == 2 and "pass --yes to send these files" in refused.stderr
    missing = throughtime("push", run, "me/mine", "--yes", folder=run.parent)
    assert missing.returncode == 2
    assert "--create private or public makes the repository first" in missing.stderr
    result = throughtime("push", run, "me/mine", "--create", "private", "--yes", "--json", folder=run.parent)
    assert result.returncode == 0, result.stderr
    sent = hub.repositories["me/mine"]
    listed = json.loads(result.stdout)["files"]
    assert {name: len(content) for name, content in sent.items()} == listed
    assert set(listed) <= set(SHARED_FILES) and b"hf://me/mine" in sent["README.md"]
    assert {"model.safetensors", "config.toml", "program.json", "tokenizer.json", "README.md"} <= set(sent)
    assert all((run / name).exists() for name in ("tokens", "checkpoints"))
    assert not any(b"quick brown fox" in content for content in sent.values())
    assert b"throughtime sample hf://me/mine" in sent["README.md"]


def test_a_link_is_not_shared(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "labels.json").symlink_to("/etc/hostname")
    result = throughtime("push", copy, "me/mine", "--dry-run", folder=tmp_path)
    assert result.returncode == 2 and "labels.json is a symbolic link, and none is shared" in result.stderr


def test_each_file_of_a_task_is_shared_or_not_by_decision() -> None:
    kept_back = {
        "known_lines.npy",  # says of any line whether the model was trained on it
        "export.json",  # of ONNX files
        "trackers.json",
        "sweep.json",  # of a folder of runs
        "_plan.json",  # of a folder of predictions
    }
    inside_data = {"data", "in_memory", "runtime", "program"}
    found: set[str] = set()
    for path in Path(tt.__file__).parent.rglob("*.py"):
        if inside_data & set(path.parts[-3:-1]) or path.stem in ("prepared", "prepared_lines", "lexicon"):
            continue
        for line in re.findall(r"^[A-Z_, ]+ = (\(?\"[a-z_]+\..+)$", path.read_text(), re.M):
            found |= set(re.findall(r'"([a-z_]+\.(?:json|npy|safetensors))"', line))
    assert {"labels.json", "frames.json", "words.json"} <= found
    assert found - kept_back <= set(SHARED_FILES)


# ---- from the Hub


def test_what_was_pushed_is_pulled_and_runs_offline(
    run: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.repositories["me/mine"] = {file.name: (run / file.name).read_bytes() for file in shared_files(run)}
    hub.repositories["me/mine"] |= {"tokens/text.bin": b"x", "../evil.txt": b"x", "evil.py": b"x"}
    (tmp_path / "config.toml").write_bytes(b"mine")
    pulled = throughtime("pull", "me/mine", folder=tmp_path)
    assert pulled.returncode == 0, pulled.stderr
    assert not any("evil" in request or "tokens" in request for request in hub.asked)
    folder = Path(pulled.stdout.strip())
    assert {path.name for path in folder.iterdir()} == {file.name for file in shared_files(run)}
    before = len(hub.asked)
    written = tt.load(run).sample("the", 20, seed=3)
    offline = throughtime(
        "sample", "hf://me/mine", "--prompt", "the", "--length", "20", "--seed", "3",
        folder=tmp_path, HF_HUB_OFFLINE="1",
    )  # fmt: skip
    assert (offline.returncode, offline.stdout.rstrip("\n")) == (0, written.rstrip("\n")), offline.stderr
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for name in ("hf://me/mine", "hf://me/mine@main", f"hf://me/mine@{folder.name}", Path("hf://me/mine")):
        opened = tt.load(name)
        assert opened.sample("the", 20, seed=3) == written
        assert opened.hub_name.startswith("hf://me/mine")
    assert len(hub.asked) == before


def test_a_name_fetches_what_is_not_there_yet(run: Path, hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["me/mine"] = {file.name: (run / file.name).read_bytes() for file in shared_files(run)}
    hub.repositories["me/other"] = {"config.json": b"{}"}
    result = throughtime("info", "hf://me/mine", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    result = throughtime("pull", "me/mine", "--out", "theirs", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert not any(path.is_symlink() for path in (tmp_path / "theirs").iterdir())
    for arguments, said in [
        (["info", "hf://me/other"], "hf://me/other holds no run of Throughtime: it lacks config.toml"),
        (["info", "hf://me/none"], "hf://me/none cannot be fetched: "),
        (["info", "hf://me"], "is no name on the Hub"),
        (["pull", "me/mine", "--out", "theirs"], "theirs exists already"),
        (["train", "--resume", "hf://me/mine"], "hf://me/mine is no folder to write into"),
        (["quantize", "hf://me/mine"], "bring it here first, with `throughtime pull` and --out"),
        (["inspect", "hf://me/mine"], "name a folder for the pictures with --out"),
    ]:
        result = throughtime(*arguments, folder=tmp_path)
        assert result.returncode == 2, arguments
        assert said in result.stderr and len(result.stderr.strip().splitlines()) == 1, result.stderr


def test_a_training_begins_with_a_run_of_the_cache(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    in_cache(run, tmp_path / "cache")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(TEXT)
    options = {"batch": 2, "chunk": 16, "epochs": 1, "threads": 1, "tensorboard": False}
    begun = train(tmp_path / "text.txt", out=tmp_path / "new", init_from="hf://me/mine", **options)
    assert begun.config.model.hidden == 6


# ---- what comes from strangers


@pytest.mark.parametrize(
    "name",
    [
        "me",
        "me/../x",
        "../me/x",
        "me/x/y",
        "me/x@../../y",
        "me/x@",
        "me/a--b",
        "/me/x",
        "me/x@a..b",
        "me/.x",
        "",
    ],
)
def test_odd_names_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match="is no name on the Hub"):
        parse_name(f"hf://{name}")


def test_names_are_read() -> None:
    assert parse_name("hf://me/a.b-c_d@refs/pr/1") == HubName("me", "a.b-c_d", "refs/pr/1")
    assert parse_name("me/x") == parse_name(Path("hf://me/x")) == HubName("me", "x", "main")
    assert str(parse_name("me/x")) == "hf://me/x" and str(parse_name("me/x@v1")) == "hf://me/x@v1"


def test_a_cache_that_leads_elsewhere_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    snapshot = in_cache(run, cache)
    assert run_folder("hf://me/mine") == snapshot
    (tmp_path / "elsewhere.json").write_text("{}")
    (snapshot / "labels.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(RunError, match=r"labels\.json leads out of .*models--me--mine"):
        run_folder("hf://me/mine")
    reference = cache / "models--me--mine" / "refs" / "main"
    for commit in ("../../../elsewhere", "g" * 40, ""):
        reference.write_text(commit)
        with pytest.raises(RunError, match="is damaged: it names no commit"):
            run_folder("hf://me/mine")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=f"hf://me/none is not in {cache}, and fetching it needs"):
        run_folder("hf://me/none")


def test_a_strangers_options_run_no_code(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    snapshot = in_cache(run, cache)
    options = (run / CONFIG).read_text()
    for damage, said in [
        (options.replace('cell = "lstm"', 'cell = "antigravity:Cell"'), "would run code by that name"),
        (options.replace("hidden = 6", "hidden = 99999999"), "config.toml is damaged: --hidden"),
        (options + "\n[more]\nodd = 1\n", "config.toml is damaged"),
        ("task = 'language-model'\n" * 2, "config.toml is damaged"),
    ]:
        blob = (snapshot / CONFIG).resolve()
        blob.write_text(damage)
        with pytest.raises(RunError, match=re.escape(said)):
            tt.load("hf://me/mine", backend="torch")
    assert "antigravity" not in sys.modules


# ---- the card


def test_the_card_has_what_the_hub_reads(run: Path) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard.load(run / "README.md")
    assert card.data.library_name == "throughtime"
    assert card.data.pipeline_tag == "text-generation"
    (result,) = card.data.eval_results
    entries = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert result.metric_value == next(entry["val_loss"] for entry in entries if "val_loss" in entry)
    config = json.loads((run / "config.json").read_text())
    assert config["model_type"] == "throughtime" and config["architectures"] == ["LanguageModel"]
    assert config["data"]["source"] == "secret.txt"
    assert str(run.parent) not in (run / "config.json").read_text() + (run / "README.md").read_text()


def test_a_card_that_somebody_wrote_stays(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    before = json.loads((copy / "config.json").read_text())["fingerprint"]
    resume(copy, epochs=2)
    assert json.loads((copy / "config.json").read_text())["fingerprint"] != before
    assert "2 of 2 epochs" in (copy / "README.md").read_text()
    (copy / "README.md").write_text("my own words")
    resume(copy, epochs=3)
    assert (copy / "README.md").read_text() == "my own words"
    quantised = Path(quantize_run(copy, "int8")["out"])
    assert (quantised / "README.md").read_text() == "my own words"
    assert json.loads((quantised / "config.json").read_text())["fingerprint"] != before


def test_transformers_reads_the_tokenizer(run: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    from transformers import AutoTokenizer  # pyright: ignore[reportMissingImports]

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    tokenizer = AutoTokenizer.from_pretrained(run)
    assert tokenizer("lazy dog")["input_ids"] == tt.load(run).tokenizer.encode("lazy dog").tolist()
    assert tokenizer.decode(tokenizer("lazy dog")["input_ids"]) == "lazy dog"
