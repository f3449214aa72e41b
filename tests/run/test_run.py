"""What every run offers in Python, and what it says where it offers nothing."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

pytest.importorskip("torch")

import throughtime as tt  # noqa: E402
from throughtime.errors import OptionError, RunError  # noqa: E402
from throughtime.tasks.classifier.run import ClassifierRun  # noqa: E402
from throughtime.training.progress import Progress  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ClassifierRun:
    folder = tmp_path_factory.mktemp("run")
    rows = [f"{number},{'odd' if number % 2 else 'even'}" for number in range(20)]
    (folder / "a<b.csv").write_text("\n".join(["number,label", *rows]) + "\n")
    options = {"hidden": 4, "epochs": 3, "tensorboard": False, "threads": 1, "show": Progress()}
    options["validation_fraction"] = 0.1
    return tt.train(folder / "a<b.csv", task="classifier", out=folder / "run", **options)


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("threads", [-1, 257, 2**63])
def test_threads_that_no_machine_has_are_refused(run: ClassifierRun, backend: str, threads: int) -> None:
    with pytest.raises(OptionError, match=f"threads must be from 1 to 256, or 0 .*, not {threads}"):
        tt.load(run.folder, backend=backend, threads=threads)


def test_a_run_is_opened_as_the_task_that_was_named(run: ClassifierRun) -> None:
    assert isinstance(tt.load(run.folder, task="classifier"), ClassifierRun)
    with pytest.raises(RunError, match="is a classifier, and this needs a tagger"):
        tt.load(run.folder, task="tagger")
    with pytest.raises(OptionError, match="task 'taggr' is unknown: use language-model, classifier"):
        tt.load(run.folder, task="taggr")  # type: ignore[call-overload]


def test_what_another_task_has_is_named(run: ClassifierRun) -> None:
    with pytest.raises(AttributeError, match="is a classifier, which has no 'sample': that is for a lang"):
        run.sample  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match="is a classifier, which has no 'smaple'$"):
        run.smaple  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(run, "_repr_svg_")  # notebooks ask for many


def test_history_is_what_training_logged(run: ClassifierRun, monkeypatch: pytest.MonkeyPatch) -> None:
    class DataFrame(list):  # type: ignore[type-arg]
        pass

    monkeypatch.setitem(sys.modules, "pandas", None)
    history = run.history
    assert history[-1]["epoch"] == 3
    assert "val_loss" in history[-1]
    pandas = ModuleType("pandas")
    pandas.DataFrame = DataFrame  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    assert isinstance(run.history, DataFrame)
    assert run.history == history


def test_a_notebook_shows_a_table(run: ClassifierRun) -> None:
    page = run._repr_html_()
    assert "<th style='text-align:left'>parameters</th>" in page
    assert "a&lt;b.csv" in page
    assert repr(run) == f"ClassifierRun({str(run.folder)!r})"
