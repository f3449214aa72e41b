"""Requests that are answered together: rows of several in one batch, files and tables one by one."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughtime.data.lines import shown
from throughtime.errors import DataError, ThroughtimeError
from throughtime.in_memory.examples import row_name
from throughtime.server.errors import ApiError
from throughtime.server.predictors import Predictor, or_error
from throughtime.tasks.forecaster.run import ForecasterRun

Options = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Upload:
    """A file that came with a request.

    Args:
        name: as the client calls it.
        content: of it.
    """

    name: str
    content: bytes


@dataclass(frozen=True)
class Rows:
    """Rows of requests that can be answered together: those for one predictor with the same options."""

    predictor: Predictor
    options: Options

    def __call__(self, requests: Sequence[Sequence[Any]]) -> Sequence[Any]:
        options = dict(self.options)
        read: list[Any] = []
        answers: list[Any] = [None] * len(requests)
        parts: list[tuple[int, slice]] = []
        for place, rows in enumerate(requests):
            try:
                own = [self._read(row, number, options) for number, row in enumerate(rows)]
            except ApiError as error:
                answers[place] = error
                continue
            parts.append((place, slice(len(read), len(read) + len(own))))
            read += own
        found = self._answers(read, [part for _, part in parts], options)
        for (place, _), own in zip(parts, found, strict=True):
            if isinstance(own, ThroughtimeError):
                answers[place] = own
                continue
            failed = next(((k, one) for k, one in enumerate(own) if isinstance(one, Exception)), None)
            answers[place] = list(own) if failed is None else _bad_row(*failed)
        return answers

    def _answers(
        self, rows: list[Any], parts: Sequence[slice], options: Mapping[str, Any]
    ) -> list[Sequence[Any] | ThroughtimeError]:
        """What is said of the rows of each request, or what is wrong with them."""
        try:
            found = self.predictor.answer(rows, options) if rows else []
            return [found[part] for part in parts]
        except ThroughtimeError as error:
            if len(parts) == 1:
                return [error]
            # One of them is to blame, and the others are not to suffer for it.
            return [one for part in parts for one in self._answers(rows[part], [slice(None)], options)]

    def _read(self, row: Any, number: int, options: Mapping[str, Any]) -> Any:
        try:
            return self.predictor.read(row, options)
        except ThroughtimeError as error:
            raise _bad_row(number, error) from None


@dataclass(frozen=True)
class Files:
    """The same for files, each by itself."""

    predictor: Predictor
    options: Options

    def __call__(self, requests: Sequence[Sequence[Upload]]) -> Sequence[Any]:
        return [self._answer(files) for files in requests]

    def _answer(self, files: Sequence[Upload]) -> Any:
        answers: list[Any] = []
        with tempfile.TemporaryDirectory(prefix="throughtime-") as folder:
            for number, file in enumerate(files):
                suffix = Path(file.name).suffix.lower()
                path = Path(folder) / f"{number}{suffix}"
                try:
                    if suffix not in self.predictor.suffixes:
                        known = ", ".join(self.predictor.suffixes) or "none"
                        raise DataError(f"{shown(file.name)} is of another type than {known}")
                    path.write_bytes(file.content)
                    answers.append(self.predictor.of_file(path, dict(self.options)))
                except ThroughtimeError as error:
                    error.args = tuple(str(one).replace(str(path), file.name) for one in error.args)
                    return _bad_row(number, error)
                finally:
                    path.unlink(missing_ok=True)
        return answers


def _bad_row(number: int, error: Exception) -> ApiError:
    return ApiError(400, "bad_row", f"{row_name(number + 1)}: {error}", f"inputs.{number}", {"row": number})


@dataclass(frozen=True)
class Forecasts:
    """What comes after recent rows; each request by itself, as its rows are one table."""

    run: ForecasterRun

    def __call__(self, requests: Sequence[tuple[list[Any], list[Any] | None]]) -> Sequence[Any]:
        return [or_error(self._forecast, *one) for one in requests]

    def _forecast(self, recent: list[Any], future: list[Any] | None) -> list[dict[str, Any]]:
        return list(self.run.forecast(recent, future or None))
