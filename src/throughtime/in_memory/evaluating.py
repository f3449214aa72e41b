"""Measuring and predicting on data in memory."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from throughtime.data.shards import unpacked_for_now
from throughtime.errors import OptionError
from throughtime.in_memory.frames import is_frame, is_series
from throughtime.in_memory.given import Data, on_disk
from throughtime.notebooks import Measured
from throughtime.patterns import is_shards

if TYPE_CHECKING:
    from throughtime.run.run import Run

    S = TypeVar("S", bound=Run)
else:
    S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


def takes_data(
    evaluate: Callable[Concatenate[S, str | Path, P], R],
) -> Callable[Concatenate[S, Data, P], R]:
    """Let the `evaluate` of a run take data in memory, or in tar files, where it takes a path; see `Data`.

    A notebook shows what it finds as a table.
    """

    def measured(self: S, data: Data, *args: P.args, **options: P.kwargs) -> R:
        if args and not isinstance(args[0], (bool, str, type(None))):
            raise OptionError("give inputs and labels as one tuple: run.evaluate((inputs, labels))")
        if is_shards(data):
            with unpacked_for_now(str(data), bool(options.get("skip_bad"))) as (folder, shards):
                found = evaluate(self, folder, *args, **options)
            if isinstance(found, dict) and "left_out" in found:
                found["left_out"] += shards.left_out.count
        else:
            with on_disk(data, known_options(self)) as path:
                found = evaluate(self, path, *args, **options)
        return Measured(found) if type(found) is dict else found  # type: ignore[return-value]

    return _documented(measured, evaluate, "data")


def takes_frames(
    predict: Callable[Concatenate[S, Sequence[str | Path], P], Iterator[dict[str, Any]]],
) -> Callable[Concatenate[S, Data, P], Iterator[dict[str, Any]]]:
    """Let the `predict` of a run take a frame or tar files where it takes paths.

    See `throughtime.in_memory.frames` and `throughtime.data.shards`.
    """

    def predicted(self: S, inputs: Data, *args: P.args, **options: P.kwargs) -> Iterator[dict[str, Any]]:
        if is_frame(inputs) or is_series(inputs):
            return of_frame(self, inputs, *args, **options)
        named = [inputs] if isinstance(inputs, (str, bytes, Path)) else inputs
        if not isinstance(named, Sequence) or not all(isinstance(one, (str, Path)) for one in named):
            raise OptionError(
                "predict takes a list of paths, or a frame with the columns of the training (a dictionary of "
                "columns is one)"
            )
        if any(map(is_shards, named)):
            return of_shards(self, named, *args, **options)
        return predict(self, inputs, *args, **options)  # type: ignore[arg-type]

    def of_frame(self: S, frame: Data, *args: P.args, **options: P.kwargs) -> Iterator[dict[str, Any]]:
        with on_disk(frame, known_options(self)) as path:
            yield from predict(self, [path], *args, **options)

    def of_shards(
        self: S, inputs: Sequence[str | Path], *args: P.args, **options: P.kwargs
    ) -> Iterator[dict[str, Any]]:
        left_out: list[str] = []
        for one in inputs:
            if not is_shards(one):
                yield from predict(self, [one], *args, **options)
                left_out.append(self.left_out)
                continue
            with unpacked_for_now(str(one), bool(options.get("skip_bad"))) as (folder, shards):
                for said in predict(self, [folder], *args, **options):
                    yield {
                        name: shards.in_words(value) if isinstance(value, str) else value
                        for name, value in said.items()
                    }
                left_out += [shards.left_out.summary(), shards.in_words(self.left_out)]
        self.left_out = "; ".join(filter(None, left_out))

    return _documented(predicted, predict, "inputs")


def known_options(run: Run) -> dict[str, Any]:
    """The options of a run that say what the columns of its data are called."""
    return {**run.config.data.model_dump(), "task": run.task}


def _documented(function: F, original: Callable[..., Any], name: str) -> F:
    """The function with the name, the text and the parameters of the one that it calls."""
    functools.update_wrapper(function, original)
    signature = inspect.signature(original)
    owner, given, *others = signature.parameters.values()
    given = given.replace(name=name, annotation="Data")
    function.__signature__ = signature.replace(parameters=[owner, given, *others])  # type: ignore[attr-defined]
    if original.__doc__ and name == "data":
        # The room's own text says of a path what it has to be.
        function.__doc__ = original.__doc__.replace(
            "            path: ", "            data: in memory, or ", 1
        )
    return function
