"""The actions that run an artifact on the samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from buildsys.backends import base
from buildsys.backends.output import Output
from buildsys.planner.conversion.steps import Artifact
from buildsys.planner.drafts import Draft, DraftInput, DraftOutput
from buildsys.planner.machine import Runner
from buildsys.planner.model import PlannedModel
from buildsys.planner.workers import kit_worker

LATENCY = {"warmup": 5, "runs": 50}
COST = ("latency_ms", "peak_rss_bytes")
"""Outputs that are measured, and so differ from run to run."""
SIZES = Output("sizes", "sizes.npz")
EXTREMES = Output("extremes", "extremes.npz")
EDGES = Output("edges", "edges.npz")
EDGE_OUTPUTS = Output("edge_outputs", "edge_outputs.npz")


@dataclass(frozen=True)
class Subject:
    """An artifact that is run and compared with the original.

    Attributes:
        format: Its format.
        artifact: The artifact.
        options: The format's options, all of them.
        scheme: What it is quantized by, or `None`.
        label: The deployable's label.
    """

    format: base.Format
    artifact: Artifact
    options: Mapping[str, Any]
    scheme: str | None
    label: str


@dataclass(frozen=True)
class RunsOn:
    """Inputs and outputs of a step that runs something on the samples."""

    inputs: dict[str, DraftInput]
    outputs: tuple[Output, ...]


def runs_on(
    samples: DraftOutput,
    evaluation: DraftOutput | None,
    *more: Output,
    sizes: DraftOutput | None = None,
    edges: DraftOutput | None = None,
) -> RunsOn:
    """What every step that runs something takes and gives, and `more` outputs."""
    inputs: dict[str, DraftInput] = {"samples": samples}
    outputs = [
        Output("samples", "samples.npz"),
        Output("run", "run.json", measured=COST),
        EDGE_OUTPUTS,
    ]
    if edges is not None:
        inputs[EDGES.name] = edges
    if evaluation is not None:
        inputs["evaluation"] = evaluation
        outputs.append(Output("evaluation", "evaluation.npz"))
    if sizes is not None:
        inputs[SIZES.name] = sizes
        outputs.append(EXTREMES)
    return RunsOn(inputs, (*outputs, *more))


def run(
    model: PlannedModel,
    format_name: str,
    by: Runner,
    given: Mapping[str, DraftInput],
    on: RunsOn,
    *,
    slot: str,
    dynamic: bool,
) -> Draft:
    """Drafts the action that runs an artifact on the samples and the evaluation's data."""
    backend = model.machine.catalog.backend_of(format_name)
    module = f"{backend.name}.{by.runtime.module}"
    return Draft(
        f"{format_name}.{by.verb}",
        kit_worker(backend, "run.measurement:run_artifact", module),
        slot=slot,
        environment=by.runtime.toolchain,
        inputs={**given, **on.inputs},
        options={
            **model.contract,
            "dynamic": dynamic,
            "runtime_module": module,
            # How long an evaluator takes says nothing of the device.
            "latency": None if by.evaluates else LATENCY,
        },
        outputs=on.outputs,
        origin=model.place,
        resources=by.runtime.resources,
    )
