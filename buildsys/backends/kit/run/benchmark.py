"""How fast an artifact is, and what it needs.

It is run in turns with the float artifact, so that a busy machine does not lie about which is faster.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..protocol import arrays, backends
from ..protocol.contract import Contract
from ..protocol.request import Request, StepError
from . import batches, fresh
from .machine import machine_name
from .measurement import Session, feeds_of, median_interval, run_round, times

SECONDS = 120.0
"""Rounds end after so long, when there were `FEWEST_ROUNDS`: a slow model would take hours."""
FEWEST_ROUNDS = 20


def run(request: Request) -> None:
    """Measures an artifact, and how it compares with the float artifact of its format.

    Both are loaded in this process, and run in turns: a round is one of the artifact and one of the float
    artifact, the next round the other way about. Whatever else the machine does meets both, and the ratio
    is that of each round.

    Inputs: `artifact`, `io`, `samples`; maybe `float_artifact` and `float_io`.
    Options: `ports`, `dynamic`, `runtime_module`, `benchmark` (`threads`, `warmup`, `runs`, `batch`,
    `starts`).
    Outputs: `benchmark` (`benchmark.json`).

    Raises:
        StepError: The artifact does not load or run, or takes no such batch.
    """
    settings: Mapping[str, int] = request.options["benchmark"]
    runtime = backends.module(request.options["runtime_module"])
    subjects = [("artifact", "io")]
    if "float_artifact" in request.inputs:
        subjects.append(("float_artifact", "float_io"))
    contracts = [Contract.read(request.inputs[io]) for _, io in subjects]
    fed = [_fed(request, contract, settings["batch"]) for contract in contracts]
    feeds = [feed for feed, _ in fed]
    size = fed[0][1]
    if size != settings["batch"]:
        request.note(
            f"benchmarked with a batch of {size}, to which the format fixes the model, and not of "
            f"{settings['batch']}"
        )
    sessions: list[Session] = []
    try:
        for (name, _), contract in zip(subjects, contracts, strict=True):
            sessions.append(runtime.load(request.inputs[name], contract, settings["threads"]))
        seconds, rounds = _in_turns(sessions, feeds, settings, request)
        told = {"runtime": sessions[0].runtime, "machine": machine_name()}
    finally:
        for session in sessions:
            getattr(session, "close", lambda: None)()
    record = {
        "settings": dict(settings) | {"batch": size},
        **told,
        "latency_ms": latency(seconds[0], rounds[:, 0]),
        "throughput": round(size * len(seconds[0]) / sum(seconds[0]), 3),
        **_started(request, feeds[0], settings),
        "against_float": _against(rounds, seconds[1], fed[1][1] == size) if fed[1:] else None,
    }
    text = json.dumps(record, indent=1, sort_keys=True)
    request.outputs["benchmark"].write_text(text + "\n")


def _fed(request: Request, contract: Contract, batch: int) -> tuple[dict[str, NDArray[Any]], int]:
    """The first samples as one batch, and how many they are: one, of a model that knows no batch."""
    ports = request.options["ports"]
    samples = feeds_of(arrays.load(request.inputs["samples"]), ports)
    plan = batches.plan(ports, contract, request.options["dynamic"])
    if any(samples[name].ndim != len(shape) for name, shape in plan.shapes.items()):
        return batches.example(samples, plan), 1
    symbols = {shape[0] for shape in plan.shapes.values() if isinstance(shape[0], str)}
    for symbol, dim in ((s, d) for port in ports for s, d in port["dims"].items()):
        if symbol in symbols and not dim["min"] <= batch <= dim["max"]:
            raise StepError(
                f"the model takes no batch of {batch}: `{symbol}` goes from {dim['min']} to "
                f"{dim['max']}",
                "give a `batch` within that",
                "benchmark.batch",
            )
    size = batch if symbols else plan.first
    return batches.example(samples, plan, size), size


def _in_turns(
    sessions: Sequence[Session],
    feeds: Sequence[Mapping[str, NDArray[Any]]],
    settings: Mapping[str, int],
    request: Request,
) -> tuple[list[list[float]], NDArray[np.float64]]:
    """Seconds of every run by session, and the median of each round, [rounds, sessions]."""
    for session, feed in zip(sessions, feeds, strict=True):
        for _ in range(settings["warmup"]):
            session.run(feed)
    seconds: list[list[float]] = [[] for _ in sessions]
    rounds: list[list[float]] = []
    order = list(range(len(sessions)))
    began = time.perf_counter()
    for number in range(settings["runs"]):
        if number >= FEWEST_ROUNDS and time.perf_counter() - began > SECONDS:
            request.note(
                f"benchmarked in {number} rounds and not in {settings['runs']}: they took "
                f"{SECONDS:g} seconds"
            )
            break
        medians = [0.0] * len(sessions)
        # Who comes second finds the caches as the other left them: each does as often.
        for index in order if number % 2 == 0 else reversed(order):
            medians[index] = run_round(sessions[index], feeds[index], seconds[index])
        rounds.append(medians)
        request.progress(number + 1, settings["runs"])
    return seconds, np.array(rounds)


def latency(seconds: Sequence[float], rounds: NDArray[np.float64]) -> dict[str, float | int]:
    """The times of one artifact, as `measure.times` tells them."""
    return times(seconds, rounds, (50, 95, 99))


def _against(
    rounds: NDArray[np.float64], seconds: Sequence[float], alike: bool
) -> dict[str, Any] | None:
    """The artifact's time relative to the float artifact's, round by round; `None` for another batch."""
    if not alike:
        return None
    ratios = rounds[:, 0] / rounds[:, 1]
    low, high = median_interval(ratios)
    return {
        "ratio": round(float(np.median(ratios)), 6),
        "low": round(low, 6),
        "high": round(high, 6),
        "rounds": len(ratios),
        "latency_ms": latency(seconds, rounds[:, 1]),
    }


def _started(
    request: Request, feed: Mapping[str, NDArray[Any]], settings: Mapping[str, int]
) -> dict[str, Any]:
    """What fresh processes tell: the medians of their times, and the greatest of their memory."""
    path = request.scratch / "feed.npz"
    arrays.save(path, feed)
    runtime: str = request.options["runtime_module"]
    artifact, io = (Path(request.inputs[name]) for name in ("artifact", "io"))
    found = [
        fresh.start(runtime, artifact, io, path, settings["threads"], request.scratch)
        for _ in range(settings["starts"])
    ]
    taken = {key: [each[f"{key}_ms"] for each in found] for key in ("load", "first_run")}
    totals = [sum(pair) for pair in zip(*taken.values(), strict=True)]
    return {
        "cold_start_ms": {
            **{key: round(float(np.median(values)), 3) for key, values in taken.items()},
            "total": round(float(np.median(totals)), 3),
            "most": round(max(totals), 3),
            "starts": len(found),
        },
        "memory_bytes": {
            "before": max(each["before_bytes"] for each in found),
            "peak": max(each["peak_bytes"] for each in found),
        },
    }
