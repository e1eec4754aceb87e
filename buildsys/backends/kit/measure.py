"""Runs an artifact on samples as it will be run when shipped: outputs, latency, peak memory."""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import arrays, batches, extremes
from .contract import Contract
from .request import Request, StepError

LATENCY_SECONDS = 20.0
"""A slow model's latency is measured for no longer than this, with five runs at least."""
FEWEST_RUNS = 5


class Session(Protocol):
    """An artifact, loaded and ready.

    One that runs it in another process has besides `close()`, which ends that process and is always
    called, and `peak_rss()`, that process's peak memory in bytes.

    Attributes:
        runtime: Name and version of what runs it, for example `onnxruntime 1.31.1`.
    """

    runtime: str

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once.

        Args:
            feed: The recipe's input names to arrays in the model's layout and dtype.

        Returns:
            The recipe's output names to arrays in the model's layout, in the artifact's dtype.
        """
        ...


def run_artifact(request: Request) -> None:
    """Runs an artifact on the samples, and on the evaluation's data where it is asked for.

    Inputs: `artifact`, `io`, `samples` and maybe `evaluation` (`.npz`: input name to [n, ...]; labels
    in it are not fed), and maybe `sizes` (what the original was fed at the extremes).
    Options: `ports`, `outputs`, `dynamic`, `runtime_module` (`backend.module`, with
    `load(path, contract, threads)`), `latency` (`warmup`, `runs`).
    Outputs: `samples` and maybe `evaluation` (`.npz`: output name to [n, ...]), `run` (`run.json`), and
    maybe `extremes` (see `kit.extremes`); of the original also `sizes`.

    Raises:
        StepError: The artifact does not load, does not take the samples, or its outputs are not
            the recipe's.
    """
    contract = Contract.read(request.inputs["io"])
    runtime = importlib.import_module(f"..{request.options['runtime_module']}", __package__)
    session: Session = runtime.load(request.inputs["artifact"], contract, request.threads)
    try:
        record(session, request, contract)
    finally:
        getattr(session, "close", lambda: None)()


def record(session: Session, request: Request, contract: Contract | None = None) -> None:
    """Runs a loaded artifact, or the original model, and writes the outputs of `run_artifact`.

    Args:
        session: What to run.
        request: As for `run_artifact`.
        contract: Sizes as the artifact has them; `None` where they are the ports' own.

    Raises:
        StepError: As for `run_artifact`.
    """
    options = request.options
    plan = batches.plan(options["ports"], contract, options.get("dynamic", True))
    names: list[str] = options["outputs"]
    sizes: set[int] = set()
    feeds = _feeds(request.inputs["samples"], options["ports"])
    for key in ("samples", "evaluation"):
        if key not in request.outputs:
            continue
        feed = feeds if key == "samples" else _feeds(request.inputs[key], options["ports"])
        got = batches.run(session.run, feed, plan, names)
        arrays.save(request.outputs[key], got.outputs)
        sizes |= got.sizes
    timing = options["latency"]
    one = batches.example(feeds, plan)
    latency = measure_latency(session, one, timing["warmup"], timing["runs"])
    report = {
        "runtime": session.runtime,
        "latency_ms": latency,
        # What runs in a process of its own tells of that one.
        "peak_rss_bytes": getattr(session, "peak_rss", peak_rss)(),
        "threads": request.threads,
        "batch_sizes": sorted(sizes),
    }
    request.outputs["run"].write_text(json.dumps(report, sort_keys=True, indent=1) + "\n")
    _at_extremes(session, request, contract, feeds)  # Last: the memory is that of usual sizes.


def _at_extremes(
    session: Session, request: Request, contract: Contract | None, samples: arrays.Arrays
) -> None:
    """Runs at the smallest and the largest sizes: the original chooses inputs, artifacts follow."""
    if "extremes" not in request.outputs:
        return
    names: list[str] = request.options["outputs"]
    if "sizes" in request.outputs:
        fed, given = extremes.original(session.run, samples, request, names)
        arrays.save(request.outputs["sizes"], fed)
    else:
        fed = arrays.load(request.inputs["sizes"])
        given = extremes.artifact(session.run, fed, contract, request, names)
    arrays.save(request.outputs["extremes"], given)


def _feeds(path: Path, ports: list[dict[str, Any]]) -> arrays.Arrays:
    loaded = arrays.load(path)
    missing = [port["name"] for port in ports if port["name"] not in loaded]
    if missing:
        raise StepError(
            f"the samples lack the input{'s' * (len(missing) > 1)} "
            f"{', '.join(f'`{name}`' for name in missing)}",
            field="samples",
        )
    return {port["name"]: loaded[port["name"]] for port in ports}


def measure_latency(
    session: Session, feed: Mapping[str, NDArray[Any]], warmup: int, runs: int
) -> dict[str, float | int]:
    """Wall time of one run at the example size.

    Returns:
        `p50` and `p95` in milliseconds, and the number of `runs`.
    """
    for _ in range(warmup):
        session.run(feed)
    seconds: list[float] = []
    started = time.perf_counter()
    for number in range(max(1, runs)):
        if number >= FEWEST_RUNS and time.perf_counter() - started > LATENCY_SECONDS:
            break
        before = time.perf_counter()
        session.run(feed)
        seconds.append(time.perf_counter() - before)
    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    return {"p50": round(float(p50), 6), "p95": round(float(p95), 6), "runs": len(seconds)}


def peak_rss(process: int | str = "self") -> int:
    """The peak resident memory, in bytes, of this process or of a child of its."""
    try:
        # After a fork, ru_maxrss still counts the parent's memory; VmHWM does not.
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # Not Linux.
    whose = resource.RUSAGE_SELF if process == "self" else resource.RUSAGE_CHILDREN
    peak = resource.getrusage(whose).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
