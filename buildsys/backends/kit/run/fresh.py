"""Starts an artifact in a process that has run nothing yet: how long that takes, and how much memory.

This file is started by path, `python -s -P fresh.py SPEC`, as a worker's process is: the packages of the
process that asks are made again from their folders.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

FEWEST_RUNS = 3
"""Runs after which a process's memory is looked at: some runtimes make their plan in the first ones."""
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)


def start(
    runtime: str, artifact: Path, io: Path, feed: Path, threads: int, scratch: Path
) -> dict[str, Any]:
    """Loads an artifact in a new process and runs it.

    Args:
        runtime: `backend.module`, as `kit.run.measurement` has it.
        artifact: What to load.
        io: Its contract.
        feed: What to run it on, an `.npz`.
        threads: How many threads it may use.
        scratch: Where the answer may lie.

    Returns:
        `load_ms` and `first_run_ms`; `before_bytes`, the process's peak memory when its libraries were
        imported, and `peak_bytes`, after a few runs. What runs in a process of its own is measured
        there, with nothing before.

    Raises:
        RuntimeError: The process failed; what it printed is in the step's log.
    """
    root = __name__.partition(".kit.")[0]
    names = (root, f"{root}.{runtime.partition('.')[0]}")
    spec = {
        "root": root,
        "packages": {name: list(sys.modules[name].__path__) for name in names},
        "runtime": runtime,
        "artifact": str(artifact),
        "io": str(io),
        "feed": str(feed),
        "threads": threads,
        "answer": str(scratch / "started.json"),
    }
    command = [sys.executable, "-s", "-P", __file__, json.dumps(spec)]
    environment = os.environ | dict.fromkeys(THREADS, str(threads))
    done = subprocess.run(command, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"a fresh process ended with {done.returncode}")
    answer: dict[str, Any] = json.loads(Path(str(spec["answer"])).read_text())
    return answer


def perform(spec: dict[str, Any]) -> dict[str, Any]:
    """Does in the new process what `start` asks for."""
    root = spec["root"]
    arrays, contract, measurement = (
        importlib.import_module(f"{root}.kit.{name}")
        for name in ("protocol.arrays", "protocol.contract", "run.measurement")
    )
    runtime = importlib.import_module(f"{root}.{spec['runtime']}")
    declared = contract.Contract.read(Path(spec["io"]))
    feed = arrays.load(Path(spec["feed"]))
    before = measurement.peak_rss()
    began = time.perf_counter()
    session = runtime.load(Path(spec["artifact"]), declared, spec["threads"])
    try:
        loaded = time.perf_counter()
        session.run(feed)
        ran = time.perf_counter()
        for _ in range(FEWEST_RUNS - 1):
            session.run(feed)
        # What runs in a process of its own tells of that one, which held nothing before.
        other = getattr(session, "peak_rss", None)
        before, peak = (before, measurement.peak_rss()) if other is None else (0, other())
    finally:
        getattr(session, "close", lambda: None)()
    return {
        "load_ms": 1000 * (loaded - began),
        "first_run_ms": 1000 * (ran - loaded),
        "before_bytes": before,
        "peak_bytes": peak,
    }


def main() -> None:
    """Makes the packages, and answers."""
    spec = json.loads(sys.argv[1])
    for name, folders in spec["packages"].items():
        package = types.ModuleType(name)
        package.__path__ = folders
        sys.modules[name] = package
    own = importlib.import_module(f"{spec['root']}.kit.run.fresh")
    Path(spec["answer"]).write_text(json.dumps(own.perform(spec)))


if __name__ == "__main__":
    main()
