"""The run of a tagger: preparation, predictions whole and as a stream, evaluation, and every bad input."""

from __future__ import annotations

import gc
import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import throughtime as tt
from throughtime.data.video import decode_video, write_video
from throughtime.errors import DataError, OptionError, RunError
from throughtime.recognition import recognise
from throughtime.tasks.tagger.run import TaggerRun
from throughtime.training import train
from throughtime.training.progress import Progress

av = pytest.importorskip("av")

SMALL: dict[str, Any] = {
    "task": "tagger",
    "hidden": 8,
    "batch": 2,
    "chunk": 16,
    "epochs": 1,
    "threads": 1,
    "tensorboard": False,
}
LENGTHS = (40, 25, 33, 18)


class Remarks(Progress):
    """Keeps what the user is told."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def remark(self, text: str) -> None:
        self.all.append(text)


def write_arrays(folder: Path, lengths: tuple[int, ...] = LENGTHS, classes: int = 3) -> Path:
    """Arrays of two features of very different sizes, and ranges of labels with a gap."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    lines = ["file_name,labels"]
    for number, length in enumerate(lengths):
        np.save(folder / f"{number}.npy", generator.normal((1000, 0), (300, 0.01), (length, 2)))
        third = length // 3
        rows = [f"{part * third},{(part + 1) * third},{'abc'[part % classes]}" for part in range(3)]
        (folder / f"{number}.csv").write_text("\n".join(["start,end,label", *rows[:2], rows[2]]) + "\n")
        lines.append(f"{number}.npy,{number}.csv")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_videos(folder: Path, lengths: tuple[int, ...] = LENGTHS) -> Path:
    """Grey clips that get brighter; the label, in seconds, says whether a frame is dark or bright."""
    folder.mkdir(parents=True)
    lines = ["file_name,labels"]
    for number, length in enumerate(lengths):
        write_video(folder / f"{number}.mp4", brighter(length), rate=20)
        middle = length // 2 / 20
        (folder / f"{number}.csv").write_text(
            f"start_seconds,end_seconds,label\n0,{middle},dark\n{middle},{length / 20},bright\n"
        )
        lines.append(f"{number}.mp4,{number}.csv")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


def brighter(length: int, size: int = 48) -> Iterator[np.ndarray]:
    for index in range(length):
        yield np.full((size, size, 3), 20 + 200 * index // length, np.uint8)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_arrays(tmp_path_factory.mktemp("arrays") / "data")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("videos") / "data")


@pytest.fixture(scope="module")
def array_run(arrays: Path) -> TaggerRun:
    return train(arrays, out=arrays.parent / "run", **SMALL)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def video_run(videos: Path) -> TaggerRun:
    return train(videos, out=videos.parent / "run", **SMALL)  # type: ignore[return-value]


def test_the_task_is_found_from_the_folder(arrays: Path, videos: Path, tmp_path: Path) -> None:
    assert recognise(arrays).task == recognise(videos).task == "tagger"
    (tmp_path / "text.txt").write_text("no clips")
    assert recognise(tmp_path / "text.txt").task == "language-model"


def test_the_run_holds_labels_and_the_statistics_of_the_training_frames(
    arrays: Path, array_run: TaggerRun
) -> None:
    facts = json.loads((array_run.folder / "frames.json").read_text())
    assert (facts["labels"], facts["kind"], facts["frame_rate"]) == (["a", "b", "c"], "array", None)
    used = np.load(array_run.folder / "data" / "training.frames.npy")
    assert len(used) < sum(LENGTHS)  # one clip is held out
    np.testing.assert_allclose(facts["mean"], used.mean(0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(facts["deviation"], used.std(0, dtype=np.float64), rtol=1e-6)
    again = tt.load(array_run.folder)
    assert isinstance(again, TaggerRun) and again.labels == ["a", "b", "c"]
    assert again.describe()["labels"] == ["a", "b", "c"]


def test_labels_are_sorted_with_numbers_as_numbers(tmp_path: Path) -> None:
    folder = write_arrays(tmp_path / "data", classes=3)
    for path in folder.glob("?.csv"):
        text = path.read_text()
        for name, number in (("a", "10"), ("b", "9"), ("c", "idle")):
            text = text.replace(f",{name}\n", f",{number}\n")
        path.write_text(text)
    run = train(folder, out=tmp_path / "run", **SMALL)
    assert run.labels == ["9", "10", "idle"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("options", [{}, {"cell": "gru", "layers": 2}, {"cell": "none"}])
def test_a_stream_says_what_the_whole_clip_says(
    videos: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    train(videos, out=tmp_path / "run", **{**SMALL, **options})
    run = TaggerRun.open(tmp_path / "run", backend="torch")
    # Weights that were hardly trained give nearly equal probabilities: no test of equal labels.
    with torch.no_grad():
        run.model.output.weight.mul_(8)
    clip = videos / "0.mp4"
    frames = [frame.pixels for frame in decode_video(clip, 32)]
    whole, _ = run.model(torch.from_numpy(np.stack(frames)).unsqueeze(1))
    wanted = [run.labels[label] for label in whole[:, 0].argmax(-1)]
    assert list(run.stream(iter(frames))) == wanted
    assert run.label_frames(clip) == wanted


def test_a_stream_answers_each_frame_before_it_takes_the_next(array_run: TaggerRun) -> None:
    taken = []

    def frames() -> Iterator[np.ndarray]:
        for number in range(5):
            taken.append(number)
            yield np.array([1000.0, number])

    answers = array_run.stream(frames())
    for number in range(5):
        assert next(answers) in array_run.labels
        assert taken == list(range(number + 1))
    assert next(answers, None) is None


def test_a_stream_runs_at_constant_memory(array_run: TaggerRun) -> None:
    def frames(count: int) -> Iterator[np.ndarray]:
        generator = np.random.default_rng(0)
        for _ in range(count):
            yield generator.normal((1000, 0), (300, 0.01))

    def tensors() -> int:
        gc.collect()
        return sum(one.numel() for one in gc.get_objects() if type(one) is torch.Tensor)

    stream = array_run.stream(frames(3000))
    for _ in range(20):
        next(stream)
    before = tensors()
    for _ in range(2000):
        next(stream)
    assert tensors() == before


def test_a_stream_takes_video_frames_of_any_size(video_run: TaggerRun) -> None:
    large = list(video_run.stream(brighter(30, size=96)))
    assert large == list(video_run.stream(brighter(30, size=32)))


def test_a_bidirectional_tagger_cannot_stream_and_says_why(arrays: Path, tmp_path: Path) -> None:
    run = train(arrays, out=tmp_path / "run", bidirectional=True, **SMALL)
    assert isinstance(run, TaggerRun)
    with pytest.raises(
        OptionError, match="depends on frames that have not come yet.*without --bidirectional"
    ):
        next(run.stream([np.zeros(2)]))
    whole, _ = run.model(torch.from_numpy(np.load(arrays / "0.npy")).float().unsqueeze(1))
    assert run.label_frames(arrays / "0.npy") == [run.labels[label] for label in whole[:, 0].argmax(-1)]
    assert run.label_frames(np.load(arrays / "0.npy")) == run.label_frames(arrays / "0.npy")
    with pytest.raises(DataError, match="frame 1 of the stream: "):
        run.label_frames(np.array([[0.0, 1.0], [np.nan, 1.0]]))


def test_frames_that_do_not_fit_a_stream_are_named(array_run: TaggerRun, video_run: TaggerRun) -> None:
    good = np.array([1000.0, 0.0])
    for bad, message in [
        (np.zeros(3), r"frame 1 of the stream: a frame of float64 \(3,\), expected 2 numbers"),
        (np.array([1.0, np.nan]), "frame 1 of the stream: feature 1: nan is not a finite number"),
        (np.array(["a", "b"]), "frame 1 of the stream: a frame of <U1"),
    ]:
        with pytest.raises(DataError, match=message):
            list(array_run.stream([good, bad]))
    with pytest.raises(DataError, match=r"frame 0 .* float64 \(32, 32, 3\), expected uint8 \(H, W, 3\)"):
        list(video_run.stream([np.zeros((32, 32, 3))]))


def test_predictions_are_segments_that_cover_the_clip(videos: Path, video_run: TaggerRun) -> None:
    rows = list(video_run.predict([videos / "0.mp4", videos / "1.mp4"]))
    for name, length in (("0.mp4", 40), ("1.mp4", 25)):
        own = [row for row in rows if row["clip"].endswith(name)]
        assert [row["start"] for row in own[1:]] == [row["end"] for row in own[:-1]]
        assert (own[0]["start"], own[-1]["end"]) == (0, length)
        assert own[-1]["end_seconds"] == pytest.approx(length / 20)
        labels = [row["label"] for row in own for _ in range(row["start"], row["end"])]
        assert labels == video_run.label_frames(videos / name)
        assert all(0 < row["probability"] <= 1 for row in own)
    everything = list(video_run.predict([videos]))
    assert len({row["clip"] for row in everything}) == len(LENGTHS)


def test_predicted_segments_can_be_read_as_labels(arrays: Path, array_run: TaggerRun, tmp_path: Path) -> None:
    rows = list(array_run.predict([arrays / "0.npy"]))
    table = tmp_path / "labels.csv"
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    table.write_text("\n".join(lines) + "\n")
    numbers = array_run.read_labels(table, arrays / "0.npy")
    assert [array_run.labels[number] for number in numbers] == array_run.label_frames(arrays / "0.npy")


def test_lines_from_standard_input_are_answered(
    array_run: TaggerRun, arrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.load(arrays / "0.npy")
    text = "left,right\n" + "".join(f"{one!r},{two!r}\n" for one, two in rows.tolist()) + "\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    answers = list(array_run.predict(["-"]))
    assert [answer["frame"] for answer in answers] == list(range(40))
    assert [answer["label"] for answer in answers] == array_run.label_frames(arrays / "0.npy")
    assert array_run.label_frames(rows) == array_run.label_frames(arrays / "0.npy")
    monkeypatch.setattr(sys, "stdin", io.StringIO("1,2\n1,x\n"))
    with pytest.raises(DataError, match="standard input line 2: 'x' is not a number"):
        list(array_run.predict(["-"]))
    monkeypatch.setattr(sys, "stdin", io.StringIO("1,2\n1\n3,nan\n5,6\n"))
    assert len(list(array_run.predict(["-"], skip_bad=True))) == 2
    assert "left out 2" in array_run.left_out


def test_the_timeline_is_drawn_with_the_truth_beside_it(
    videos: Path, video_run: TaggerRun, tmp_path: Path
) -> None:
    rows = list(video_run.predict([videos / "0.mp4"], timeline=tmp_path / "a.svg", labels=videos / "0.csv"))
    svg = (tmp_path / "a.svg").read_text()
    assert rows and "<!-- truth -->" in svg and "<!-- time (seconds) -->" in svg
    list(video_run.predict([videos / "0.mp4"], timeline=tmp_path / "b.svg"))
    assert "<!-- truth -->" not in (tmp_path / "b.svg").read_text()
    with pytest.raises(OptionError, match="draws one clip, and there are 4"):
        list(video_run.predict([videos], timeline=tmp_path / "c.svg"))
    with pytest.raises(OptionError, match="--labels are for --timeline"):
        list(video_run.predict([videos / "0.mp4"], labels=videos / "0.csv"))


def test_evaluation_counts_labelled_frames_of_the_test_clips(
    arrays: Path, array_run: TaggerRun, tmp_path: Path
) -> None:
    scores = array_run.evaluate(arrays)
    labelled = sum(3 * (length // 3) for length in LENGTHS)
    assert (scores["clips"], scores["frames"], scores["left_out"]) == (4, labelled, 0)
    right = 0
    for number in range(4):
        truth = array_run.read_labels(arrays / f"{number}.csv", arrays / f"{number}.npy")
        said = [array_run.labels.index(one) for one in array_run.label_frames(arrays / f"{number}.npy")]
        right += int((truth == said).sum())
    assert scores["accuracy"] == pytest.approx(right / labelled)
    folder = write_arrays(tmp_path / "data")
    (folder / "metadata.csv").write_text(
        "file_name,labels,split\n0.npy,0.csv,train\n1.npy,1.csv,test\n2.npy,2.csv,test\n"
    )
    assert array_run.evaluate(folder)["clips"] == 2


def test_the_validation_clips_may_be_another_folder(arrays: Path, videos: Path, tmp_path: Path) -> None:
    other = write_arrays(tmp_path / "other", (30, 30))
    run = train(arrays, out=tmp_path / "run", validation=str(other), **SMALL)
    assert len(np.load(run.folder / "data" / "validation.frames.npy")) == 60
    assert len(np.load(run.folder / "data" / "training.frames.npy")) == sum(LENGTHS)


# Bad input: a folder with one good clip, and one that is broken in some way.

GOOD = "good.npy,good.csv\n"


def broken_folder(tmp_path: Path, fault: str) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    np.save(folder / "good.npy", np.random.default_rng(0).random((12, 2)))
    (folder / "good.csv").write_text("start,end,label\n0,6,a\n6,12,b\n")
    np.save(folder / "bad.npy", np.random.default_rng(1).random((12, 2)))
    (folder / "bad.csv").write_text("start,end,label\n0,6,a\n6,12,b\n")
    (folder / "metadata.csv").write_text(f"file_name,labels\n{GOOD}bad.npy,bad.csv\n")
    if fault == "missing clip":
        (folder / "bad.npy").unlink()
    elif fault == "missing labels":
        (folder / "bad.csv").unlink()
    elif fault == "labels past the end":
        (folder / "bad.csv").write_text("start,end,label\n0,6,a\n6,13,b\n")
    elif fault == "overlapping ranges":
        (folder / "bad.csv").write_text("start,end,label\n0,7,a\n6,12,b\n")
    elif fault == "nan":
        np.save(folder / "bad.npy", np.full((12, 2), np.nan))
    elif fault == "features":
        np.save(folder / "bad.npy", np.zeros((12, 3)))
    elif fault == "cut off":
        content = (folder / "good.npy").read_bytes()
        (folder / "bad.npy").write_bytes(content[: len(content) // 2])
    elif fault == "kind":
        (folder / "metadata.csv").write_text(f"file_name,labels\n{GOOD}bad.jpg,bad.csv\n")
    elif fault == "empty name":
        (folder / "metadata.csv").write_text(f"file_name,labels\n{GOOD},bad.csv\n")
    return folder


FAULTS = [
    ("missing clip", r"metadata\.csv line 3: .*bad\.npy: no such file"),
    ("missing labels", r"metadata\.csv line 3: .*bad\.csv: no such file"),
    ("labels past the end", r"metadata\.csv line 3: .*bad\.csv line 3: the range ends at 13, past"),
    ("overlapping ranges", r"metadata\.csv line 3: .*bad\.csv line 3: 6 to 12 overlaps line 2"),
    ("nan", r"metadata\.csv line 3: .*bad\.npy: number \[0, 0\]: nan"),
    ("features", r"metadata\.csv line 3: .*bad\.npy has 3 features a frame, expected 2"),
    ("cut off", r"metadata\.csv line 3: .*bad\.npy is damaged, or not a file of NumPy"),
    ("kind", r"metadata\.csv line 3: .*bad\.jpg: clips are videos .* arrays"),
    ("empty name", r"metadata\.csv line 3: file_name is empty"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS)
def test_bad_clips_stop_the_preparation_or_are_left_out_with_a_count(
    tmp_path: Path, fault: str, message: str
) -> None:
    folder = broken_folder(tmp_path, fault)
    options = {**SMALL, "validation_fraction": 0.0}
    with pytest.raises(DataError, match=message + r".*\(pass --skip-bad"):
        train(folder, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
    remarks = Remarks()
    run = train(folder, out=tmp_path / "run", skip_bad=True, show=remarks, **options)
    assert any("left out 1 bad example: " in remark for remark in remarks.all)
    assert len(np.load(run.folder / "data" / "training.frames.npy")) == 12


def test_a_broken_video_is_left_out_or_named(videos: Path, tmp_path: Path, video_run: TaggerRun) -> None:
    folder = write_videos(tmp_path / "data", (20, 20, 20))
    content = (folder / "1.mp4").read_bytes()
    (folder / "1.mp4").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"metadata\.csv line 3: .*1\.mp4 is broken or cut off"):
        video_run.evaluate(folder)
    scores = video_run.evaluate(folder, skip_bad=True)
    assert (scores["clips"], scores["left_out"]) == (2, 1)
    with pytest.raises(DataError, match=r"1\.mp4 is broken or cut off"):
        list(video_run.predict([folder / "0.mp4", folder / "1.mp4"]))
    rows = list(video_run.predict([folder / "0.mp4", folder / "1.mp4"], skip_bad=True))
    assert {Path(row["clip"]).name for row in rows} == {"0.mp4"}
    assert "left out 1 bad example" in video_run.left_out and "1.mp4" in video_run.left_out


def test_unknown_labels_in_an_evaluation_are_named(
    arrays: Path, array_run: TaggerRun, tmp_path: Path
) -> None:
    folder = write_arrays(tmp_path / "data")
    (folder / "1.csv").write_text("start,end,label\n0,5,a\n5,9,fly\n")
    with pytest.raises(DataError, match=r"line 3: .*1\.csv line 3: label 'fly' is unknown .* a, b, c"):
        array_run.evaluate(folder)
    assert array_run.evaluate(folder, skip_bad=True)["left_out"] == 1


def test_one_class_or_none_is_nothing_to_learn(tmp_path: Path) -> None:
    one = write_arrays(tmp_path / "one", classes=1)
    with pytest.raises(DataError, match="only the label 'a': a tagger needs at least two"):
        train(one, out=tmp_path / "run", **SMALL)
    none = write_arrays(tmp_path / "none")
    for path in none.glob("?.csv"):
        path.write_text("start,end,label\n")
    with pytest.raises(DataError, match="not a single label: a tagger needs at least two"):
        train(none, out=tmp_path / "run", **SMALL)


def test_a_damaged_run_is_named(arrays: Path, tmp_path: Path) -> None:
    run = train(arrays, out=tmp_path / "run", **SMALL)
    (run.folder / "frames.json").write_text('{"labels": ["a"')
    with pytest.raises(RunError, match=r"frames\.json is damaged"):
        tt.load(run.folder)
    (run.folder / "frames.json").unlink()
    with pytest.raises(RunError, match=r"frames\.json is missing"):
        tt.load(run.folder)


def test_features_of_a_frozen_mobilenet(videos: Path, tmp_path: Path, shared_data: Path) -> None:
    weights = shared_data / "cnn_weights" / "mobilenet_v2_1.0_224_int8.npz"
    with pytest.raises(OptionError, match="--image-size must be a multiple of 32"):
        train(videos, out=tmp_path / "run", image_encoder=str(weights), image_size=50, **SMALL)
    with pytest.raises(DataError, match="none.npz: no such file"):
        train(videos, out=tmp_path / "run", image_encoder="none.npz", **SMALL)
    run = train(videos, out=tmp_path / "run", image_encoder=str(weights), image_size=64, **SMALL)
    assert isinstance(run, TaggerRun)
    features = np.load(run.folder / "data" / "training.frames.npy")
    assert features.shape[1] == 1280
    # The run brings its CNN along: the stream begins with pixels.
    frames = [frame.pixels for frame in decode_video(videos / "0.mp4", 64)]
    assert list(run.stream(frames)) == run.label_frames(videos / "0.mp4")


def test_features_of_any_onnx_model(videos: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    shapes = [onnx.helper.make_tensor_value_info(n, 1, s) for n, s in (("x", ["N", 3, 24, 24]), ("y", None))]
    mean = onnx.helper.make_node("GlobalAveragePool", ["x"], ["y"])
    graph = onnx.helper.make_graph([mean], "mean colour", shapes[:1], shapes[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "mean.onnx")
    given = {"image_encoder": str(tmp_path / "mean.onnx"), "pixels": "unit"}
    run = train(videos, out=tmp_path / "run", **given, **SMALL)
    assert isinstance(run, TaggerRun)
    features = np.load(run.folder / "data" / "training.frames.npy")
    assert features.shape[1] == 3
    frames = [frame.pixels for frame in decode_video(videos / "0.mp4", 24)]
    # the first clip is a training clip with this seed: its colours are its frames' mean pixels
    wanted = np.stack([frame.mean((0, 1)) / 255 for frame in frames])
    np.testing.assert_allclose(features[: len(frames)], wanted, atol=1e-5)
    assert list(run.stream(frames)) == run.label_frames(videos / "0.mp4")


def test_a_line_that_is_no_text_is_named_or_left_out(
    array_run: TaggerRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    for skip in (False, True):
        content = io.BytesIO(b"1,2\n1,\xff\n3,4\n1,1e300\n")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(content, encoding="utf-8"))
        if skip:
            assert len(list(array_run.predict(["-"], skip_bad=True))) == 2
            assert "line 4: 1e+300 is too large" in array_run.left_out
        else:
            with pytest.raises(DataError, match="standard input line 2: byte 0xff is not UTF-8"):
                list(array_run.predict(["-"]))


def test_an_output_that_is_no_number_is_never_a_label(
    array_run: TaggerRun, arrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TaggerRun.open(array_run.folder)
    real = run.network

    class Overflows:
        looks_ahead = False
        encode, carry = real.encode, real.carry

        def tag(self, features: Any, state: Any = None, lengths: Any = None) -> Any:
            logits, state = real.tag(features, state, lengths)
            return logits * np.float32(np.nan), state

    monkeypatch.setitem(run.__dict__, "network", Overflows())
    with pytest.raises(DataError, match=r"output for .*0\.npy is not a number"):
        list(run.predict([arrays / "0.npy"]))
    with pytest.raises(DataError, match="frame 0 of the stream is not a number"):
        list(run.stream([np.array([1.0, 0.0])]))
    with pytest.raises(DataError, match=r"output for .*data is not a number"):
        run.evaluate(arrays)


def test_clips_outside_a_folder_are_read_only_where_that_is_allowed(
    array_run: TaggerRun, arrays: Path, tmp_path: Path
) -> None:
    table = tmp_path / "metadata.csv"
    table.write_text(f"file_name,labels\n{arrays / '0.npy'},{arrays / '0.csv'}\n")
    for call in (
        lambda **how: list(array_run.predict([tmp_path], **how)),
        lambda **h: array_run.evaluate(tmp_path, **h),
    ):
        with pytest.raises(DataError, match="lies outside"):
            call()
        assert call(allow_outside_files=True)
    # Nor does recognition look into them.
    (tmp_path / "inner").mkdir()
    (tmp_path / "private.csv").write_text("secret\n0.5\n")
    (tmp_path / "inner" / "metadata.csv").write_text("file_name,labels\n0.npy,../private.csv\n")
    assert "target" not in recognise(tmp_path / "inner").options
    assert recognise(tmp_path / "inner", {"allow_outside_files": True}).options == {"target": "number"}


def test_a_plain_folder_of_clips_is_labelled(arrays: Path, array_run: TaggerRun, tmp_path: Path) -> None:
    for name in ("1.npy", "0.npy"):
        shutil.copy(arrays / name, tmp_path)
    clips = [Path(one["clip"]).name for one in array_run.predict([tmp_path])]
    assert list(dict.fromkeys(clips)) == ["0.npy", "1.npy"]
