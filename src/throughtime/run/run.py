"""What every run folder has, whatever its task."""

from __future__ import annotations

import contextlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from throughtime.config import RunConfig
from throughtime.config.small_data import LEAST_STEPS, fit_to_data
from throughtime.errors import MissingExtraError, OptionError, RunError
from throughtime.extras import install_command
from throughtime.files import refuse_odd_name
from throughtime.hub.cache import is_hub_name, parse_name, run_folder
from throughtime.notebooks import table
from throughtime.program.files import PROGRAM, read_program, write_program
from throughtime.program.network import Functions, NetworkProgram
from throughtime.run.description import describe
from throughtime.run.history import read_metrics
from throughtime.run.layout import CHECKPOINT, CONFIG, OF_MODEL, WEIGHTS
from throughtime.run.program_functions import ProgramFunctions
from throughtime.run.summary import summary
from throughtime.runtime.layers import PRECISIONS, Compute, check_threads
from throughtime.runtime.weights import Weights, read_weights
from throughtime.tasks import TASKS

if TYPE_CHECKING:
    import torch
    from torch import nn
    from typing_extensions import Self

    from throughtime.in_memory import Data
    from throughtime.run.row_prediction import RowPredictor
    from throughtime.training.progress import Progress
    from throughtime.training.task import Task

BACKENDS = ("native", "torch")


class Run(ABC):
    """A trained model in its folder. Each task derives its own.

    Example:
        run = Run.open("runs/reviews")
        for prediction in run.predict(["new.csv"]):
            print(prediction)

    Attributes:
        task: the task's name, as in config.toml.
        objective: the metric by which its weights were kept.
        higher_is_better: the direction of that metric.
        folder: the run folder.
        config: every option, resolved.
        backend: "native" or "torch": what runs the network.
        precision: how the native backend keeps matrices: "fp32", "bf16" or "int8".
        threads: CPU threads that it may use; 0 leaves the choice to it.
        hub_name: what it is called on the Hub, where it was opened by that name; "" where by a folder.
        left_out: what the last `predict` with skip_bad left out, in a line; "" where it was nothing.
    """

    task: ClassVar[str]
    objective: ClassVar[str] = "val_loss"
    higher_is_better: ClassVar[bool] = False

    def __init__(self, folder: Path, config: RunConfig) -> None:
        self.folder = folder
        self.config = config
        self.left_out = self.hub_name = ""
        self._check_cell()
        self.backend, self.precision, self.threads = BACKENDS[0], PRECISIONS[0], 0

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Say whose an attribute is that this task's run lacks."""
            from throughtime.run import run_class

            if name.startswith("_") or hasattr(type(self), name):  # or a property that failed
                return object.__getattribute__(self, name)
            owners = [task for task in TASKS if hasattr(run_class(task), name)]
            raise AttributeError(
                f"{self.folder} is a {self.task}, which has no {name!r}"
                + (f": that is for a {' or a '.join(owners)}" if owners else "")
            )

    def _check_cell(self) -> None:
        """Refuse a cell whose source lies in the run folder: who gives one away must not say what is run."""
        place = self.config.model.cell.rpartition(":")[0]
        if place.endswith(".py") and Path(place).resolve().is_relative_to(self.folder.resolve()):
            raise RunError(f"{place} lies in the run folder itself: keep the source of a cell outside of it")

    @classmethod
    def kind_for(cls, config: RunConfig) -> type[Run]:
        """The class for a run with these options, where a task has several."""
        return cls

    @classmethod
    def open(
        cls, folder: str | Path, backend: str = "native", precision: str | None = None, threads: int = 0
    ) -> Self:
        """Open a run folder of this kind; `Run.open` opens any.

        Args:
            folder: the run folder; or hf://owner/name@revision, in the Hub's cache or on the Hub.
            backend: what runs the network: "native", which needs no torch, or "torch".
            precision: how the native backend keeps matrices: "fp32", or "bf16" and "int8", which are smaller
                and faster, and less exact. None is fp32, or what `throughtime quantize` made.
            threads: CPU threads; 0 leaves the choice to the backend.
        Raises:
            RunError: the folder is missing, incomplete, damaged (the message names the file), or of another
                task.
            OptionError: an option is unknown, or not the backend's.
        """
        from throughtime.run import run_class

        _check_backend(backend, precision, threads)
        name, folder = folder, run_folder(folder) if is_hub_name(folder) else Path(folder)
        if not folder.exists():
            raise RunError(f"{folder}: no such run folder (the working directory is {Path.cwd()})")
        if not folder.is_dir():
            raise RunError(f"{folder} is a file: name the run folder that `throughtime train` made")
        refuse_odd_name(folder)
        config = RunConfig.load(folder / CONFIG)
        run = run_class(config.task).kind_for(config)(folder, config)
        if not isinstance(run, cls):
            raise RunError(f"{folder} is a {config.task}, and this needs a {cls.task}")
        if run.is_unfinished and not (folder / CHECKPOINT).exists():
            raise RunError(
                f"{folder} has neither {WEIGHTS} nor a checkpoint yet: go on with "
                f"`throughtime train --resume {folder}`"
            )
        if precision is None:
            precision = PRECISIONS[0] if backend == "torch" else run.read_weights().precision
        run.backend, run.precision, run.threads = backend, precision, threads
        if is_hub_name(name):
            run.hub_name = str(parse_name(name))
            if backend == "torch" and ":" in config.model.cell:
                raise RunError(
                    f"{run.hub_name} has a cell of its own, and the torch backend would run code by that "
                    f"name: use the native backend, or pull it into a folder"
                )
        run.load()
        return run

    @abstractmethod
    def prepare(self, show: Progress) -> None:
        """Read the user's files once, and leave in the folder all that training and predicting need.

        Raises:
            DataError: the data cannot be used (the message names the file and the line).
        """

    @abstractmethod
    def load(self) -> None:
        """Read what `prepare` left and predicting needs: vocabularies, labels...

        Raises:
            RunError: a file is missing or damaged.
        """

    def fit_to_data(
        self, examples: int, show: Progress, what: str = "examples", least_steps: int = LEAST_STEPS
    ) -> None:
        """Let the batch and the epochs that nobody gave follow the size of the data; see `fit_to_data`."""
        self.config, chosen = fit_to_data(self.config, examples, what, least_steps)
        if chosen:
            show.remark(chosen)

    def check_data(self, show: Progress) -> None:
        """Hold what `prepare` left for training to its checksums, before a training goes on with it.

        Raises:
            RunError: a file is damaged (the message names it).
        """
        return

    @abstractmethod
    def build_model(self) -> nn.Module:
        """The network with random weights, after `prepare` or `load`. Needs torch."""

    @abstractmethod
    def make_task(self, model: nn.Module, device: torch.device) -> Task:
        """The model and the prepared data, ready to train. Needs torch.

        Args:
            model: of `build_model`, on the device.
            device: where to train.
        """

    @property
    def picture_folder(self) -> Path:
        """Where pictures of an evaluation go: into the run folder, and not into the Hub's cache."""
        return Path() if self.hub_name else self.folder

    def begin(self, model: nn.Module) -> None:
        """Give a network of random weights what `prepare` found to begin with, as word vectors.

        Args:
            model: of `build_model`, of a training that begins.
        """
        return

    def predict(self, inputs: Data, /, skip_bad: bool = False) -> Iterator[dict[str, Any]]:
        """Predict for files of the task's format, one dictionary of plain values an example.

        Args:
            inputs: files or folders; "-" is standard input, read as lines as they come. Or a frame with the
                columns of the training.
            skip_bad: leave out inputs that cannot be used.
        Raises:
            DataError: an input cannot be used.
            OptionError: the task has no such predictions.
        """
        raise OptionError(f"a {self.task} has nothing to predict for files: see `throughtime --help`")

    def row_predictor(self, **options: Any) -> RowPredictor:
        """What predicts from the rows of tables; see `throughtime.predicting`.

        Args:
            **options: of the task's `predict`.
        Raises:
            OptionError: the task reads no rows, or an option is not for them.
        """
        from throughtime.run import run_class

        tasks = [task for task in TASKS if run_class(task).row_predictor is not Run.row_predictor]
        raise OptionError(
            f"{self.folder} is a {self.task}, which does not predict from the rows of tables: that is for a "
            f"{', a '.join(tasks[:-1])} or a {tasks[-1]}"
        )

    def evaluate(
        self, data: Data, /, skip_bad: bool = False, progress: Callable[[float], None] | None = None
    ) -> Any:
        """Measure on a labelled data set in the task's format: each metric by name, as JSON can hold it.

        Args:
            data: a file or a folder, or data in memory as `tt.train` takes it.
            skip_bad: leave out examples that cannot be used.
            progress: called with the share that is done.
        Raises:
            DataError: the data cannot be used.
        """
        raise NotImplementedError

    def conclude(self) -> None:
        """Called once training has ended, with the best weights in place: pictures and tables of the task."""
        return

    @property
    def pipeline_tag(self) -> str | None:
        """What the Hugging Face Hub calls what the model is for; None where it has no word for it."""
        return None

    def next_command(self) -> str:
        """What to do with the trained model, in a sentence with a command."""
        return f"Predict with it: throughtime predict {self.folder} INPUT"

    def parameters_tied(self) -> tuple[str, ...]:
        """Names in the weights that repeat others, so that parameters are counted once."""
        return ()

    @cached_property
    def network(self) -> Any:
        """The trained network as the run's backend has it: what predictions are made with.

        Raises:
            RunError: the weights are damaged or do not fit config.toml.
            MissingExtraError: the backend is torch, and it is not installed.
        """
        functions = self.functions
        try:
            return self.predictor(functions)
        except IndexError:
            raise RunError(f"{self.folder / PROGRAM} is damaged: a function lacks its inputs") from None

    def predictor(self, network: Functions) -> Any:
        """What predictions are made with, from the network's functions."""
        raise NotImplementedError

    @cached_property
    def functions(self) -> Functions:
        """The functions of the trained network as the run's backend computes them.

        Raises:
            RunError, MissingExtraError: as of `network`.
        """
        if self.backend == "torch":
            model = self.model
            from throughtime.models.functions import TorchNetwork

            return TorchNetwork(model)
        from throughtime.runtime.network import Network

        network = Network(self.program, self.read_weights(), self.compute)
        return ProgramFunctions(network, self.folder / PROGRAM)

    @cached_property
    def program(self) -> NetworkProgram:
        """What the network computes, from program.json; where there is none, it is made once, with torch.

        Raises:
            RunError: it is damaged, or another than config.toml says, or it is missing and so is torch.
        """
        path = self.folder / PROGRAM
        found = read_program(path)
        if found is None:
            found = self._capture()
            with contextlib.suppress(OSError):  # a folder that cannot be written to is read all the same
                write_program(path, found)
        self.check_program(found)
        return found

    def check_program(self, program: NetworkProgram) -> None:
        """Raise RunError for a program that was captured with other options than config.toml has."""
        expected = self.config.model.computed()
        for name in sorted({*expected, *program.options}):
            said, made = expected.get(name), program.options.get(name)
            if said != made:
                raise RunError(
                    f"{self.folder / CONFIG}: model.{name} is {said!r:.60}, and the network in "
                    f"{PROGRAM} was made with {made!r:.60}: put it back"
                )

        for (function, name), size in self.port_sizes().items():
            ports = {}
            if function in program.functions:
                named = program.functions[function]
                ports = {port.name: port for port in (*named.inputs, *named.outputs)}
            port = ports.get(name)
            found = None if port is None else port.below or port.width
            if found != size:
                raise RunError(
                    f"{self.folder / PROGRAM}: {name} of {function} has {found} values, and the run {size}: "
                    f"it is of another run"
                )

    def port_sizes(self) -> dict[tuple[str, str], int]:
        """What has to fit the run's vocabularies and labels: by function and port, how many there are."""
        return {}

    def beside_graphs(self) -> tuple[Sequence[str], dict[str, Any]]:
        """What running the exported graphs needs: files of the folder, and facts as JSON can hold them."""
        return (), {}

    def _capture(self) -> NetworkProgram:
        try:
            require_torch()
        except MissingExtraError:
            raise RunError(
                f"{self.folder} has no {PROGRAM}, as older versions left none: use the run once where "
                f"PyTorch is installed, and it is written"
            ) from None
        from throughtime.capture.network import capture_network

        print(f"{self.folder}: writing {PROGRAM}, which this version runs the network by", file=sys.stderr)
        return capture_network(self.build_model(), self.config.model.computed())

    @property
    def compute(self) -> Compute:
        """How the native backend keeps and multiplies the matrices of a task's network."""
        # One thread, unless more are asked for: a step of these networks is too small to share.
        return Compute(self.precision, self.threads or 1)

    @property
    def is_unfinished(self) -> bool:
        """Whether training stopped before its first evaluation, and left a checkpoint only."""
        return not (self.folder / WEIGHTS).exists()

    def read_weights(self) -> Weights:
        """The run's weights for `throughtime.runtime`."""
        if not self.is_unfinished:
            return read_weights(self.folder / WEIGHTS)
        weights = read_weights(self.folder / CHECKPOINT).part(OF_MODEL)
        program = read_program(self.folder / PROGRAM)
        weights.programs = {} if program is None else dict(program.cells)
        return weights

    @cached_property
    def model(self) -> Any:
        """The network with the run's weights, on the CPU, in evaluation mode. Needs torch.

        Raises:
            RunError: the weights are damaged or do not fit config.toml.
            MissingExtraError: torch is not installed.
        """
        require_torch()
        import torch

        from throughtime.training.checkpoint import load_weights, read_tensors

        if self.threads:
            torch.set_num_threads(self.threads)
        weights = self.read_weights()
        self._check_sizes(weights)
        model = self.build_model()
        if weights.precision == PRECISIONS[0] and not self.is_unfinished:
            tensors, _ = read_tensors(self.folder / WEIGHTS)
        else:
            tensors = {name: torch.from_numpy(np.array(weights[name])) for name in weights}
        load_weights(model, tensors, weights.name)
        return model.eval()

    def _check_sizes(self, weights: Weights) -> None:
        """Hold the sizes in config.toml against the weights before a network of such sizes takes memory."""
        from throughtime.models.initialise import sizes_only

        with sizes_only():
            described = self.build_model().state_dict()
        for name, tensor in described.items():
            if tensor.is_floating_point():
                weights.expect(name, tuple(tensor.shape))

    def describe(self) -> dict[str, Any]:
        """What is in the folder, as JSON can hold it. Needs no torch, and reads no weights.

        Raises:
            RunError: the weights or the checkpoint are damaged.
        """
        return describe(self)

    @property
    def history(self) -> Any:
        """What training logged, a row for each line of metrics.jsonl: step, epoch, losses, rates...

        Returns:
            A pandas DataFrame where pandas is installed, and otherwise a list of dictionaries.
        """
        entries = read_metrics(self.folder)
        try:
            from pandas import DataFrame  # type: ignore[import-not-found]
        except ImportError:
            return entries
        return DataFrame(entries)

    def loss_figure(self) -> Any:
        """The losses of the training against the epoch, as a figure of matplotlib: what loss.png shows.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        from throughtime.pictures import require_matplotlib
        from throughtime.run.loss_picture import loss_figure

        require_matplotlib()
        return loss_figure(self.folder, "loss", self.objective)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"

    def _repr_html_(self) -> str:
        """The run as notebooks show it: the table of `throughtime info`."""
        return table(summary(self.describe(), self.objective))

    def row_names(self) -> dict[str, list[str]]:
        """What the rows of tensors stand for, by the tensors' names: tokens, labels. Needs no weights."""
        return {}

    def facts(self) -> dict[str, Any]:
        """The task's own numbers for `describe`: vocabulary size, labels..."""
        return {}


def _check_backend(backend: str, precision: str | None, threads: int) -> None:
    if backend not in BACKENDS:
        raise OptionError(f"backend {backend!r} is unknown: use {' or '.join(BACKENDS)}")
    if precision is not None and precision not in PRECISIONS:
        raise OptionError(f"precision {precision!r} is unknown: use {', '.join(PRECISIONS)}")
    if backend == "torch" and precision not in (None, PRECISIONS[0]):
        raise OptionError(f"precision {precision} is the native backend's: torch computes in fp32")
    check_threads(threads, least=0)


def refuse_text(inputs: object, function: str) -> None:
    """Refuse one text or path where a list of them belongs, or each of its letters would be an input.

    Raises:
        OptionError: it is one.
    """
    if isinstance(inputs, (str, bytes, Path)):
        raise OptionError(f"{function} takes a list: write {function}([...]) also for a single input")


def require_torch() -> None:
    """Raise MissingExtraError where torch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtraError(f"this needs PyTorch: install it with `{install_command('train')}`") from None
