"""Rows of Parquet files, a few in memory at a time, however many a damaged or hostile file announces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from throughtime.data.joined import refuse_repeated
from throughtime.data.limits import EXAMPLE_BYTES
from throughtime.data.parquet_footer import RowGroup, read_footer
from throughtime.errors import DataError, MissingExtraError
from throughtime.extras import install_command

if TYPE_CHECKING:
    from throughtime.data.sources import Source

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


def parquet_columns(path: Path | Source) -> list[str]:
    """The names of the columns. Reads the file's footer only.

    Raises:
        DataError: the file is missing or no Parquet, or two columns have one name.
        MissingExtraError: pyarrow is not installed.
    """
    names = list(_open(path).schema_arrow.names)
    refuse_repeated(str(path), names)
    return names


def parquet_kinds(path: Path | Source) -> list[str]:
    """What each column holds: "int", "float" or "bool" where it is a plain one, "text" for all else.

    Whole numbers of 64 bits without a sign are "text": half of them are no int64.

    Raises:
        DataError, MissingExtraError: as of `parquet_columns`.
    """
    from pyarrow import types

    def kind(of: Any) -> str:
        is_whole = types.is_integer(of) and not types.is_uint64(of)
        found = {"int": is_whole, "float": types.is_floating(of), "bool": types.is_boolean(of)}
        return next((name for name, holds in found.items() if holds), "text")

    return [kind(field.type) for field in _open(path).schema_arrow]


def parquet_length(path: Path | Source) -> int:
    """How many rows a file has, as its footer says.

    Raises:
        DataError: the file is missing or no Parquet.
    """
    return sum(group.rows for group in _footer(path))


def parquet_groups(path: Path | Source) -> list[RowGroup]:
    """What the footer of a file says of its row groups.

    Raises:
        DataError: the file is missing or no Parquet.
    """
    return _footer(path)


def parquet_rows(
    path: Path | Source,
    report: Callable[[int, str], None],
    first: int = 0,
    last: int | None = None,
    only: Sequence[str] | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a file row by row.

    Args:
        path: the file.
        report: called with the row, from 1, and the fault of what cannot be read: a value, or all that
            follows in a row group whose pages are damaged. It is left out.
        first, last: read the rows behind the first `first`, up to `last`, the row's number from 1; None reads
            to the end. Row groups outside of these are passed over.
        only: the columns to read; None reads all.
    Yields:
        The row's number, from 1, and its values by column.
    Raises:
        DataError: the file is missing or no Parquet, or it announces more than the limit.
    """
    file = _open(path)
    texts = [column.path for column in _columns(file) if column.physical_type == "BYTE_ARRAY"]
    words = _open(path, read_dictionary=texts)
    nested = {column.path for column in _columns(file) if column.max_repetition_level}
    names = list(file.schema_arrow.names if only is None else only)
    end = 0
    for number, group in enumerate(_footer(path)[: file.num_row_groups]):
        row, end = end, end + group.rows
        if end <= first or (last is not None and row >= last):
            continue
        _check_size(path, group, nested)
        wanted = range(max(0, first - row), min(group.rows, last - row) if last is not None else group.rows)
        row += wanted.start
        batches = _batches(path, file, words, number, group, nested, wanted, only)
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


def _batches(
    path: Path | Source,
    file: Any,
    words: Any,
    number: int,
    group: RowGroup,
    nested: set[str],
    wanted: range,
    only: Sequence[str] | None,
) -> Iterator[list[Sequence[Any]]]:
    """The columns of the wanted rows of a row group, a few rows at a time."""
    rows = _rows_at_a_time(path, words, number, group, nested)
    at = 0
    for batch in file.iter_batches(batch_size=rows, row_groups=[number], columns=only):
        start, stop = max(wanted.start - at, 0), min(wanted.stop - at, batch.num_rows)
        at += batch.num_rows
        if batch.num_columns and start < stop:
            read = batch.columns if only is None else [batch.column(name) for name in only]
            yield [_values(column.slice(start, stop - start)) for column in read]
        if at >= wanted.stop and wanted.stop < group.rows:
            return


def _open(path: Path | Source, **options: Any) -> Any:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtraError(
            f"Parquet files need pyarrow: install it with `{install_command('parquet')}`"
        ) from None
    try:
        file = parquet.ParquetFile(path if isinstance(path, Path) else path.open(), **options)
        _ = file.schema_arrow.names, [column.path for column in _columns(file)]  # may be no text
        return file
    except FileNotFoundError:
        raise DataError(f"{path}: no such file (the working directory is {Path.cwd()})") from None
    except DataError:
        raise
    # ArrowException, OSError, and what parsing a damaged footer runs into.
    except Exception as error:
        raise DataError(f"{path} cannot be read as Parquet: {_first_line(error)}") from None


def _columns(file: Any) -> list[Any]:
    return [file.schema.column(number) for number in range(len(file.schema))]


def _footer(path: Path | Source) -> list[RowGroup]:
    try:
        return read_footer(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from None


def _check_size(path: Path | Source, group: RowGroup, nested: set[str]) -> None:
    """Refuse a row group that would take far more memory than the file is long."""
    for chunk in group.chunks:
        if chunk.size > max(EXAMPLE_BYTES.value, _ORDINARY_RATIO * chunk.stored):
            EXAMPLE_BYTES.check(chunk.size, f"{path}: the column {chunk.name!r} holds")
        # Rows are read a few at a time, but a row's list as a whole, and nulls take no place on disk.
        taken = _BYTES_A_VALUE * chunk.values
        if chunk.name in nested and taken > max(EXAMPLE_BYTES.value, _ORDINARY_RATIO * chunk.size):
            EXAMPLE_BYTES.check(taken, f"{path}: the lists of {chunk.name!r} hold")


def _rows_at_a_time(path: Path | Source, words: Any, number: int, group: RowGroup, nested: set[str]) -> int:
    """How many rows of a group to decode together.

    Args:
        words: the file with its texts as the words of dictionaries, so that a word is in memory once.
        number: of the group.
    Raises:
        DataError: words are repeated so often that lists of them would fill the memory.
    """
    longest = 1
    for name in (column.path for column in _columns(words) if column.physical_type == "BYTE_ARRAY"):
        batch = next(words.iter_batches(batch_size=1, row_groups=[number], columns=[name]), None)
        length = 0 if batch is None else _longest_word(batch.column(0))
        longest += length
        for chunk in group.chunks:
            unfolded = length * chunk.values
            if chunk.name == name in nested and unfolded > max(
                EXAMPLE_BYTES.value, _ORDINARY_RATIO * chunk.size
            ):
                EXAMPLE_BYTES.check(unfolded, f"{path}: the lists of {name!r} hold")
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
    """One value as Python has it. Some programs write texts without saying that they are."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if not hasattr(value, "as_py"):
        return value
    inside = getattr(value, "values", None)  # of a list; a struct has a method of this name
    if inside is not None and hasattr(inside, "nbytes"):
        EXAMPLE_BYTES.check(_OBJECT_RATIO * inside.nbytes, "a list takes")
    return value.as_py()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
