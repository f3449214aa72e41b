"""Images of every kind come out as a person sees them; what is broken is named."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from throughtime.data.images import is_image, open_image, read_pixels
from throughtime.errors import DataError

Image = pytest.importorskip("PIL.Image")

RED, BLUE = (255, 0, 0), (0, 0, 255)


def halves(width: int = 16, height: int = 16) -> np.ndarray:
    """Red on the left, blue on the right."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = RED, BLUE
    return pixels


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".gif", ".webp", ".tiff", ".ppm"])
def test_formats_without_loss_keep_every_pixel(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"halves{suffix}"
    Image.fromarray(halves()).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    assert is_image(path)
    assert np.array_equal(read_pixels(path, 16), halves())


def test_a_jpeg_that_lies_on_its_side_is_set_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to show
    Image.fromarray(halves()).save(tmp_path / "turned.jpg", exif=exif, quality=100, subsampling=0)
    upright = read_pixels(tmp_path / "turned.jpg", 16).astype(int)
    # The left half comes to the top.
    assert np.abs(upright[2, 8] - RED).max() < 12 and np.abs(upright[13, 8] - BLUE).max() < 12


def test_what_is_transparent_lies_on_white(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 4), dtype=np.uint8)
    pixels[:2] = (*RED, 255)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "alpha.png")
    read = read_pixels(tmp_path / "alpha.png", 4)
    assert tuple(read[0, 0]) == RED and tuple(read[3, 3]) == (255, 255, 255)


def test_a_palette_with_a_transparent_entry(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8), "P")
    image.putpalette([*RED, *BLUE])
    image.save(tmp_path / "palette.png", transparency=1)
    read = read_pixels(tmp_path / "palette.png", 2)
    assert tuple(read[0, 0]) == RED and tuple(read[0, 1]) == (255, 255, 255)


@pytest.mark.parametrize(
    ("dtype", "value", "expected"), [(np.uint8, 128, 128), (np.uint16, 128 * 257, 128), (bool, True, 255)]
)
def test_grey_of_any_depth_becomes_rgb(tmp_path: Path, dtype: type, value: int, expected: int) -> None:
    Image.fromarray(np.full((4, 4), value, dtype=dtype)).save(tmp_path / "grey.png")
    assert (read_pixels(tmp_path / "grey.png", 4) == expected).all()


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.fromarray(halves()).convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    assert open_image(tmp_path / "print.jpg").mode == "RGB"


def test_the_whole_picture_is_squeezed_to_a_square(tmp_path: Path) -> None:
    Image.fromarray(halves(64, 16)).save(tmp_path / "wide.png")
    pixels = read_pixels(tmp_path / "wide.png", 16)
    assert pixels.shape == (16, 16, 3)
    assert tuple(pixels[8, 1]) == RED and tuple(pixels[8, 14]) == BLUE


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".webp"])
def test_a_truncated_image_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"cut\{suffix} cannot be read as an image: "):
        open_image(path)


@pytest.mark.parametrize("content", [b"", b"not an image at all", b"\x89PNG\r\n\x1a\n broken"])
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"photo\.png cannot be read as an image: "):
        open_image(path)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jpg: no such file"):
        open_image(tmp_path / "none.jpg")


def test_a_picture_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(halves(64, 64)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match=r"bomb\.png has too many pixels: .*decompression bomb"):
        open_image(tmp_path / "bomb.png")


@pytest.mark.parametrize("suffix", [".png", ".gif", ".webp", ".tif", ".jpg"])
def test_a_picture_that_announces_gigapixels_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = tmp_path / f"large{suffix}"
    Image.new("L", (9000, 8000)).save(path, **({"method": 0} if suffix == ".webp" else {}))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("it was decoded"))
    message = r"has 72,000,000 pixels: the limit is 64,000,000 pixels \(set THROUGHTIME_MAX_IMAGE_PIXELS to"
    with pytest.raises(DataError, match=message):
        open_image(path)


def test_a_limit_that_is_raised_lets_a_picture_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(halves(64, 64)).save(tmp_path / "x.png")
    monkeypatch.setenv("THROUGHTIME_MAX_IMAGE_PIXELS", "4095")
    with pytest.raises(DataError, match="has 4,096 pixels: the limit is 4,095"):
        open_image(tmp_path / "x.png")
    monkeypatch.setenv("THROUGHTIME_MAX_IMAGE_PIXELS", "4096")
    assert open_image(tmp_path / "x.png").size == (64, 64)


def test_only_formats_of_pictures_are_tried(tmp_path: Path) -> None:
    # Pillow would start Ghostscript to read this.
    (tmp_path / "x.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(DataError, match="known image format"):
        open_image(tmp_path / "x.png")


def test_damaged_tiff_files_are_refused_without_a_word_from_their_library(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fax, cut = tmp_path / "fax.tif", tmp_path / "cut.tif"
    Image.new("L", (8, 8)).save(fax)
    content = bytearray(fax.read_bytes())
    place = content.index(b"\x03\x01\x03\x00\x01\x00\x00\x00")  # the compression: none
    content[place + 8] = 3  # fax, which has one bit a pixel
    fax.write_bytes(content)
    Image.effect_noise((64, 64), 50).convert("RGB").save(cut, compression="tiff_lzw")
    size = Image.open(cut).tag_v2[279][0]  # of its only strip
    content = bytearray(cut.read_bytes())
    place = content.index(struct.pack("<HHII", 279, 4, 1, size))
    content[place + 8 : place + 12] = struct.pack("<I", size + 5000)  # more than the file has
    cut.write_bytes(content)
    for path in (fax, cut):
        with pytest.raises(DataError, match="cannot be read as an image"):
            open_image(path)
    assert not capfd.readouterr().err


def test_what_pillow_logs_of_a_damaged_picture_is_not_said_beside_the_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fields = ((256, 4), (257, 4), (258, 8), (259, 1), (262, 1), (273, 122), (277, 7), (278, 4), (279, 16))
    directory = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in fields)
    (tmp_path / "a.tif").write_bytes(b"II*\0\x08\0\0\0\x09\0" + directory + bytes(500))
    with pytest.raises(DataError, match="no known image format"):
        open_image(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""
