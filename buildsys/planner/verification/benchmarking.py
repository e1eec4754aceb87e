"""The actions that measure how fast artifacts are, beside the float artifact of their format."""

from __future__ import annotations

from buildsys.backends.output import Output
from buildsys.planner.conversion.steps import Artifact
from buildsys.planner.drafts import Draft, DraftInput, DraftOutput
from buildsys.planner.model import PlannedModel
from buildsys.planner.verification import data
from buildsys.planner.verification.running import Subject
from buildsys.planner.workers import kit_worker
from buildsys.recipe.schema.benchmark import Benchmark

MEASURED = (
    "latency_ms",
    "throughput",
    "cold_start_ms",
    "memory_bytes",
    "against_float",
)
"""Outputs that are measured, and so differ from run to run."""


def benchmark(model: PlannedModel, subject: Subject, beside: Artifact | None) -> DraftOutput | None:
    """Drafts the benchmark of an artifact; `None` where no runtime that artifacts ship to runs here.

    How long an evaluator takes says nothing of a device.

    Args:
        model: The model.
        subject: The artifact.
        beside: The float artifact that it takes turns with; `None` for one that is that itself.
    """
    runtime = subject.format.runtime
    if runtime is None or model.machine.lacks(runtime) is not None or not subject.format.numeric:
        return None
    samples, _ = data.samples(model)
    inputs: dict[str, DraftInput] = {**subject.artifact.inputs, "samples": samples}
    if beside is not None:
        inputs |= {"float_artifact": beside.artifact, "float_io": beside.io}
    backend = model.machine.catalog.backend_of(subject.format.name)
    module = f"{backend.name}.{runtime.module}"
    settings = model.declared.benchmark or Benchmark()
    return Draft(
        f"{subject.format.name}.benchmark",
        kit_worker(backend, "run.benchmark:run", module),
        slot=subject.label,
        environment=runtime.toolchain,
        inputs=inputs,
        options={
            "ports": model.ports,
            "dynamic": subject.format.keeps_sizes(subject.options),
            "runtime_module": module,
            "benchmark": settings.model_dump(mode="json"),
        },
        outputs=(Output("benchmark", "benchmark.json", measured=MEASURED),),
        origin=("models", model.name, "benchmark"),
        resources=runtime.resources,
        timed=True,
    )["benchmark"]
