"""A translator on the rows of tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.tables import BadRows, Row, no_column
from throughtime.errors import DataError, NotANumberError
from throughtime.run.row_prediction import Kind

if TYPE_CHECKING:
    from throughtime.tasks.translator.run import TranslatorRun


class TranslatedRows:
    """See `RowPredictor`.

    Args:
        run: the translator, which searches as `throughtime predict` has it search.
    """

    def __init__(self, run: TranslatorRun) -> None:
        self._translator = run.translator()
        self._column = run.config.data.source_column
        self.kinds: dict[str, Kind] = {"source": str, "translation": str, "score": float}

    def needed(self, columns: Sequence[str], name: str) -> list[str]:
        """As of `RowPredictor`."""
        if self._column not in columns:
            raise DataError(no_column(name, self._column, columns))
        return [self._column]

    def predict(
        self, rows: Sequence[Row], columns: Sequence[str], name: str, bad: BadRows
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """As of `RowPredictor`."""
        lines: list[int] = []
        texts: list[str] = []
        tokens: list[NDArray[np.int64]] = []
        for row in rows:
            text = str(row.values[self._column])
            try:
                encoded = self._translator.encode(text, name, row.line)
            except DataError as error:
                # Messages of tokenizers begin with the place, which `bad` names as well.
                message = str(error)
                for place in (f"{name}, line {row.line}, ", f"{name} line {row.line}: "):
                    message = message.removeprefix(place)
                bad.report(name, row.line, message)
                continue
            lines.append(row.line)
            texts.append(text)
            tokens.append(encoded)
        try:
            found = self._translator.translate(texts, tokens)
        except NotANumberError as error:
            if len(lines) == 1:
                bad.report(name, lines[0], str(error))
                return
            by_line = {row.line: row for row in rows}
            for line in lines:
                yield from self.predict([by_line[line]], columns, name, bad)
            return
        for line, each in zip(lines, found, strict=True):
            yield line, {"source": each.source, "translation": each.text, "score": each.score}
