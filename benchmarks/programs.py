"""Damaged program.json files of every kind of network: each refused in one line, or harmless.

A program is changed in one to five places (a value, a name, a size, an attribute taken out, doubled or
replaced by something nasty), read, and where it passes run natively on small inputs. A process that dies, an
input that takes more than ten seconds or more than 1 GB, or an error that is not one line for a user ends the
run with exit code 1.

    python benchmarks/programs.py --count 100000 [--first N] [--only N]
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from tests.networks import NETWORKS, draw, make, weights_of
from tests.program.test_program import mutated

from throughtime.capture.network import capture_network
from throughtime.errors import ThroughtimeError
from throughtime.models.functions import TorchNetwork
from throughtime.program.network import network_from_json, network_to_json
from throughtime.run.program_functions import ProgramFunctions
from throughtime.runtime.network import Network
from throughtime.runtime.weights import Weights

_SIZES = {"B": 2, "T": 3, "S": 4, "W": 2}
_SECONDS = 10
_MEMORY = 1 << 30


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int)
    arguments = parser.parse_args()
    networks = [(name, *_document(name)) for name in NETWORKS]
    _limit_memory()
    numbers = (
        [arguments.only]
        if arguments.only is not None
        else range(arguments.first, arguments.first + arguments.count)
    )
    refused = harmless = 0
    slowest, begin = 0.0, time.perf_counter()
    for number in numbers:
        rng = random.Random(number)
        name, document, weights, used = networks[rng.randrange(len(networks))]
        changed = mutated(document, rng)
        started = time.perf_counter()
        signal.alarm(_SECONDS)
        try:
            outcome = _try(changed, weights, used)
        except ThroughtimeError as error:
            if "\n" in str(error) or len(str(error)) > 500:
                _fail(number, name, f"not one line: {error!r:.300}")
            outcome = False
        except BaseException as error:
            _fail(number, name, f"{type(error).__name__}: {error!s:.300}")
        finally:
            signal.alarm(0)
        harmless, refused = harmless + outcome, refused + (not outcome)
        slowest = max(slowest, time.perf_counter() - started)
        if (number + 1) % 5000 == 0:
            print(f"{refused + harmless:,} programs, {refused:,} refused", file=sys.stderr)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = time.perf_counter() - begin
    print(
        f"{refused + harmless:,} damaged programs of {len(networks)} networks in {seconds:.0f} s: "
        f"{refused:,} refused in one line, {harmless:,} harmless, 0 failures; "
        f"slowest {slowest:.2f} s, peak {peak:.0f} MB"
    )


def _document(name: str) -> tuple[Any, dict[str, np.ndarray], dict[str, dict[str, Any]]]:
    """A network's program as it is written, its weights, and the inputs that it is used with."""
    model = make(name)
    program = capture_network(model)
    inputs = {key: draw(named.inputs, _SIZES) for key, named in program.functions.items()}
    assert set(TorchNetwork(model).functions) == set(inputs)
    return network_to_json(program), dict(weights_of(model)), inputs


def _try(document: Any, weights: dict[str, np.ndarray], used: dict[str, dict[str, Any]]) -> bool:
    """Read a program and use it as its run would; what is refused raises."""
    try:
        document = json.loads(json.dumps(document))
    except ValueError:
        return False
    network = Network(network_from_json(document), Weights(weights))
    functions = ProgramFunctions(network, Path("program.json"))
    for name, inputs in used.items():
        functions(name, inputs)
    return True


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    def hang(*_: Any) -> None:
        raise TimeoutError(f"it takes more than {_SECONDS} s")

    signal.signal(signal.SIGALRM, hang)


def _fail(number: int, name: str, what: str) -> None:
    print(f"program {number} ({name}): {what}\n    python benchmarks/programs.py --only {number}")
    raise SystemExit(1)


if __name__ == "__main__":
    main()
