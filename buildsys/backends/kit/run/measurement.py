"""Runs an artifact on samples as it will be run when shipped: outputs, latency, peak memory."""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..protocol import arrays, backends
from ..protocol.contract import Contract
from ..protocol.request import Request, StepError
from . import batches, edges, extremes
from .machine import machine_name

LATENCY_SECONDS = 20.0
"""A slow model's latency is measured for no longer than this, with five runs at least."""
FEWEST_RUNS = 5
ROUND_SECONDS = 0.002
"""How long each of the rounds takes at least that a latency is measured in."""

PLAIN_SAMPLES = 4
"""Slow kernels run on so many samples: enough to tell what rounding costs."""


class Session(Protocol):
    """An artifact, loaded and ready.

    One that runs it in another process has besides `close()`, which ends that process and is always
    called, and `peak_rss()`, that process's peak memory in bytes. One that has something to say of its
    runs has `notes`, a list of sentences.

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
    in it are not fed), and maybe `sizes` and `edges` (what the original was fed at the extremes, and
    at the edges).
    Options: `ports`, `outputs`, `dynamic`, `runtime_module` (`backend.module`, with
    `load(path, contract, threads)`), `latency` (`warmup`, `runs`; `null` for an evaluator, whose time
    and memory are not those of what artifacts ship to: `run` then has none, and says `evaluated`).
    Outputs: `samples` and maybe `evaluation` (`.npz`: output name to [n, ...]), `run` (`run.json`), and
    maybe `extremes` (see `kit.run.extremes`) and `edge_outputs` (see `kit.run.edges`); of the original also
    `sizes` and `edges`; of an artifact that can be run without its own rounding also `unrounded` and
    `unrounded_edges`, as `samples` and `edge_outputs`; of one whose runtime can leave out its fast kernels
    also `plain`, as the first `PLAIN_SAMPLES` of `samples`, or nothing where it runs with these alone.

    Raises:
        StepError: The artifact does not load, does not take the samples, or its outputs are not
            the recipe's.
    """
    contract = Contract.read(request.inputs["io"])
    runtime = backends.module(request.options["runtime_module"])
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
    feeds = feeds_of(arrays.load(request.inputs["samples"]), options["ports"])
    for key in ("samples", "evaluation"):
        if key not in request.outputs:
            continue
        # An evaluation's data may be more than fits into memory.
        whole = key == "evaluation"
        feed = feeds_of(arrays.mapped(request.inputs[key]), options["ports"]) if whole else feeds
        got = batches.run(session.run, feed, plan, names, request.progress if whole else None)
        arrays.save(request.outputs[key], got.outputs)
        sizes |= got.sizes
    report = {
        "runtime": session.runtime,
        **_cost(session, options["latency"], batches.example(feeds, plan)),
        "threads": request.threads,
        "machine": machine_name(),
        "batch_sizes": sorted(sizes),
    }
    request.outputs["run"].write_text(json.dumps(report, sort_keys=True, indent=1) + "\n")
    _at_edges(session, request, plan, feeds)
    _unrounded(session, request, plan, feeds)
    _plain(session, request, plan, feeds)
    _at_extremes(session, request, contract, feeds)  # Last: the memory is that of usual sizes.
    for sentence in getattr(session, "notes", ()):
        request.note(sentence)


def _cost(
    session: Session, timing: Mapping[str, int] | None, one: Mapping[str, NDArray[Any]]
) -> dict[str, Any]:
    """Time and memory of a run, where they are those of what the artifact ships to."""
    if timing is None:
        return {"latency_ms": None, "peak_rss_bytes": None, "evaluated": True}
    return {
        "latency_ms": measure_latency(session, one, timing["warmup"], timing["runs"]),
        # What runs in a process of its own tells of that one.
        "peak_rss_bytes": getattr(session, "peak_rss", peak_rss)(),
    }


def _at_edges(
    session: Session, request: Request, plan: batches.Plan, samples: arrays.Arrays
) -> None:
    """Runs on zeros and on extreme values: the original chooses which, artifacts follow."""
    if "edge_outputs" not in request.outputs:
        return
    names: list[str] = request.options["outputs"]
    if "edges" in request.outputs:
        fed, given = edges.original(session.run, samples, plan, request, names)
        arrays.save(request.outputs["edges"], fed)
    else:
        given = edges.artifact(session.run, arrays.load(request.inputs["edges"]), plan, names)
    arrays.save(request.outputs["edge_outputs"], given)


def _unrounded(session: Any, request: Request, plan: batches.Plan, samples: arrays.Arrays) -> None:
    """Runs once more with nothing rounded on the way, where that is asked for."""
    if "unrounded" not in request.outputs:
        return
    names: list[str] = request.options["outputs"]
    given = batches.run(session.unrounded, samples, plan, names).outputs
    arrays.save(request.outputs["unrounded"], given)
    fed = arrays.load(request.inputs["edges"])
    at_edges = edges.artifact(session.unrounded, fed, plan, names)
    arrays.save(request.outputs["unrounded_edges"], at_edges)


def _plain(session: Any, request: Request, plan: batches.Plan, samples: arrays.Arrays) -> None:
    """Runs once more without fast kernels, where that is asked for."""
    if "plain" not in request.outputs:
        return
    few = {name: array[:PLAIN_SAMPLES] for name, array in samples.items()}
    given: arrays.Arrays = {}
    try:
        given = batches.run(session.plain, few, plan, request.options["outputs"]).outputs
    except Exception as error:  # The run as it ships stands without it.
        print(f"it does not run without fast kernels: {error}")
    arrays.save(request.outputs["plain"], given)


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


def feeds_of(loaded: arrays.Arrays, ports: list[dict[str, Any]]) -> arrays.Arrays:
    """What a dataset holds for the inputs, without its labels.

    Raises:
        StepError: It lacks an input.
    """
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

    A fast artifact is run again and again in each of the rounds, until that has taken
    `ROUND_SECONDS`: fifty runs of 40 µs would be over before the scheduler turns to somebody else
    once, and tell of that moment alone.

    Args:
        session: What to run.
        feed: What to run it on.
        warmup: How many runs are not timed.
        runs: How many rounds; a slow artifact is run once in each.

    Returns:
        `p50` and `p95` in milliseconds, the number of `runs`, and in milliseconds `low` and `high`,
        between which the median of the rounds lies (see `median_interval`).
    """
    for _ in range(warmup):
        session.run(feed)
    seconds: list[float] = []
    rounds: list[float] = []
    started = time.perf_counter()
    for number in range(max(1, runs)):
        if number >= FEWEST_RUNS and time.perf_counter() - started > LATENCY_SECONDS:
            break
        # Runs of one moment are alike: each round counts once.
        rounds.append(run_round(session, feed, seconds))
    return times(seconds, np.array(rounds), (50, 95))


def run_round(session: Session, feed: Mapping[str, NDArray[Any]], seconds: list[float]) -> float:
    """Runs once, and a fast artifact until `ROUND_SECONDS` are over.

    Args:
        session: What to run.
        feed: What to run it on.
        seconds: Gets the time of each run.

    Returns:
        The median of the round, in seconds.
    """
    first, began = len(seconds), time.perf_counter()
    ended = began
    while len(seconds) == first or ended - began < ROUND_SECONDS:
        before = time.perf_counter()
        session.run(feed)
        ended = time.perf_counter()
        seconds.append(ended - before)
    return float(np.median(seconds[first:]))


def times(
    seconds: Sequence[float], rounds: NDArray[np.float64], percents: Sequence[int]
) -> dict[str, float | int]:
    """Percentiles of all runs in milliseconds, and between which times their median lies.

    Args:
        seconds: Of every run.
        rounds: The medians of the rounds, [rounds], in seconds; see `median_interval`.
        percents: Which percentiles, 50 first.
    """
    found = [float(value) for value in np.percentile(np.array(seconds) * 1000, percents)]
    low, high = median_interval(rounds * 1000)
    return {
        **{f"p{percent}": round(value, 6) for percent, value in zip(percents, found, strict=True)},
        "low": round(min(low, found[0]), 6),
        "high": round(max(high, found[0]), 6),
        "runs": len(seconds),
    }


def median_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Two of the values, between which the median of what they were drawn from lies in 95 of 100 cases.

    The interval of order statistics: it takes nothing for granted of how times are distributed, and
    theirs has a long tail. Source: W. J. Conover, Practical Nonparametric Statistics, 3.2. With five
    values or fewer no two of them are that sure; the least and the greatest are given (five: 93.75 %).

    Args:
        values: [n], one or more.
    """
    ordered = np.sort(values)
    count = len(ordered)
    cut, beyond = 0, 1
    # Of 2^count equally likely draws, `beyond` have at most `cut` values below the median.
    while 2 * 20 * beyond <= 2**count:
        cut += 1
        beyond += math.comb(count, cut)
    return float(ordered[max(0, cut - 1)]), float(ordered[min(count - 1, count - cut)])


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
