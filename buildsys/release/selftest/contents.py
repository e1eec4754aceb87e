"""What a bundle carries so that its artifacts can be run, and judged, where nothing of ours is installed."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.contract import Contract, Port
from buildsys.backends.kit.run import batches
from buildsys.bounds import TABLE
from buildsys.engine import building
from buildsys.engine.listener import Listener, ignore
from buildsys.engine.outcome.verdicts import Verdict, limits_of
from buildsys.engine.results import Build
from buildsys.engine.run import Settings
from buildsys.engine.session import Session
from buildsys.planner.graph import Action, ActionGraph, Deployable, OutputRef
from buildsys.release.bundle import BundleError
from buildsys.verify.outputs.metrics import variation

VERSION = 1
SCRIPT = "selftest.py"
FOLDER = "selftest"
CASES = f"{FOLDER}/cases.json"
MOST_SAMPLES = 32
MOST_BYTES = 16 * 2**20
"""Of the inputs and the outputs of one artifact; two samples are carried whatever they weigh."""
FEWEST = 2
BOUNDS = tuple(bound.name for bound in TABLE if bound.scope == "output" and bound.by_outputs)
"""The bounds that the script judges: those that outputs and the original's outputs are enough for."""
MEASURING = ("verify.measure", "verify.original")
"""The rules whose actions are given the original's outputs."""


@dataclass(frozen=True)
class Reference:
    """Where the original's inputs and outputs come from."""

    samples: OutputRef
    outputs: OutputRef


def references(graph: ActionGraph, target: str) -> dict[str, Reference]:
    """By label of a target's deployables, what they are compared with; of packages around others too.

    What computes no outputs has none.
    """
    found = {}
    for deployable in graph.deployables:
        action = _measuring(graph, deployable) if deployable.target == target else None
        if action is None:
            continue
        outputs = action.inputs["reference"]
        assert isinstance(outputs, OutputRef)
        samples = graph.actions[outputs.action].inputs["samples"]
        assert isinstance(samples, OutputRef)
        found[deployable.label] = Reference(samples, outputs)
    return found


def _measuring(graph: ActionGraph, deployable: Deployable) -> Action | None:
    if deployable.evidence.measurement is not None:
        return graph.actions[deployable.evidence.measurement.action]
    actions = (graph.actions[name] for name in deployable.actions)
    return next((action for action in actions if action.rule in MEASURING), None)


def contents(
    session: Session,
    build: Build,
    target: str,
    files: Mapping[str, list[str]],
    *,
    settings: Settings | None = None,
    listener: Listener = ignore,
) -> dict[str, bytes]:
    """The files of a self-test, path in the bundle to bytes.

    Args:
        session: The store; inputs that were collected from it are made again.
        build: A finished build.
        target: The target.
        files: By label, the artifact's paths in the bundle.
        settings: How to run.
        listener: Receives the build's events.

    Raises:
        BundleError: What was collected could not be made again.
    """
    found = references(build.graph, target)
    refs = (ref for each in found.values() for ref in (each.samples, each.outputs))
    wanted = tuple(dict.fromkeys(refs))
    graph = replace(build.graph, wanted=wanted)
    project = session.project(build.folder)
    engine = session.engine
    run, read = engine.mended(
        lambda: building.give(engine, graph, project, settings or Settings(), listener),
        lambda _: None,
    )
    for ref in wanted:
        if ref not in read:
            failed = run.failures.get(ref.action)
            reason = failed.message if failed else run.skipped.get(ref.action, "it was not reached")
            raise BundleError(
                f"what the self-test carries could not be made again: {ref.action}: {reason}",
                failed.hint if failed else None,
            )
    made: dict[str, bytes] = {SCRIPT: Path(__file__).with_name("script.py").read_bytes()}
    cases = []
    for verdict in build.verdicts:
        label = verdict.deployable.label
        if label not in files or label not in found or verdict.io is None:
            continue
        inputs, outputs = (
            _arrays(read[ref]) for ref in (found[label].samples, found[label].outputs)
        )
        case, carried = _case(build.graph, verdict, files[label], inputs, outputs)
        cases.append(case)
        made |= carried
    record = {"version": VERSION, "cases": cases}
    made[CASES] = (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()
    return made


def _arrays(data: bytes) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _case(
    graph: ActionGraph,
    verdict: Verdict,
    files: list[str],
    inputs: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, NDArray[Any]],
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """An artifact's entry, and the arrays that it names."""
    label = verdict.deployable.label
    contract = Contract(
        [Port(**port) for port in (verdict.io or {})["inputs"]],
        [Port(**port) for port in (verdict.io or {})["outputs"]],
    )
    fed = {port.name: inputs[port.name] for port in contract.inputs}
    ports = _ports(graph, verdict.deployable)
    plan = batches.plan(ports, contract, dynamic=True)
    batched = {name: array.ndim == len(plan.shapes[name]) for name, array in fed.items()}
    total = len(next(iter(outputs.values())))
    count = _fitting(total, [*fed.values(), *outputs.values()])
    paths = {name: f"{FOLDER}/{label}/{name}.npz" for name in ("inputs", "expected")}
    carried = {
        paths["inputs"]: arrays_file({n: a[:count] for n, a in fed.items()}),
        paths["expected"]: arrays_file({n: a[:count] for n, a in outputs.items()}),
    }
    case = {
        "label": label,
        "format": verdict.deployable.format,
        # A folder's files all lie below its own name.
        "path": files[0].partition("/")[0],
        "inputs_file": paths["inputs"],
        "expected_file": paths["expected"],
        "samples": count,
        "samples_of_the_build": total,
        "batch": plan.first if all(batched.values()) else 1,
        "inputs": [
            {
                **_port(port),
                "batched": batched[port.name],
            }
            for port in contract.inputs
        ],
        "outputs": [
            {
                **_port(port),
                "labels": port.labels,
                "variation": variation(outputs[port.name]),
                "bounds": _bounds(verdict, port.name),
            }
            for port in contract.outputs
            if port.name in outputs
        ],
    }
    return case, carried


def _port(port: Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "artifact_name": port.artifact_name or port.name,
        "dtype": port.dtype,
        "permutation": port.permutation,
        "kind": port.kind,
    }


def _ports(graph: ActionGraph, deployable: Deployable) -> list[dict[str, Any]]:
    """The model's inputs, in the form that steps receive them."""
    for name in deployable.actions:
        options = graph.actions[name].options
        if "ports" in options:
            ports: list[dict[str, Any]] = options["ports"]
            return ports
    raise ValueError(f"no step of {deployable.label} is given the model's inputs")


def _fitting(total: int, held: list[NDArray[Any]]) -> int:
    """How many of the samples are carried."""
    weight = sum(array.nbytes for array in held) / max(1, total)
    most = min(MOST_SAMPLES, int(MOST_BYTES / weight) if weight else total)
    return min(total, max(FEWEST, most))


def _bounds(verdict: Verdict, output: str) -> dict[str, float]:
    """The limits that an output is held to: those it was judged by, or would be where something ran it."""
    judged = {
        gate.bound: gate.limit
        for gate in verdict.gates
        if gate.output == output and gate.bound in BOUNDS
    }
    if judged:
        return judged
    limits = limits_of(verdict.deployable)
    found = {bound: limits.of(output, bound) for bound in BOUNDS}
    return {bound: limit for bound, limit in found.items() if limit is not None}


def arrays_file(found: Mapping[str, NDArray[Any]]) -> bytes:
    """An `.npz` with equal bytes for equal arrays."""
    buffer = io.BytesIO()
    arrays.save(buffer, found)
    return buffer.getvalue()
