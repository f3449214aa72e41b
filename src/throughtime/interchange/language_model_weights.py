"""A language model that was trained elsewhere, as a run folder: embedding, recurrent layer, output layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from throughtime.errors import DataError, RunError
from throughtime.files import write_atomically
from throughtime.interchange.recurrence_weights import Array, RecurrenceWeights
from throughtime.interchange.torch_weights import from_torch, parameter_name
from throughtime.interchange.weight_files import as_array, read_weight_file

if TYPE_CHECKING:
    from throughtime.data import Tokenizer
    from throughtime.tasks.language_model.run import LanguageModelRun


def import_language_model(
    weights: Mapping[str, Any] | str | Path,
    tokenizer: Tokenizer,
    folder: str | Path,
    activation: str = "tanh",
    embedding: str | None = None,
    output: str | None = None,
) -> LanguageModelRun:
    """Make a run folder of a PyTorch model: an embedding or one-hot input, one recurrent layer of torch.nn, a
    linear layer.

    Example:
        run = import_language_model("weights.safetensors", Tokenizer.load("tokenizer.json"), "runs/theirs")
        print(run.sample("ROMEO:"))

    Args:
        weights: its state_dict, or a .safetensors or .npz file of it; nothing else may be in it.
        tokenizer: whose numbers the model reads and writes.
        folder: the run folder to make.
        activation: of an RNN: the weights do not say.
        embedding: the name of the embedding's matrix; None infers it.
        output: the name of the output layer's matrix; None infers it.
    Returns:
        The run. Its config.toml has what the weights say; the options of a training are the defaults.
    Raises:
        DataError: the weights are not those of such a model (the message names the tensor), or do not belong
            to the tokenizer.
        RunError: the folder exists already.
        OSError: a file cannot be written; it names the file.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} exists already: choose another --out")
    source = str(weights) if isinstance(weights, (str, Path)) else "weights"
    if isinstance(weights, (str, Path)):
        weights = read_weight_file(weights)
    recurrence = from_torch(weights, activation=activation)
    if recurrence.directions == 2:
        raise DataError(f"{source}: a bidirectional network has seen the next token: no language model")
    others = {name: as_array(value, name) for name, value in weights.items() if not parameter_name(name)}
    tensors = _around(others, recurrence, tokenizer.vocabulary_size, embedding, output, source)

    from throughtime.hub.card import write_hub_files
    from throughtime.run import CONFIG, WEIGHTS
    from throughtime.tasks.language_model.run import TOKENIZER, LanguageModelRun

    config = _config(tensors, recurrence, tokenizer.kind, source)
    tensors |= {f"recurrent.{name}": array for name, array in _with_biases(recurrence).items()}
    from safetensors.numpy import save

    content = save({name: np.ascontiguousarray(array) for name, array in tensors.items()})
    tokenizer.save(folder / TOKENIZER)
    write_atomically(folder / WEIGHTS, content)
    config.save(folder / CONFIG)
    run = LanguageModelRun.open(folder)
    write_hub_files(run)
    return run


def _around(
    others: Mapping[str, Array],
    recurrence: RecurrenceWeights,
    vocabulary: int,
    embedding: str | None,
    output: str | None,
    source: str,
) -> dict[str, Array]:
    """The embedding and the output layer, by our names."""
    read, written = (vocabulary, recurrence.cells[0].input_size), (vocabulary, recurrence.output_size)
    embeddings, outputs = (
        [name for name, array in others.items() if array.shape == shape] for shape in (read, written)
    )
    for which, name, names, shape in (
        ("embedding", embedding, embeddings, read),
        ("output", output, outputs, written),
    ):
        if name is not None and name not in names:
            raise DataError(_unfit(source, which, shape, others))
    if output is None:
        output = _the_one(outputs, embedding, lambda name: _bias_of(name) in others)
        if output is None:
            raise DataError(_unfit(source, "output", written, others))
    if embedding is None:
        embedding = _the_one(embeddings, output, lambda name: _bias_of(name) not in others)
        if embedding is None and output in embeddings:
            embedding = output  # tied weights that were saved once
        if embedding is None and (embeddings or read != (vocabulary, vocabulary)):
            raise DataError(_unfit(source, "embedding", read, others))
    bias = _bias_of(output)
    unknown = [name for name in others if name not in (embedding, output, bias)]
    if unknown:
        raise DataError(
            f"{source} holds {unknown[0]:.60} {others[unknown[0]].shape} besides embedding, recurrent layer "
            f"and output layer: such a network is not a language model of Throughtime"
        )
    tensors = {"output.weight": others[output]}
    tensors["output.bias"] = others.get(bias, np.zeros(vocabulary, np.float32))
    if embedding is not None:
        tensors["embedding.weight"] = others[embedding]
    return tensors


def _the_one(names: list[str], taken: str | None, likely: Callable[[str], bool]) -> str | None:
    """The only name that is left, or the only one of these that is likely."""
    left = [name for name in names if name != taken]
    if len(left) > 1:
        left = [name for name in left if likely(name)]
    return left[0] if len(left) == 1 else None


def _bias_of(matrix: str) -> str:
    return f"{matrix.removesuffix('weight')}bias"


def _unfit(source: str, which: str, shape: tuple[int, int], others: Mapping[str, Array]) -> str:
    shapes = (
        ", ".join(f"{name:.60} {array.shape}" for name, array in islice(others.items(), 10)) or "nothing else"
    )
    return (
        f"{source}: which matrix is the {which}, {shape} for {shape[0]} tokens, cannot be told among "
        f"{shapes} (--{which} names it)"
    )


def _with_biases(recurrence: RecurrenceWeights) -> dict[str, Array]:
    """The tensors of the recurrence; a language model's cells have biases, so absent ones are zeros."""
    tensors = recurrence.tensors()
    for number, cell in enumerate(recurrence.cells):
        for name in ("bias_ih", "bias_hh"):
            tensors.setdefault(f"cells.{number}.{name}", np.zeros(len(cell["weight_ih"]), np.float32))
    return tensors


def _config(
    tensors: Mapping[str, Array], recurrence: RecurrenceWeights, tokenizer_kind: str, source: str
) -> Any:
    """What the weights say, over the defaults."""
    from throughtime.config import resolve

    embedding = tensors.get("embedding.weight")
    arguments = recurrence.arguments()
    return resolve(
        {
            "task": "language-model",
            "source": source,
            "tokenizer": tokenizer_kind,
            "cell": arguments["cell"],
            "hidden": arguments["hidden_size"],
            "layers": arguments["num_layers"],
            "embedding": 0 if embedding is None else embedding.shape[1],
            "tie_weights": embedding is not None and np.array_equal(embedding, tensors["output.weight"]),
            **recurrence.cells[0].options,
        }
    )
