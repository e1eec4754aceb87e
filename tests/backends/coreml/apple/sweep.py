"""Runs Apple's tests out of coremltools' wheel, slice by slice, and goes on where it was stopped.

`python -m tests.backends.coreml.apple.sweep [COUNT]` runs all, or the first COUNT in the order of their
names' digests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests import sweeps
from tests.support import toolchain

HERE = Path(__file__).parent
BACKENDS = sweeps.REPOSITORY / "buildsys" / "backends"
SOURCES = (
    BACKENDS / "coreml",
    BACKENDS / "kit",
    *(HERE / name for name in ("plugin.py", "prediction.py", "lock.txt")),
)
"""What decides a record: the evaluator with its toolchain, and what puts it in Core ML's place."""
OPERATORS = "coremltools/converters/mil/mil/ops/tests"
TORCH = "coremltools/converters/mil/frontend/torch/test/test_torch_ops.py"
EVERYTHING = (OPERATORS, TORCH)
SLICE = 1500
"""Tests a process: coremltools keeps each model's package until its process ends. Collecting takes 20 s."""
LIMIT = 4 * 3600
"""Seconds that a slice may take; 1,500 tests take a tenth of it on an idle machine."""


def record() -> Path:
    """Where the record of the code as it is now is kept."""
    return sweeps.place("apple", SOURCES)


def run(found: Path, chosen: Sequence[str], sample: int | None = None) -> None:
    """Runs the tests of some files and folders that the record lacks.

    Args:
        found: The record, which grows.
        chosen: Below the folder of the installed wheels.
        sample: How many, the first in the order of their names' digests; all without it.

    Raises:
        RuntimeError: No test could be run.
    """
    sweeps.mend(found)
    python, wheels, beside = _environments()
    while True:
        known = len(sweeps.read(found))
        with tempfile.TemporaryDirectory(prefix="apple-") as folder:
            environment = {
                "PATH": os.defpath,
                "HOME": folder,
                "TMPDIR": folder,
                "PYTHONPATH": f"{sweeps.REPOSITORY}{os.pathsep}{beside}",
                "PYTHONDONTWRITEBYTECODE": "1",
                "APPLE_RECORDS": str(found),
                "APPLE_SLICE": str(SLICE),
                **({} if sample is None else {"APPLE_SAMPLE": str(sample)}),
                # Programs alone, and in the precision that rounds nothing as well.
                "PYMIL_TEST_TARGETS": "mlprogram",
                "INCLUDE_MIL_FP32_UNIT_TESTS": "1",
            }
            told = _slice(python, wheels, environment, chosen)
        died = _blame(found)
        fresh = len(sweeps.read(found)) - known
        if not known and not fresh:
            raise RuntimeError(f"no test ran:\n{told[-4000:]}")
        print(f"{known + fresh} tests are recorded", file=sys.stderr, flush=True)
        if fresh < SLICE and not died:
            return


def _environments() -> tuple[Path, Path, Path]:
    """The toolchain's Python, its packages, and those that the tests need beside it."""
    python, own = toolchain.python("coreml"), toolchain.of_tests("apple-tests", HERE)
    (wheels,) = python.parents[1].glob("lib/python*/site-packages")
    (beside,) = own.parents[1].glob("lib/python*/site-packages")
    return python, wheels, beside


def _slice(
    python: Path, wheels: Path, environment: Mapping[str, str], chosen: Sequence[str]
) -> str:
    """Runs a process of tests; gives the end of what it says."""
    command = [
        *(str(python), "-s", "-m", "pytest"),
        *("-p", "no:cacheprovider", "-p", "tests.backends.coreml.apple.plugin"),
        *("-c", os.devnull, f"--rootdir={wheels}", "--import-mode=importlib"),
        *("-q", "--no-header", "--tb=no", "-W", "ignore", *chosen),
    ]
    try:
        # Its exit status says that some fail, as those do that nothing agrees with.
        done = subprocess.run(
            command,
            cwd=wheels,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return f"{late}"
    return done.stdout


def _blame(found: Path) -> bool:
    """Records the test in which the process died or was stopped, so that no later slice runs into it.

    Returns:
        Whether there was one.
    """
    running = found.with_suffix(".running")
    if not running.exists():
        return False
    name = running.read_text(encoding="utf-8")
    running.unlink()
    if name in {each["test"] for each in sweeps.read(found)}:
        return False
    died = {"predictions": 0, "refused": "", "error": "", "operations": [], "half": False}
    more = {"test": name, "outcome": "died", "worst": 0.0, "seconds": 0.0}
    sweeps.mend(found)
    sweeps.add(found, [{**died, **more}])
    return True


if __name__ == "__main__":
    run(record(), EVERYTHING, int(sys.argv[1]) if sys.argv[1:] else None)
    print(record())
