"""How long a step waits for its worker: the first of an environment, the next, and one on its own.

    python -m benchmarks.workers [--toolchains NAME,NAME] [--runs 10] [--target MILLISECONDS]

From the moment that the executor is given an action to the first line of the worker's function; the
worker is the real one of each toolchain, with all that it imports. `first` starts the host, which
imports; `next` is forked; `alone` is a process of its own, as where hosts are not used. All of it is
wall time, with medians of `next`, `alone` and `own` (what an action takes beside waiting for its worker
and the work). With `--target`, the exit status is 1 when a `next` is
above it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import machine
from buildsys.backends.output import Output
from buildsys.engine.executors import Done, Job, LocalExecutor
from buildsys.engine.session import cache_root, toolchains_root
from buildsys.planner.catalog import Catalog
from buildsys.planner.graph import Action, Worker
from buildsys.store import Store
from buildsys.toolchains import Provisioner

WORKERS = {
    "torch": ("torch.worker", "capture"),
    "onnx-export": ("onnx.worker", "export"),
    "onnx": ("onnx.runtime", "load"),
    "coreml": ("coreml.worker", "convert"),
    "tflite-direct": ("tflite.convert.direct", "convert"),
    "tflite-onnx": ("tflite.convert.from_onnx", "convert"),
    "tflite": ("tflite.quantize.worker", "quantize"),
}
"""The worker whose imports stand for a toolchain's."""

PROBE = """\
import importlib
import time

real = importlib.import_module("modelbuild_backends.{module}")
PRELOAD = {{"stamp": getattr(real, "PRELOAD", {{}}).get("{function}", ())}}


def stamp(request):
    now = time.monotonic_ns()  # One clock for all processes of a machine.
    request.outputs["stamp"].write_text(str(now))
"""


def measured(name: str, python: Path, folder: Path, runs: int) -> dict[str, float]:
    """Starts a toolchain's worker again and again.

    Args:
        name: The toolchain.
        python: Its interpreter.
        folder: An empty one.
        runs: How often the next is started; one on its own is started half as often.

    Returns:
        Milliseconds: `first`, `next`, `alone`; `slowest` of the next; `own` is what an action took
        in all beside its wait and its work.
    """
    module, function = WORKERS[name]
    backend = folder / "probe"
    backend.mkdir()
    (backend / "worker.py").write_text(PROBE.format(module=module, function=function))
    store = Store(folder / "store")
    worker = Worker("worker:stamp", "probe", backend, ())
    outputs = (Output("stamp", "stamp.txt"),)
    action = Action("probe", "probe", worker, name, {}, {}, outputs)
    job = Job.of(action, "0" * 64, {}, python, None, 1, 600.0)
    own: list[float] = []

    def start(executor: LocalExecutor) -> float:
        before = time.monotonic_ns()
        done = executor.run(job)
        after = time.monotonic_ns()
        if not isinstance(done, Done):
            raise SystemExit(f"{name}: {done.message}")
        own.append((after - before) / 1e6 - 1e3 * (done.phases["wait"] + done.phases["work"]))
        return (int(store.read(done.outputs["stamp"].digest)) - before) / 1e6

    cold = LocalExecutor(store, warm=False)
    start(cold)  # Not counted: it reads the files from the disk.
    alone = [start(cold) for _ in range(max(1, runs // 2))]
    warm = LocalExecutor(store)
    first = start(warm)
    own.clear()
    after = [start(warm) for _ in range(runs)]
    warm.close()
    return {
        "first": first,
        "next": statistics.median(after),
        "slowest": max(after),
        "alone": statistics.median(alone),
        "own": statistics.median(own),
    }


def table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """The figures as Markdown."""
    lines = [
        "| toolchain | first ms | next ms | slowest next | alone ms | own ms |",
        "|---" * 6 + "|",
    ]
    lines += [
        f"| {name} | " + " | ".join(f"{figure:.1f}" for figure in row.values()) + " |"
        for name, row in rows.items()
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, and compares with the target."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--toolchains", default=",".join(WORKERS), help=", ".join(WORKERS))
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--target", type=float, help="milliseconds for `next`")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    given = parser.parse_args(arguments)
    provisioner = Provisioner(toolchains_root(cache_root()), Catalog.load().toolchains)
    rows: dict[str, dict[str, float]] = {}
    for name in given.toolchains.split(","):
        provisioner.ensure(name, lambda line: print(line, file=sys.stderr))
        with tempfile.TemporaryDirectory(prefix="modelbuild-workers-") as folder:
            rows[name] = measured(name, provisioner.python(name), Path(folder), given.runs)
    print(table(rows))
    if given.json:
        record = {"machine": machine.described(), "milliseconds": rows}
        given.json.write_text(json.dumps(record, indent=1) + "\n")
    missed = given.target is not None and any(row["next"] > given.target for row in rows.values())
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
