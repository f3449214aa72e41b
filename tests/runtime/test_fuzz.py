"""A damaged run folder is refused with an error of ours: it never crashes, nor asks for absurd memory."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from throughtime import Run
from throughtime.data import Tokenizer
from throughtime.errors import ThroughtimeError
from throughtime.runtime import Engine
from throughtime.runtime.weights import write_weights
from throughtime.tasks.language_model.options import LanguageModelConfig
from throughtime.tasks.language_model.run import LanguageModelRun

Tensors = dict[str, NDArray[Any]]
V, E, H, LAYERS = 3, 2, 3, 2
# An engine for a network of a few dozen numbers takes less than one megabyte; imports come before.
MOST_MEGABYTES = 200

# The folder is the same for all examples: each writes every file that the next one reads.
examples = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def network(**options: Any) -> dict[str, Any]:
    return {"cell": "lstm", "layers": LAYERS, "embedding": E, "hidden": H, **options}


def tensors_of(gates: int = 4, state: int = H) -> Tensors:
    random = np.random.default_rng(1)
    shapes: dict[str, tuple[int, ...]] = {
        "embedding.weight": (V, E),
        "output.weight": (V, state),
        "output.bias": (V,),
        "recurrent.initial.0": (LAYERS, state),
        "recurrent.initial.1": (LAYERS, H),
    }
    for layer in range(LAYERS):
        name = f"recurrent.cells.{layer}."
        shapes[f"{name}weight_ih"] = (gates * H, E if layer == 0 else state)
        shapes[f"{name}weight_hh"] = (gates * H, state)
        shapes[f"{name}bias_ih"] = (gates * H,)
        shapes[f"{name}bias_hh"] = (gates * H,)
        if state != H:
            shapes[f"{name}weight_hr"] = (state, H)
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "text.txt").write_text("abcabc")
    Tokenizer.train("character", str(folder / "text.txt")).save(folder / "tokenizer.json")
    return folder


@pytest.fixture(scope="module")
def config(folder: Path) -> dict[str, Any]:
    given = {"data": {"source": str(folder / "text.txt")}, "model": network()}
    return LanguageModelConfig.model_validate(given).model_dump(exclude_none=True)


def peak_megabytes() -> float:
    """What this process has needed at most; 0 where nobody says."""
    try:
        import resource
    except ImportError:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def write_run(folder: Path, config: dict[str, Any] | bytes, weights: bytes) -> None:
    content = config if isinstance(config, bytes) else tomli_w.dumps(config).encode("utf-8")
    (folder / "config.toml").write_bytes(content)
    (folder / "model.safetensors").write_bytes(weights)


def use(engine: Engine) -> None:
    engine.step(engine.open(2), [0, engine.vocabulary_size - 1])


def open_run(folder: Path, config: dict[str, Any] | bytes, weights: bytes) -> None:
    """Load a folder in both ways: what is not refused can be used."""
    write_run(folder, config, weights)
    before = peak_megabytes()
    with contextlib.suppress(ThroughtimeError):
        use(Engine.load(folder, threads=1))
    with contextlib.suppress(ThroughtimeError):
        run = Run.open(folder, threads=1)
        if isinstance(run, LanguageModelRun):
            use(run.engine)
    assert peak_megabytes() - before < MOST_MEGABYTES


def test_the_folder_without_damage_is_opened(folder: Path, config: dict[str, Any]) -> None:
    write_run(folder, config, WEIGHTS)
    use(Engine.load(folder, threads=1))
    run = Run.open(folder, threads=1)
    assert isinstance(run, LanguageModelRun)
    use(run.engine)


# ---- model.safetensors

WEIGHTS = write_weights(tensors_of(), {})
HEADER_LENGTH = int.from_bytes(WEIGHTS[:8], "little")
HEADER = json.loads(WEIGHTS[8 : 8 + HEADER_LENGTH])
NUMBERS = st.sampled_from([-1, 0, 1, 2, 3, 7, 2**24, 2**31, 2**32 + 3, 2**63 - 1, 2**63, 2**64, 10**30])
ANYTHING = (
    st.none() | st.booleans() | NUMBERS | st.floats() | st.text(max_size=5) | st.lists(NUMBERS, max_size=4)
)


def with_header(header: Any) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + WEIGHTS[8 + HEADER_LENGTH :]


@examples
@given(st.lists(st.tuples(st.integers(0, len(WEIGHTS) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_bytes_that_changed(folder: Path, config: dict[str, Any], changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(WEIGHTS)
    for place, byte in changes:
        damaged[place] = byte
    open_run(folder, config, bytes(damaged))


@examples
@given(st.integers(0, len(WEIGHTS)), st.integers(0, len(WEIGHTS)), st.binary(max_size=20))
def test_bytes_that_are_missing_or_too_many(
    folder: Path, config: dict[str, Any], begin: int, end: int, inserted: bytes
) -> None:
    open_run(folder, config, WEIGHTS[:begin] + inserted + WEIGHTS[end:])


@examples
@given(
    st.sampled_from(sorted(HEADER)), st.sampled_from(["dtype", "shape", "data_offsets", "other"]), ANYTHING
)
def test_a_header_whose_entry_says_something_else(
    folder: Path, config: dict[str, Any], name: str, field: str, value: Any
) -> None:
    open_run(folder, config, with_header({**HEADER, name: {**HEADER[name], field: value}}))


@examples
@given(
    st.sampled_from(sorted(HEADER)),
    st.sampled_from(["BF16", "F16", "F64", "I8", "U8", "BOOL", "I64"]),
    NUMBERS,
)
def test_a_header_with_another_type_that_fits(
    folder: Path, config: dict[str, Any], name: str, dtype: str, rows: int
) -> None:
    begin, end = HEADER[name]["data_offsets"]
    size = {"BF16": 2, "F16": 2, "F64": 8, "I64": 8}.get(dtype, 1)
    shape = [rows, (end - begin) // size // rows] if rows > 0 else [0, rows]
    open_run(folder, config, with_header({**HEADER, name: {**HEADER[name], "dtype": dtype, "shape": shape}}))


@examples
@given(
    st.sampled_from(sorted(HEADER)),
    st.sampled_from(["", "output.weight", "output.weight.scale", "recurrent.cells.0.weight_hr", "\0",
                     "recurrent.cells.1.norm_ih.weight", "recurrent.cells.0.weight_peephole",
                     "__metadata__"]),
)  # fmt: skip
def test_a_tensor_of_another_name(folder: Path, config: dict[str, Any], name: str, other: str) -> None:
    header = {(other if key == name else key): entry for key, entry in HEADER.items()}
    open_run(folder, config, with_header(header))


@examples
@given(
    st.sampled_from(["rnn", "gru", "lstm"]),
    st.sampled_from([1, 3, 4]),
    st.sampled_from([H, 2, 0]),
    st.dictionaries(
        st.sampled_from([*sorted(HEADER), "recurrent.cells.0.weight_hr", "recurrent.cells.0.norm_ih.weight",
                         "recurrent.cells.1.weight_peephole", "output.weight.scale"]),
        st.lists(st.sampled_from([0, 1, 2, 3, 4, 9, 12, 40]), max_size=3),
        max_size=3,
    ),
    st.sampled_from(["float32", "int8", "float64", "int64"]),
    st.floats(allow_nan=True, width=32),
    st.sampled_from(["fp32", "int8", "bf16", "fp64", ""]),
)  # fmt: skip
@example("gru", 3, 40, {}, "float32", 0.0, "fp32")  # as wide as no GRU's state, beside a projection
@example("lstm", 4, 0, {}, "float32", 0.0, "fp32")  # a projection to nothing
@example("lstm", 4, H, {"recurrent.initial.0": [5, 3]}, "float32", 0.0, "fp32")
@example("lstm", 4, H, {"recurrent.initial.0": []}, "float32", 0.0, "fp32")
@example("lstm", 4, H, {"output.weight.scale": [3]}, "float32", 3e38, "int8")
def test_tensors_of_other_shapes_that_agree_with_themselves(
    folder: Path,
    config: dict[str, Any],
    cell: str,
    gates: int,
    state: int,
    shapes: dict[str, list[int]],
    dtype: str,
    value: float,
    precision: str,
) -> None:
    tensors = tensors_of(gates, state)
    for name, shape in shapes.items():
        with np.errstate(all="ignore"):
            tensors[name] = np.full(shape, value).astype(dtype)
    if cell != "lstm" and "recurrent.initial.1" not in shapes:
        del tensors["recurrent.initial.1"]
    weights = write_weights(tensors, {"precision": precision} if precision else {})
    open_run(folder, {**config, "model": {**config["model"], "cell": cell}}, weights)


# ---- config.toml

OPTIONS = ["task", "data", "model", "training", "new"]
MODEL_OPTIONS = ["cell", "layers", "embedding", "hidden", "zoneout", "activation", "reset_after", "peephole",
                 "projection", "layer_norm", "tie_weights", "coupled", "new"]  # fmt: skip
TOML_NUMBERS = st.sampled_from([-1, 0, 1, 2, 3, 2**31, 2**63 - 1, 10**30]) | st.floats()
TOML = (
    st.booleans()
    | TOML_NUMBERS
    | st.sampled_from(["", "gru", "rnn", "transformer", "tagger", "relu", "\x7f"])
)
TOML = TOML | st.lists(TOML, max_size=2) | st.dictionaries(st.sampled_from(MODEL_OPTIONS), TOML, max_size=2)


@examples
@given(
    st.dictionaries(st.sampled_from(OPTIONS), TOML, max_size=2),
    st.dictionaries(st.sampled_from(MODEL_OPTIONS), TOML),
)
def test_options_of_other_types_and_sizes(
    folder: Path, config: dict[str, Any], options: dict[str, Any], model: dict[str, Any]
) -> None:
    open_run(folder, {**config, "model": {**config["model"], **model}, **options}, WEIGHTS)


@examples
@given(st.integers(0, 2000), st.integers(0, 60), st.binary(max_size=6))
@example(0, 0, b"x = " + b"9" * 5000 + b"\n")
@example(0, 0, b"x = " + b"[" * 20_000)
def test_a_config_with_other_bytes(
    folder: Path, config: dict[str, Any], begin: int, length: int, inserted: bytes
) -> None:
    content = tomli_w.dumps(config).encode()
    begin %= len(content)
    open_run(folder, content[:begin] + inserted + content[begin + length :], WEIGHTS)
