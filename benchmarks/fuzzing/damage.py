"""What can be wrong with a file of each format, and one draw of it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from fuzzing import damage_archives as archives
from fuzzing import damage_media as media
from fuzzing import damage_text as text
from fuzzing.damage_bytes import EVERY_FORMAT, WHOLE_FILES, Damage
from fuzzing.damage_tar import TAR

_LINES = (text.put_snippet, text.replace_number, text.change_lines, text.other_encoding)
_TABLE = (*_LINES, text.replace_cell, text.replace_cell, text.replace_number, text.other_separators)
_JSON_LINES = (text.change_json_line, text.change_json_line, text.change_json_line, *_LINES)
_JSON = (text.change_json, text.change_json, text.change_json, text.replace_number, text.put_snippet)
_NPY = (archives.npy_header, archives.npy_header, archives.npy_values, archives.npy_type)
# Most of what is wrong inside of a checkpoint stands in its metadata, as JSON.
_TENSORS = (*[archives.safetensors_metadata] * 2, archives.safetensors_tensor, archives.safetensors_header)


def _gzip(inside: Sequence[Damage]) -> tuple[Damage, ...]:
    return (
        *(archives.gzip_inside(damage) for damage in inside),
        archives.gzip_members,
        archives.gzip_members,
    )


FORMATS: dict[str, tuple[Damage, ...]] = {
    "text": _LINES,
    "csv": _TABLE,
    "jsonl": _JSON_LINES,
    "json": _JSON,
    "toml": (text.change_toml, text.change_toml, text.change_toml, text.put_snippet),
    "text.gz": _gzip(_LINES),
    "csv.gz": _gzip(_TABLE),
    "jsonl.gz": _gzip(_JSON_LINES),
    "tar": TAR,
    "tar.gz": _gzip(TAR),
    "parquet": (archives.parquet_footer, archives.parquet_pages, archives.parquet_columns),
    "npy": _NPY,
    "npz": (
        *(archives.zip_member(damage) for damage in (*_NPY, *EVERY_FORMAT[:4])),
        *(archives.zip_names, archives.zip_sizes, archives.zip_sizes),
    ),
    "safetensors": (
        *(archives.safetensors_header, archives.safetensors_length, archives.safetensors_metadata),
        *(archives.safetensors_tensor, archives.safetensors_tensor),
    ),
    "checkpoint": (
        archives.safetensors_tensor,
        *(archives.checkpoint_with_checksum(damage) for damage in _TENSORS),
        *(archives.checkpoint_with_checksum(damage) for damage in _TENSORS),
    ),
    "snapshot": (
        archives.safetensors_tensor,
        *(archives.snapshot_with_checksum(damage) for damage in _TENSORS),
        *(archives.snapshot_with_checksum(damage) for damage in _TENSORS),
    ),
    "png": (media.png_header, media.png_header, media.png_chunk, media.png_content),
    "jpeg": (media.jpeg_segment,),
    "webp": (media.webp_size,),
    "gif": (media.gif_size,),
    "tiff": (media.tiff_entry,),
    "wav": (media.wav_field, media.wav_field, media.wav_values),
    "flac": (media.flac_stream_info,),
    "ogg": (media.ogg_page,),
    "mp4": (media.mp4_box, media.mp4_box, media.mp4_media),
    "bytes": (),
}

# Gigabytes out of a few megabytes: every one takes a second or two, so that they are rare.
_BOMBS: dict[str, Damage] = {name: archives.gzip_bomb for name in ("text.gz", "csv.gz", "jsonl.gz", "tar.gz")}
_BOMBS["npz"] = archives.zip_bomb
_BOMB_SHARE = 0.004
# A long line a thousand times would be 150 MB, and every token of it is honest work.
_LARGEST = 1 << 21
_WHOLE_FILE_SHARE = 0.03
_STRUCTURED_SHARE = 0.65


def damage(random: Random, format: str, data: bytes, others: Sequence[bytes]) -> bytes:
    """The file with something wrong.

    Args:
        random: draws what; the same state draws the same.
        format: a key of `FORMATS`.
        data: the file.
        others: other files, to be spliced with.
    """
    chance = random.random()
    if chance < _BOMB_SHARE and format in _BOMBS:
        return _BOMBS[format](random, data, others)
    if chance < _BOMB_SHARE + _WHOLE_FILE_SHARE:
        return random.choice(WHOLE_FILES)(random, data, others)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        known = FORMATS[format]
        if known and random.random() < _STRUCTURED_SHARE:
            try:
                data = random.choice(known)(random, data, others)
                continue
            # What is damaged already may have no structure left to damage, and each library says so in its
            # own way: zipfile alone has five.
            except Exception:
                pass
        data = random.choice(EVERY_FORMAT)(random, data, others)
    return data[:_LARGEST]


def prepare_bombs() -> None:
    """Make what takes a second once, before there are several processes."""
    archives.bomb()
