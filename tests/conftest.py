"""What several test files need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers share the cores already.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Deadlines measure the machine, and these tests share theirs with trainings.
settings.register_profile("throughtime", deadline=None, max_examples=60)
settings.load_profile("throughtime")

_SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests: one of them at the end would leave the other cores idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets; a test that needs it is skipped where it is absent."""
    folder = Path(os.environ.get("THROUGHTIME_DATA", _SHARED / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real data sets are not at {folder} (set THROUGHTIME_DATA to where they are)")
    return folder


@pytest.fixture(scope="session")
def conformance() -> Path:
    """The folder of expected values that others published."""
    folder = Path(os.environ.get("THROUGHTIME_CONFORMANCE", _SHARED / "conformance"))
    if not folder.is_dir():
        pytest.skip(f"the published expected values are not at {folder} (set THROUGHTIME_CONFORMANCE)")
    return folder


@pytest.fixture
def memory() -> Iterator[Any]:
    """fsspec's file system in memory, empty: what memory://... names."""
    from fsspec.implementations.memory import MemoryFileSystem

    system = MemoryFileSystem()
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.fixture(scope="module")
def quick_trainings() -> Iterator[None]:
    """Trainings without pictures, and a network captured once: that is most of what a tiny training takes."""
    from throughtime.capture import network
    from throughtime.training import launch

    captured: dict[str, Any] = {}
    capture = network.capture_network

    def capture_once(model: Any, options: dict[str, Any]) -> Any:
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        key = repr((type(model), sorted(options.items()), shapes))
        if key not in captured:
            captured[key] = capture(model, options)
        return captured[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "capture_network", capture_once)
        patch.setattr(launch, "draw_loss", lambda *_: None)
        yield
