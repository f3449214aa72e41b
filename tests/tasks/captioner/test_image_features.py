"""Features of images: cached once, or picked from what was computed elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from throughtime.data.tables import BadRows
from throughtime.encoders.frozen import as_features
from throughtime.errors import DataError
from throughtime.tasks.captioner.captions import CaptionedImage
from throughtime.tasks.captioner.image_features import cache_images, pick_features, read_features
from throughtime.tasks.captioner.image_inputs import find_images

Image = pytest.importorskip("PIL.Image")


def pictures(folder: Path, count: int) -> list[CaptionedImage]:
    """Pictures of one grey level each: 0, 10, 20..."""
    images = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.fromarray(np.full((8, 8, 3), 10 * number, dtype=np.uint8)).save(path)
        images.append(CaptionedImage(path.name, path, number + 2, "", ["a caption"]))
    return images


def mean_level(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(len(pixels), -1).mean(1, keepdims=True).astype(np.float32)


def test_every_image_is_encoded_once_and_in_order(tmp_path: Path) -> None:
    images, shown = pictures(tmp_path, 21), []
    kept = cache_images(
        tmp_path / "x.npy", images, tmp_path, mean_level, 8, BadRows(), lambda done, all_: shown.append(done)
    )
    assert kept == list(range(21)) and shown == list(range(1, 22))
    assert np.load(tmp_path / "x.npy")[:, 0].tolist() == [10 * number for number in range(21)]


def test_broken_images_are_named_by_the_line_of_their_table(tmp_path: Path) -> None:
    images = pictures(tmp_path, 5)
    images[3].path.write_bytes(images[3].path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"table\.csv line 5: .*3\.png cannot be read as an image"):
        cache_images(tmp_path / "x.npy", images, Path("table.csv"), mean_level, 8, BadRows())
    bad = BadRows(skip=True)
    kept = cache_images(tmp_path / "x.npy", images, Path("table.csv"), mean_level, 8, bad)
    assert kept == [0, 1, 2, 4] and bad.count == 1
    # The cache has no row for what was left out.
    assert np.load(tmp_path / "x.npy")[:, 0].tolist() == [0, 10, 20, 40]


def test_where_no_image_can_be_read_that_is_said(tmp_path: Path) -> None:
    images = pictures(tmp_path, 1)
    images[0].path.write_bytes(b"")
    with pytest.raises(DataError, match="not a single image can be read"):
        cache_images(tmp_path / "x.npy", images, Path("t.csv"), mean_level, 8, BadRows(skip=True))


def test_features_are_picked_by_name_whatever_their_order(tmp_path: Path) -> None:
    images = pictures(tmp_path, 3)
    np.savez(tmp_path / "f.npz", names=["2.png", "9.png", "0.png", "1.png"], features=np.eye(4))
    kept = pick_features(tmp_path / "x.npy", tmp_path / "f.npz", images, tmp_path, False, BadRows())
    assert kept == [0, 1, 2]
    assert np.load(tmp_path / "x.npy").argmax(1).tolist() == [2, 3, 0]


def test_an_image_without_features_or_with_nan_is_bad(tmp_path: Path) -> None:
    images, features = pictures(tmp_path, 3), np.ones((2, 4))
    features[1, 2] = np.nan
    np.savez(tmp_path / "f.npz", names=["0.png", "1.png"], features=features)
    table = Path("t.csv")
    with pytest.raises(DataError, match=r"t\.csv line 3: .*f\.npz: '1\.png': feature \[2\]: nan"):
        pick_features(tmp_path / "x.npy", tmp_path / "f.npz", images, table, False, BadRows())
    with pytest.raises(DataError, match=r"t\.csv line 4: image '2\.png' has no features in .*f\.npz"):
        pick_features(tmp_path / "x.npy", tmp_path / "f.npz", images[2:], table, False, BadRows())
    bad = BadRows(skip=True)
    assert pick_features(tmp_path / "x.npy", tmp_path / "f.npz", images, table, False, bad) == [0]
    assert bad.count == 2


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"features": np.ones((2, 3))}, "has no array 'names'; it has features"),
        ({"names": ["a"], "features": np.ones((2, 3))}, r"names are \(1,\), features \(2, 3\)"),
        ({"names": ["a"], "features": np.ones(1)}, r"features are float64 \(1,\): expected"),
        ({"names": ["a"], "features": np.array([["x", "y"]])}, "expected numbers"),
        ({"names": np.zeros(1), "features": np.ones((1, 3))}, "names are float64: expected texts"),
        ({"names": np.array([b"\xff"]), "features": np.ones((1, 3))}, "a name is no text: .*utf-8"),
        ({"names": np.array([0xD800], "<u4").view("<U1"), "features": np.ones((1, 3))}, "a name is no text"),
    ],
)
def test_a_file_of_features_that_does_not_fit_is_refused(tmp_path: Path, arrays: dict, message: str) -> None:
    np.savez(tmp_path / "f.npz", **arrays)
    with pytest.raises(DataError, match=message):
        read_features(tmp_path / "f.npz")


def test_a_damaged_or_missing_file_of_features_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_features(tmp_path / "f.npz")
    np.savez(tmp_path / "f.npz", names=["a"], features=np.ones((1, 999)))
    content = (tmp_path / "f.npz").read_bytes()
    (tmp_path / "f.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"f\.npz is damaged, or not a file of NumPy"):
        read_features(tmp_path / "f.npz")


def test_features_of_places_and_of_whole_images() -> None:
    maps = np.arange(2 * 3 * 2 * 2, dtype=np.float32).reshape(2, 3, 2, 2)  # (B, C, h, w)
    grid = as_features(maps, True, "it")
    assert grid.shape == (2, 4, 3) and grid[0, 1].tolist() == [1, 5, 9]
    assert as_features(maps, False, "it")[0].tolist() == [1.5, 5.5, 9.5]
    assert as_features(grid, False, "it")[0].tolist() == [1.5, 5.5, 9.5]
    with pytest.raises(DataError, match="gives one vector for each image"):
        as_features(np.ones((2, 3)), True, "it")
    with pytest.raises(DataError, match=r"it: feature \[0\]: inf is not a finite number"):
        as_features(np.full((2, 3), np.inf), False, "it")
    for shape in ((2, 0), (2, 0, 3), (2, 3, 0, 0), (2, 0, 2, 2)):
        with pytest.raises(DataError, match="in which there is no number"):
            as_features(np.ones(shape), False, "it")
    # The sum of these is beyond 32 bits, and their mean is not.
    assert as_features(np.full((1, 2, 3), 3e38), False, "it").tolist() == [[np.float32(3e38)] * 3]
    with pytest.raises(DataError, match=r"gives \(2,\)"):
        as_features(np.ones(2), False, "it")


def test_inputs_are_images_folders_and_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path, 2)
    (tmp_path / "notes.txt").touch()
    np.savez(tmp_path / "f.npz", names=["p", "q"], features=np.array([[1.0, 2], [np.nan, 0]]))
    monkeypatch.setattr("sys.stdin", [f"{tmp_path / '1.png'}\n", "\n"])
    bad = BadRows(skip=True)
    found = list(find_images([tmp_path, tmp_path / "f.npz", "-", tmp_path / "none.png"], bad))
    assert [Path(image.name).name for image in found] == ["0.png", "1.png", "p", "1.png"]
    assert found[2].features is not None and found[2].features.tolist() == [1, 2]
    assert bad.count == 2
    with pytest.raises(DataError, match=r"none\.png: no such file"):
        list(find_images([tmp_path / "none.png"], BadRows()))
