"""Captioners from files to captions: training, resuming, predicting, measuring, and the mistakes of users."""

from __future__ import annotations

import csv
import io
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import throughtime as tt
from throughtime.data.tables import BadRows
from throughtime.errors import DataError, OptionError, RunError
from throughtime.generation import Hypothesis, SamplingOptions
from throughtime.tasks.captioner.generation import best_captions
from throughtime.tasks.captioner.run import CaptionerRun
from throughtime.training import Interrupted, resume
from throughtime.training.progress import Progress

Image = pytest.importorskip("PIL.Image")

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 60, 230)}
SMALL: dict[str, Any] = {
    "hidden": 24,
    "embedding": 12,
    "image_embedding": 16,
    "image_size": 16,
    "batch": 8,
    "evaluate_every": 75,
    "tensorboard": False,
    "threads": 1,
    "learning_rate": 0.02,
    "input_dropout": 0.0,
    "output_dropout": 0.1,
    "feature_dropout": 0.0,
}
# Features that were computed elsewhere have no size in pixels.
OF_FEATURES = {name: value for name, value in SMALL.items() if name != "image_size"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plain pictures of three colours; two captions each."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    with (folder / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "caption", "split"])
        for split, count in (("train", 24), ("validation", 6), ("test", 6)):
            for number in range(count):
                colour = list(COLOURS)[number % 3]
                noise = generator.normal(0, 12, (20, 20, 3))
                pixels = (np.array(COLOURS[colour]) + noise).clip(0, 255).astype(np.uint8)
                name = f"{split}{number}.png"
                Image.fromarray(pixels).save(folder / name)
                table.writerow([name, f"A picture that is all {colour}.", split])
                table.writerow([name, f"all of this picture is {colour}", split])
    return folder


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> CaptionerRun:
    """Trained on the images, with our own CNN."""
    trained = tt.train(photos, out=tmp_path_factory.mktemp("runs") / "photos", epochs=25, **SMALL)
    assert isinstance(trained, CaptionerRun)
    return trained


def features_of(photos: Path, file: Path) -> Path:
    """The mean colour of each image, computed here."""
    names = sorted(path.name for path in photos.glob("*.png"))
    means = [np.asarray(Image.open(photos / name)).mean((0, 1)) / 255 for name in names]
    np.savez(file, names=names, features=np.array(means, dtype=np.float32))
    return file


def test_it_says_what_is_on_unseen_images(run: CaptionerRun, photos: Path) -> None:
    captions = list(run.caption([photos / f"test{number}.png" for number in range(3)]))
    for caption, colour in zip(captions, COLOURS, strict=True):
        assert caption.text in (f"a picture that is all {colour}", f"all of this picture is {colour}")
        assert caption.words == caption.text.split()
        # The two captions are equally probable.
        assert caption.log_probability == pytest.approx(np.log(0.5), abs=0.7)


def test_its_metrics_on_the_test_split(run: CaptionerRun, photos: Path) -> None:
    figures = run.evaluate(photos)
    assert figures["images"] == 6 and figures["references"] == 12
    assert figures["bleu4"] == pytest.approx(100)
    assert figures["rouge_l"] == pytest.approx(100)
    assert figures["cider_d"] > 4
    assert run.evaluate(photos, split="validation", beam=1)["bleu1"] > 90


def test_the_run_is_recognised_and_describes_itself(run: CaptionerRun, photos: Path) -> None:
    assert run.config.task == "captioner"
    assert type(tt.load(run.folder)) is CaptionerRun
    assert run.describe()["vocabulary_size"] == run.tokenizer.vocabulary_size
    assert "throughtime caption" in run.next_command()


def test_beams_and_draws(run: CaptionerRun, photos: Path) -> None:
    image = [photos / "test0.png"]
    greedy = next(run.caption(image, beam=1))
    cold = next(run.caption(image, sampling=SamplingOptions(temperature=0)))
    assert cold.text == greedy.text
    assert cold.log_probability == pytest.approx(greedy.log_probability, abs=1e-4)
    texts = {next(run.caption(image, sampling=SamplingOptions(), seed=seed)).text for seed in range(12)}
    assert {"a picture that is all red", "all of this picture is red"} <= texts
    again = next(run.caption(image, sampling=SamplingOptions(), seed=5))
    assert again == next(run.caption(image, sampling=SamplingOptions(), seed=5))


def test_the_search_options_are_the_runs_unless_the_call_has_its_own(
    run: CaptionerRun, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[tuple[Any, ...]] = []

    def search(*arguments: Any) -> list[Hypothesis]:
        # Beam, length penalty, word reward and how far it counts.
        searched.append((arguments[2], arguments[4], *arguments[6:]))
        return best_captions(*arguments)

    monkeypatch.setattr("throughtime.tasks.captioner.run.best_captions", search)
    options = {"beam": 3, "length_penalty": 0.0, "word_reward": 1.5, "rewarded_length": 4}
    changed = run.config.model_copy(update={"model": run.config.model.model_copy(update=options)})
    monkeypatch.setattr(run, "config", changed)
    image = [photos / "test0.png"]
    next(run.caption(image))
    next(run.caption(image, beam=2, length_penalty=0.5, word_reward=0.0))
    run.evaluate(photos, word_reward=0.7)
    assert searched[:3] == [(3, 0.0, 1.5, 4), (2, 0.5, 0.0, 4), (3, 0.0, 0.7, 4)]


def test_consensus_chooses_among_the_beams_captions(
    run: CaptionerRun, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["a picture that is all red", "all of this picture is red", "all of this picture is all red"]
    found = [
        Hypothesis((*run.tokenizer.encode(text), run.tokenizer.vocabulary_size), -number, -number / 10)
        for number, text in enumerate(texts)
    ]
    monkeypatch.setattr("throughtime.tasks.captioner.run.best_captions", lambda *arguments: found)
    image = [photos / "test0.png"]
    assert next(run.caption(image)).text == texts[0]
    agreed = next(run.caption(image, consensus=True))
    assert (agreed.text, agreed.log_probability) == (texts[2], -2)
    changed = run.config.model.model_copy(update={"consensus": True})
    monkeypatch.setattr(run, "config", run.config.model_copy(update={"model": changed}))
    assert next(run.caption(image)).text == texts[2]
    assert next(run.caption(image, consensus=False)).text == texts[0]
    assert run.evaluate(photos)["images"] == 6


def test_predictions_are_plain_values(run: CaptionerRun, photos: Path) -> None:
    predictions = list(run.predict([photos / "test1.png"]))
    assert list(predictions[0]) == ["image", "caption", "log_probability"]
    json.dumps(predictions)


@pytest.mark.parametrize("image_input", ["first-input", "initial-state", "attention"])
def test_every_way_in_learns(photos: Path, tmp_path: Path, image_input: str) -> None:
    embedded = image_input in ("every-step", "attention")
    options = {name: value for name, value in SMALL.items() if embedded or name != "image_embedding"}
    trained = tt.train(photos, out=tmp_path / "run", epochs=25, image_input=image_input, **options)
    assert trained.evaluate(photos)["bleu1"] > 80  # type: ignore[attr-defined]
    caption = next(trained.caption([photos / "test0.png"]))  # type: ignore[attr-defined]
    if image_input == "attention":
        # A map for each word and for END, over 2 x 2 places.
        assert caption.attention.shape == (len(caption.words) + 1, 4)
    else:
        assert caption.attention is None


class StopAt(Progress):
    """Sends the signal of Ctrl-C at a step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def stepped(self, position: Any, *_: Any) -> None:
        if position.step == self._step:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("step", [1, 9])
def test_a_training_that_was_stopped_ends_as_one_that_was_not(
    photos: Path, tmp_path: Path, step: int
) -> None:
    options = {**SMALL, "epochs": 3, "evaluate_every": 7, "locked_dropout": True, "output_dropout": 0.3}
    whole = tt.train(photos, out=tmp_path / "whole", **options)
    with pytest.raises(Interrupted):
        tt.train(photos, out=tmp_path / "parts", show=StopAt(step), **options)
    parts, _ = resume(tmp_path / "parts")
    same = [(folder / "model.safetensors").read_bytes() for folder in (whole.folder, parts.folder)]
    assert same[0] == same[1]
    losses = [
        [
            {key: value for key, value in json.loads(line).items() if "second" not in key}
            for line in (folder / "metrics.jsonl").read_text().splitlines()
        ]
        for folder in (whole.folder, parts.folder)
    ]
    assert losses[0] == losses[1]


def test_features_that_were_computed_elsewhere(photos: Path, tmp_path: Path) -> None:
    file = features_of(photos, tmp_path / "features.npz")
    (tmp_path / "captions.csv").write_text((photos / "metadata.csv").read_text())
    # The images are not beside this table, and are not needed.
    trained = tt.train(
        tmp_path / "captions.csv", out=tmp_path / "run", epochs=25, image_features=str(file), **OF_FEATURES
    )
    assert isinstance(trained, CaptionerRun)
    assert trained.evaluate(tmp_path / "captions.csv")["bleu1"] > 90
    # The network reads them by their mean and deviation, whatever their scale.
    found = trained.model.encoder.mean.numpy()
    assert found == pytest.approx(np.load(trained.folder / "data" / "training.images.npy").mean(0), rel=1e-3)
    # Features in, captions out; or images and the function that made the features.
    by_name = {caption.image: caption.text for caption in trained.caption([file])}
    assert by_name["test0.png"].endswith("red") or "is red" in by_name["test0.png"]

    def mean_colour(pixels: np.ndarray) -> np.ndarray:
        return pixels.mean((1, 2)) / 255

    assert "red" in next(trained.caption([photos / "test0.png"], encode=mean_colour)).text
    with pytest.raises(OptionError, match="was trained on ready features, without a CNN"):
        next(trained.caption([photos / "test0.png"]))
    with pytest.raises(DataError, match=r"features of shape \(4,\), and the model reads \(3,\)"):
        next(trained.caption([photos / "test0.png"], encode=lambda pixels: np.ones((len(pixels), 4))))
    with pytest.raises(DataError, match=r"features of shape \(4,\), and the model reads \(3,\)"):
        trained.evaluate(photos, encode=lambda pixels: np.ones((len(pixels), 4)))


def test_a_trained_cnn_is_kept_in_the_run_and_may_be_fine_tuned(photos: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    from throughtime.encoders.mobilenet import MobileNetV2

    torch.manual_seed(0)
    network = MobileNetV2(classes=2)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()(torch.randn(8, 3, 32, 32))
    weights = tmp_path / "cnn.safetensors"
    save_file(network.state_dict(), weights)
    options = {**SMALL, "image_size": 32, "epochs": 1, "image_encoder": str(weights)}
    frozen = tt.train(photos, out=tmp_path / "frozen", **options)
    tuned = tt.train(photos, out=tmp_path / "tuned", fine_tune=1, **options)
    weights.unlink()
    for trained in (frozen, tuned):
        assert next(CaptionerRun.open(trained.folder).caption([photos / "test0.png"])).log_probability < 0
    names = load_file(tuned.folder / "model.safetensors")
    learned = names["encoder.blocks.18.0.weight"]
    assert not torch.equal(learned, network.state_dict()["features.18.0.weight"])
    assert not any(
        name.startswith("encoder.blocks") for name in load_file(frozen.folder / "model.safetensors")
    )


def test_without_a_split_column_images_are_drawn_for_validation(photos: Path, tmp_path: Path) -> None:
    rows = list(csv.reader((photos / "metadata.csv").open()))
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows(row[:2] for row in rows)
    features = features_of(photos, tmp_path / "features.npz")
    trained = tt.train(
        tmp_path,
        out=tmp_path / "run",
        epochs=1,
        image_features=str(features),
        validation_fraction=0.25,
        **OF_FEATURES,
    )
    data = trained.folder / "data"
    assert len(np.load(data / "validation.images.npy")) == 9
    assert len(np.load(data / "training.images.npy")) == 27
    # All captions of an image are on the same side.
    assert len(np.load(data / "validation.owners.npy")) == 18


def test_rare_words_are_unknown_and_never_written(photos: Path, tmp_path: Path) -> None:
    trained = tt.train(photos, out=tmp_path / "run", epochs=1, minimum_count=17, **SMALL)
    assert isinstance(trained, CaptionerRun)
    words = {trained.tokenizer.token_text(token) for token in range(trained.tokenizer.vocabulary_size)}
    # Each colour is in 16 captions; the other words are in 24 or 48.
    assert "picture" in words and not words & set(COLOURS)
    for seed in range(20):
        text = next(trained.caption([photos / "test0.png"], sampling=SamplingOptions(), seed=seed)).text
        assert "<unk>" not in text and "\n" not in text


@pytest.mark.parametrize("kind", ["character", "bpe"])
def test_other_tokens_make_the_same_text(photos: Path, tmp_path: Path, kind: str) -> None:
    trained = tt.train(photos, out=tmp_path / "run", epochs=1, tokenizer=kind, **SMALL)
    assert isinstance(trained, CaptionerRun)
    assert isinstance(next(trained.caption([photos / "test0.png"])).text, str)


def bad_copy(photos: Path, folder: Path, spoil: Callable[[Path], None]) -> Path:
    folder.mkdir()
    for path in photos.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    spoil(folder)
    return folder


def truncate(folder: Path) -> None:
    path = folder / "train3.png"
    path.write_bytes(path.read_bytes()[:100])


def remove(folder: Path) -> None:
    (folder / "train3.png").unlink()


def silence(folder: Path) -> None:
    table = folder / "metadata.csv"
    table.write_text(table.read_text().replace("train3.png,A picture that is all red.", "train3.png,"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncate, r"metadata\.csv line 8: .*train3\.png cannot be read as an image"),
        (remove, r"metadata\.csv line 8: image 'train3\.png' not found"),
        (silence, r"metadata\.csv line 8: the caption of 'train3\.png' is empty"),
    ],
)
def test_bad_examples_stop_the_training_or_are_left_out_with_a_count(
    photos: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    folder = bad_copy(photos, tmp_path / "photos", spoil)
    with pytest.raises(DataError, match=message):
        tt.train(folder, out=tmp_path / "run", epochs=1, **SMALL)
    assert not (tmp_path / "run").exists()

    class Remarks(Progress):
        texts: list[str] = []

        def remark(self, text: str) -> None:
            self.texts.append(text)

    tt.train(folder, out=tmp_path / "run", epochs=1, skip_bad=True, show=Remarks(), **SMALL)
    assert len(Remarks.texts) == 1 and "left out" in Remarks.texts[0] and "train3.png" in Remarks.texts[0]


def test_inputs_that_cannot_be_captioned(run: CaptionerRun, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"broken\.jpg cannot be read as an image"):
        list(run.caption([tmp_path / "broken.jpg"]))
    bad = BadRows(skip=True)
    inputs = [tmp_path / "broken.jpg", tmp_path / "none.jpg", photos / "test0.png"]
    assert len(list(run.caption(inputs, bad=bad))) == 1
    assert bad.count == 2


def test_a_damaged_run_says_so(run: CaptionerRun, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(run.folder, copy)
    (copy / "images.json").write_text("{")
    with pytest.raises(RunError, match=r"images\.json is damaged"):
        CaptionerRun.open(copy)
    (copy / "images.json").unlink()
    with pytest.raises(RunError, match=r"images\.json is missing"):
        CaptionerRun.open(copy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fine_tune": 2}, "fine_tune needs --image-encoder"),
        ({"image_size": 60}, "image_size must be a multiple of 8"),
        ({"image_encoder": "none.npz"}, r"none\.npz: no such file"),
        ({"image_features": "none.npz"}, r"none\.npz: no such file"),
        ({"image_input": "sideways"}, "--image-input: "),
    ],
)
def test_options_that_do_not_fit_are_refused(
    photos: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((OptionError, DataError), match=message):
        tt.train(
            photos,
            out=tmp_path / "run",
            epochs=1,
            **{**(OF_FEATURES if "image_features" in options else SMALL), **options},
        )


def test_a_name_on_standard_input_that_is_no_text_is_named_or_left_out(
    run: CaptionerRun, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for skip in (False, True):
        content = io.BytesIO(f"{photos / 'test0.png'}\n".encode() + b"caf\xe9.png\n-\n")
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(content, encoding="utf-8"))
        bad = BadRows(skip)
        if skip:
            assert len(list(run.caption(["-"], bad=bad))) == 1 and bad.count == 2
        else:
            with pytest.raises(DataError, match="standard input line 2: byte 0xe9 is not UTF-8"):
                list(run.caption(["-"], bad=bad))


def test_a_caption_is_not_made_of_nan(
    run: CaptionerRun, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = CaptionerRun.open(run.folder)
    real = again.network.begin
    monkeypatch.setattr(
        again.network, "begin", lambda images: (real(images)[0] * np.float32(np.nan), real(images)[1])
    )
    inputs = [photos / "test0.png"]
    for sampling in (None, SamplingOptions()):
        with pytest.raises(DataError, match=r"test0\.png: the model's output for position 1 is not a number"):
            list(again.caption(inputs, sampling=sampling))
        bad = BadRows(skip=True)
        assert list(again.caption(inputs, sampling=sampling, bad=bad)) == [] and bad.count == 1
    with pytest.raises(OptionError, match="length_penalty must be from 0 to 10, not 1e"):
        list(run.caption(inputs, length_penalty=1e10))


def test_images_outside_a_folder_are_read_only_where_that_is_allowed(
    run: CaptionerRun, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "metadata.csv").write_text(f"file_name,caption\n{photos / 'test0.png'},all red\n")
    with pytest.raises(DataError, match="lies outside"):
        run.evaluate(tmp_path)
    assert run.evaluate(tmp_path, allow_outside_files=True)["images"] == 1
