"""Rows of Parquet files, a few in memory at a time, however many a damaged or hostile file announces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from throughtime.data.limits import EXAMPLE_BYTES
from throughtime.errors import DataError, MissingExtraError

# Rows that are decoded together, at most: enough that calling costs little.
_ROWS_AT_A_TIME = 1024
# And fewer where the words of a dictionary are long: each row gets a copy of its word.
_WORDS_AT_A_TIME = 64 << 20
# Encodings and codecs together make of ordinary columns up to so many bytes of one.
_ORDINARY_RATIO = 200
# A number in a list while it is decoded: its levels, itself, and room to grow. As an object of Python it
# takes 8 bytes for each that it has in Arrow.
_BYTES_A_VALUE = 16
_OBJECT_RATIO = 8


def parquet_columns(path: Path) -> list[str]:
    """The names of the columns. Reads the file's footer only.

    Raises:
        DataError: the file is missing or no Parquet.
        MissingExtraError: pyarrow is not installed.
    """
    return list(_open(path).schema_arrow.names)


def parquet_rows(path: Path, report: Callable[[int, str], None]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a file row by row.

    Args:
        path: the file.
        report: called with the row, from 1, and the fault of what cannot be read: a value, or all that
            follows in a row group whose pages are damaged. It is left out.
    Yields:
        The row's number, from 1, and its values by column.
    Raises:
        DataError: the file is missing or no Parquet, or it announces more than the limit.
    """
    file = _open(path)
    texts = [column.path for column in map(file.schema.column, range(len(file.schema))) if _is_text(column)]
    words = _open(path, read_dictionary=texts)
    names = list(file.schema_arrow.names)
    row = 0
    for group in range(file.num_row_groups):
        first, count = row, file.metadata.row_group(group).num_rows
        batches = _batches(path, file, words, group)
        while True:
            try:
                columns = next(batches)
            except StopIteration:
                break
            except (DataError, MemoryError):
                raise
            # Damaged pages raise ArrowException, OSError and others, by what the codec runs into.
            except Exception as error:
                report(row + 1, f"damaged, and with it the rest of its row group: {_first_line(error)}")
                break
            for index in range(len(columns[0])):
                row += 1
                try:
                    values = [_value(column[index]) for column in columns]
                except DataError as error:
                    report(row, str(error))
                except (ValueError, OverflowError) as error:  # no UTF-8, a date in the year 300,000
                    report(row, f"a value cannot be read: {_first_line(error)}")
                else:
                    yield row, dict(zip(names, values, strict=True))
        row = first + count


def _batches(path: Path, file: Any, words: Any, group: int) -> Iterator[list[Sequence[Any]]]:
    """The columns of a row group, a few rows at a time."""
    rows = _rows_at_a_time(path, words, group)
    for batch in file.iter_batches(batch_size=rows, row_groups=[group]):
        if batch.num_columns:
            yield [_values(column) for column in batch.columns]


def _open(path: Path, **options: Any) -> Any:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtraError(
            "Parquet files need pyarrow: install it with `pip install 'throughtime[parquet]'`"
        ) from None
    try:
        return parquet.ParquetFile(path, **options)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file (the working directory is {Path.cwd()})") from None
    # ArrowException, OSError, and what parsing a damaged footer runs into.
    except Exception as error:
        raise DataError(f"{path} cannot be read as Parquet: {_first_line(error)}") from None


def _is_text(column: Any) -> bool:
    return column.physical_type == "BYTE_ARRAY"


def _rows_at_a_time(path: Path, words: Any, group: int) -> int:
    """How many rows of a group to decode together.

    Args:
        words: the file with its texts as the words of dictionaries, so that a word is in memory once.
    Raises:
        DataError: the group would take far more memory than the file is long.
    """
    limit, metadata = EXAMPLE_BYTES.value, words.metadata.row_group(group)
    chunks = [metadata.column(number) for number in range(metadata.num_columns)]
    nested = {c.path for c in map(words.schema.column, range(len(words.schema))) if c.max_repetition_level}
    for chunk in chunks:
        size, stored = chunk.total_uncompressed_size, chunk.total_compressed_size
        if size > max(limit, _ORDINARY_RATIO * stored):
            EXAMPLE_BYTES.check(size, f"{path}: the column {chunk.path_in_schema!r} holds")
        # Rows are read a few at a time, but a row's list as a whole, and nulls take no place on disk.
        taken = _BYTES_A_VALUE * chunk.num_values
        if chunk.path_in_schema in nested and taken > max(limit, _ORDINARY_RATIO * size):
            EXAMPLE_BYTES.check(taken, f"{path}: the lists of {chunk.path_in_schema!r} hold")
    longest = 1
    for number, chunk in enumerate(chunks):
        if not _is_text(words.schema.column(number)):
            continue
        name = chunk.path_in_schema
        for batch in words.iter_batches(batch_size=1, row_groups=[group], columns=[name]):
            length = _longest_word(batch.column(0))
            longest += length
            expanded, size = length * chunk.num_values, chunk.total_uncompressed_size
            if name in nested and expanded > max(limit, _ORDINARY_RATIO * size):
                EXAMPLE_BYTES.check(expanded, f"{path}: the lists of {name!r} hold")
            break
    return max(1, min(_ROWS_AT_A_TIME, _WORDS_AT_A_TIME // longest))


def _longest_word(column: Any) -> int:
    """Bytes of the longest word of a column's dictionary, also where it is inside lists."""
    import pyarrow
    import pyarrow.compute as compute

    while pyarrow.types.is_nested(column.type):
        parts = column.flatten()
        column = parts[0] if isinstance(parts, list) else parts
    if not pyarrow.types.is_dictionary(column.type):
        return 0
    lengths = compute.call_function("binary_length", [column.dictionary])
    return compute.call_function("max", [lengths]).as_py() or 0


def _values(column: Any) -> Sequence[Any]:
    """A batch's column with Python's values, or as it is where they would be many or cannot all be read."""
    import pyarrow

    if pyarrow.types.is_nested(column.type):
        return column
    try:
        return column.to_pylist()
    except (ValueError, OverflowError):
        return column


def _value(value: Any) -> Any:
    """One value as Python has it."""
    if not hasattr(value, "as_py"):
        return value
    inside = getattr(value, "values", None)  # of a list; a struct has a method of this name
    if inside is not None and hasattr(inside, "nbytes"):
        EXAMPLE_BYTES.check(_OBJECT_RATIO * inside.nbytes, "a list takes")
    return value.as_py()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
