"""Every intermediate tensor of one run, by step: of an artifact, or of the original model.

What is written is a *recording*: `steps` (`steps.json`) says what was computed from what, `tensors`
(`tensors.npz`) holds the values. Both sides of a comparison write the same, so that what finds the
place where they part (`verify.locating`) knows no format.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..protocol import arrays, backends
from ..protocol.contract import Contract
from ..protocol.request import Request
from ..run import batches

Array = NDArray[Any]

LARGEST = 256 * 2**20
"""Bytes of tensors that a recording keeps; of what comes after, only the steps are known."""

RUNS = 2
"""How often a model is run: tensors that are equal at one input seldom are at another."""

STEPS, TENSORS = "steps", "tensors"


@dataclass(frozen=True)
class Step:
    """One operation.

    Attributes:
        number: Its place in the order in which they run.
        operation: Its type in the format's own words: `Conv`, `CONV_2D`, `aten::convolution`.
        name: Its own name, or its first output's.
        inputs: Values that it takes and that are computed, by name.
        outputs: Values that it gives.
        weights: Names of the constants and parameters that it takes.
        numbers: Numbers that it is given besides, where they are known.
        module: The path of the module that it stands in (`encoder.layer.0`), where it is known;
            empty for the model itself.
        file: The user's source file, relative to the project where it lies inside.
        line: Its line, from 1.
        text: What stands there.
    """

    number: int
    operation: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()
    module: str | None = None
    file: str | None = None
    line: int | None = None
    text: str | None = None


@dataclass(frozen=True)
class Seen:
    """One run.

    Attributes:
        steps: What was done, in order.
        values: What is known of the tensors, by name; inputs of the graph as well.
        outputs: The recipe's outputs in the model's layout.
        exact: The same tensors where nothing but weights was rounded, where the probe can tell.
        unrounded: The largest magnitude before it was rounded, of values that overflowed by that.
    """

    steps: Sequence[Step]
    values: Mapping[str, Array]
    outputs: Mapping[str, Array]
    exact: Mapping[str, Array] = field(default_factory=dict)
    unrounded: Mapping[str, float] = field(default_factory=dict)


class Probe(Protocol):
    """An artifact, loaded to be looked into.

    Attributes:
        runtime: Name and version of what runs it, and how.
        inputs: The recipe's input names to the names of the graph's values.
        outputs: The recipe's output names to the names of the graph's values.
    """

    runtime: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    def run(self, feed: Mapping[str, Array]) -> Seen:
        """Runs once, on the recipe's inputs in the model's layout."""
        ...


@dataclass(frozen=True)
class Recording:
    """What was seen over all runs.

    Attributes:
        runtime: What ran it.
        steps: What was done, in order.
        inputs: The recipe's input names to values.
        outputs: The recipe's output names to values, where an output is a value of the graph.
        values: Tensors by name, [runs, ...]; those beyond `LARGEST` are missing.
        exact: The same without rounding, where it is known.
        given: The recipe's outputs in the model's layout, [runs, ...].
        shipped: The same from the runtime that judges the artifact, where there is one.
        unrounded: The largest magnitude before it was rounded, of values that overflowed by that.
        notes: What the reader of a comparison should know.
    """

    runtime: str
    steps: Sequence[Step]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    values: Mapping[str, Array]
    exact: Mapping[str, Array]
    given: Mapping[str, Array]
    shipped: Mapping[str, Array] = field(default_factory=dict)
    unrounded: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()


def probe_artifact(request: Request) -> None:
    """Runs an artifact and writes every tensor that its graph computes.

    Inputs: `artifact`, `io`, `samples` (`.npz`, input name to [n, ...]).
    Options: `ports`, `outputs`, `probe_module` (`backend.module`, with `load(path, contract, threads)`
    giving a `Probe`), `runtime_module` (as for `kit.run.measurement`) or `null`.
    Outputs: `steps`, `tensors`.

    Raises:
        StepError: It does not load, or does not take the samples.
    """
    contract = Contract.read(request.inputs["io"])
    module = backends.module(request.options["probe_module"])
    probe: Probe = module.load(request.inputs["artifact"], contract, request.threads)
    feeds = list(runs(request))
    shipped: list[Mapping[str, Array]] = []
    if request.options["runtime_module"] is not None:
        runtime = backends.module(request.options["runtime_module"])
        session = runtime.load(request.inputs["artifact"], contract, request.threads)
        try:
            shipped = [session.run(feed) for feed in feeds]
        finally:
            getattr(session, "close", lambda: None)()
    write(request, record(probe.runtime, probe.inputs, probe.outputs, probe.run, feeds, shipped))


def runs(request: Request) -> Iterable[dict[str, Array]]:
    """The feeds: the samples at the example's sizes, `RUNS` times where there are as many."""
    ports = request.options["ports"]
    plan = batches.plan(ports, None, dynamic=False)
    loaded = arrays.load(request.inputs["samples"])
    feeds = {port["name"]: loaded[port["name"]] for port in ports}
    whole = all(feeds[name].ndim == len(plan.shapes[name]) for name in feeds)
    size = plan.first if whole else 1
    count = len(next(iter(feeds.values()))) if feeds else 0
    for start in range(0, max(1, min(count, RUNS * size)), size):
        yield batches.example({n: f[start : start + size] for n, f in feeds.items()}, plan)


def record(
    runtime: str,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    run: Callable[[Mapping[str, Array]], Seen],
    feeds: Sequence[Mapping[str, Array]],
    shipped: Sequence[Mapping[str, Array]] = (),
) -> Recording:
    """Runs on each feed and puts the runs together.

    A model whose operations differ from run to run is recorded at the first input alone.
    """
    notes: list[str] = []
    seen: list[Seen] = []
    for feed in feeds:
        now = run(feed)
        if seen and [_shape(s) for s in now.steps] != [_shape(s) for s in seen[0].steps]:
            notes.append("its operations depend on the input: one input was looked at")
            break
        seen.append(now)
    first = seen[0]
    room = [LARGEST]
    values = _joined([s.values for s in seen], room)
    missing = len(first.values) - len(values)
    exact = _joined([s.exact for s in seen], [LARGEST]) if first.exact else {}
    if missing and room[0] <= 0:
        notes.append(
            f"{missing} of {len(first.values)} tensors are beyond {LARGEST // 2**20} MiB in all: "
            "they were not kept"
        )
    return Recording(
        runtime,
        first.steps,
        inputs,
        outputs,
        values,
        exact,
        _joined([s.outputs for s in seen], [1 << 62]),
        _joined(list(shipped)[: len(seen)], [1 << 62]) if shipped else {},
        {
            name: max(one.unrounded[name] for one in seen if name in one.unrounded)
            for name in {name for one in seen for name in one.unrounded}
        },
        notes,
    )


def write(request: Request, recording: Recording) -> None:
    """Writes `steps` and `tensors`."""
    tensors: dict[str, Array] = {}
    tables: dict[str, dict[str, str]] = {}
    for table in ("values", "exact", "given", "shipped"):
        tables[table] = {}
        for name, array in getattr(recording, table).items():
            key = f"{table}{len(tables[table])}"  # Names of values may hold what a file's cannot.
            tables[table][name] = key
            tensors[key] = array
    arrays.save(request.outputs[TENSORS], tensors)
    told = {
        "runtime": recording.runtime,
        "steps": [asdict(step) for step in recording.steps],
        "inputs": dict(recording.inputs),
        "outputs": dict(recording.outputs),
        "unrounded": dict(sorted(recording.unrounded.items())),
        "notes": list(recording.notes),
        "tensors": tables,
    }
    text = json.dumps(told, indent=1, ensure_ascii=False)
    request.outputs[STEPS].write_text(text + "\n", encoding="utf-8")


def read(steps: Path, tensors: Path) -> Recording:
    """Reads what `write` wrote."""
    told = json.loads(steps.read_text(encoding="utf-8"))
    loaded = arrays.load(tensors)
    tables = {
        table: {name: loaded[key] for name, key in keys.items()}
        for table, keys in told["tensors"].items()
    }
    known = []
    for step in told["steps"]:
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in step.items()
        }
        known.append(Step(**fields))
    return Recording(
        told["runtime"],
        known,
        told["inputs"],
        told["outputs"],
        unrounded=told["unrounded"],
        notes=told["notes"],
        **tables,
    )


def _shape(step: Step) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    return step.operation, step.inputs, step.outputs


def _joined(seen: Sequence[Mapping[str, Array]], room: list[int]) -> dict[str, Array]:
    """Tensors of all runs, [runs, ...], as long as there is room; of equal shapes only."""
    joined = {}
    for name, array in seen[0].items():
        every = [one[name] for one in seen if name in one]
        if len(every) < len(seen) or any(one.shape != array.shape for one in every):
            continue
        room[0] -= sum(one.nbytes for one in every)
        if room[0] > 0:
            joined[name] = np.stack(every)
    return joined
