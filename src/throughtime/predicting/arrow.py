"""Predictions in Arrow's types, which are known before the first prediction is made."""

from __future__ import annotations

from typing import Any

from throughtime.errors import MissingExtraError
from throughtime.extras import install_command
from throughtime.run.row_prediction import Kind


def arrow_schema(kinds: dict[str, Kind]) -> Any:
    """The schema of predictions.

    Args:
        kinds: as of `RowPredictor`.
    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    arrow = require_arrow()
    return arrow.schema([(name, _type(arrow, kind)) for name, kind in kinds.items()])


def require_arrow() -> Any:
    """The library pyarrow.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        raise MissingExtraError(
            f"tables of Arrow and Parquet need pyarrow: install it with `{install_command('parquet')}`"
        ) from None
    return pyarrow


def _type(arrow: Any, kind: Kind) -> Any:
    if isinstance(kind, list):
        return arrow.list_(_type(arrow, kind[0]))
    if isinstance(kind, dict):
        return arrow.struct([(name, _type(arrow, part)) for name, part in kind.items()])
    return {str: arrow.string(), int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_()}[kind]
