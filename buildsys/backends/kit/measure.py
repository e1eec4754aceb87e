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

from . import arrays, batches
from .contract import Contract
from .request import Request, StepError

LATENCY_SECONDS = 20.0
"""A slow model's latency is measured for no longer than this, with five runs at least."""
FEWEST_RUNS = 5


class Session(Protocol):
    """An artifact, loaded and ready.

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
    in it are not fed). Options: `ports`, `outputs`, `dynamic`, `runtime_module` (`backend.module`,
    with `load(path, contract, threads)`), `latency` (`warmup`, `runs`).
    Outputs: `samples` and maybe `evaluation` (`.npz`: output name to [n, ...]), `run` (`run.json`).

    Raises:
        StepError: The artifact does not load, does not take the samples, or its outputs are not
            the recipe's.
    """
    contract = Contract.read(request.inputs["io"])
    runtime = importlib.import_module(f"..{request.options['runtime_module']}", __package__)
    session: Session = runtime.load(request.inputs["artifact"], contract, request.threads)
    record(session, request, contract)


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
        "peak_rss_bytes": peak_rss(),
        "threads": request.threads,
        "batch_sizes": sorted(sizes),
    }
    request.outputs["run"].write_text(json.dumps(report, sort_keys=True, indent=1) + "\n")


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


def peak_rss() -> int:
    """The process's peak resident memory in bytes."""
    try:
        # After a fork, ru_maxrss still counts the parent's memory; VmHWM does not.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # Not Linux.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
