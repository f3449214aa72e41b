"""The native part without Python, under the compiler's sanitizers: no read outside, no overflow, no leak."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.runtime.plan_files import write_plans

ROOT = Path(__file__).resolve().parents[2]
FLAGS = "-g1 -fno-omit-frame-pointer -fno-sanitize-recover=all"
# Each is a build of its own. ThreadSanitizer looks at what threads share: its run leaves out the rest, and
# the wider instructions, which share nothing.
SANITIZERS = {"address,undefined": [], "thread": ["team", "engine"]}
OPTIONS = {"address,undefined": [], "thread": ["-DTHROUGHTIME_SCALAR_ONLY=ON"]}
# The inner loops for wide instructions compile twice as fast without optimisation, and run once; what the
# thread sanitizer builds is small and runs for long.
OPTIMIZATION = {"address,undefined": "-O0", "thread": "-O1"}
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1", "TSAN_OPTIONS": "halt_on_error=1"}


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **ENVIRONMENT}, text=True, capture_output=True, timeout=900
    )


# Slow: it compiles the native part anew for each sanitizer, for half a minute of one core each.
@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_the_native_part_passes_its_tests_under_sanitizers(sanitizer: str, tmp_path: Path) -> None:
    cmake = shutil.which("cmake")
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if cmake is None or compiler is None:
        pytest.skip("there is no cmake or no C++ compiler here")
    if not (ROOT / "native" / "tests").is_dir():
        pytest.skip("the native part's source is not beside these tests")
    probe = tmp_path / "probe.cpp"
    probe.write_text("int main() { return 0; }\n")
    if run(compiler, f"-fsanitize={sanitizer}", str(probe), "-o", "probe", cwd=tmp_path).returncode:
        pytest.skip(f"{compiler} cannot link -fsanitize={sanitizer}")
    started = run("./probe", cwd=tmp_path)
    if started.returncode:
        pytest.skip(f"a program with -fsanitize={sanitizer} does not start here: {started.stderr[-300:]}")
    plans = [str(plan) for plan in write_plans(tmp_path)] if sanitizer == "address,undefined" else []
    for command in (
        [cmake, "-S", str(ROOT), "-B", "build", "-DTHROUGHTIME_NATIVE_TESTS=ON",
         f"-DTHROUGHTIME_KERNEL_OPTIMIZATION={OPTIMIZATION[sanitizer]}", f"-DCMAKE_CXX_COMPILER={compiler}",
         f"-DCMAKE_CXX_FLAGS=-fsanitize={sanitizer} {OPTIMIZATION[sanitizer]} {FLAGS}", *OPTIONS[sanitizer]],
        [cmake, "--build", "build", "--parallel", "2"],
        ["build/test_native", *SANITIZERS[sanitizer], *plans],
    ):  # fmt: skip
        done = run(*command, cwd=tmp_path)
        assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
    assert "team passed" in done.stdout and f"{len(plans)} plans passed" in done.stdout
