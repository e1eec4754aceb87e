"""The environment variables of a worker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from buildsys.toolchains.inside.watch import SWITCH

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)


def worker_environment(python: Path, threads: int, folder: Path, temporary: Path) -> dict[str, str]:
    """The variables of a worker: listed, never inherited, so that nothing undeclared gets in.

    Args:
        python: Its interpreter.
        threads: How many threads it may use.
        folder: The step's folder.
        temporary: Where the step has its temporary files, by a short name.
    """
    switch = os.environ.get(SWITCH)
    return {
        "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": f"{folder}/scratch",
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
        "SOURCE_DATE_EPOCH": "0",
        # From 1.29 on, ONNX Runtime sends names and hashes of graphs home unless told not to.
        "ORT_DISABLE_TELEMETRY": "1",
        **dict.fromkeys(THREADS, str(threads)),
        # It decides how reads are found, and what is said of them; never bytes.
        **({} if switch is None else {SWITCH: switch}),
    }


def host_environment(worker: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The variables of a host: a worker's, in a folder of its own, and with one thread.

    Libraries make their pools when they are loaded, and threads do not survive a fork.
    """
    own = {"HOME": str(folder), "TMPDIR": str(folder / "tmp")}
    return {**worker, **own, **dict.fromkeys(THREADS, "1")}
