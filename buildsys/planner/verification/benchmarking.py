"""The actions that measure how fast artifacts are, beside the float artifact of their format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from buildsys.backends import base
from buildsys.planner.builder import GraphBuilder, kit_worker
from buildsys.planner.conversion.steps import ARTIFACT, IO, Artifact
from buildsys.planner.graph import Input, OutputRef
from buildsys.planner.source import ModelSource
from buildsys.planner.verification import data
from buildsys.recipe import Recipe
from buildsys.recipe.schema.benchmark import Benchmark

MEASURED = (
    "latency_ms",
    "throughput",
    "cold_start_ms",
    "memory_bytes",
    "against_float",
)
"""What is measured anew with each run, and never the same."""


def benchmark(
    builder: GraphBuilder,
    recipe: Recipe,
    source: ModelSource,
    format_name: str,
    made: Artifact,
    beside: Artifact | None,
    label: str,
    options: Mapping[str, Any],
) -> OutputRef | None:
    """Adds the benchmark of an artifact; `None` where no runtime that artifacts ship to runs here.

    How long an evaluator takes says nothing of a device.

    Args:
        builder: The graph.
        recipe: The recipe.
        source: The model.
        format_name: The artifact's format.
        made: The artifact.
        beside: The float artifact that it takes turns with; `None` for one that is that itself.
        label: Of the deployable.
        options: The format's.
    """
    declared = builder.catalog.formats[format_name]
    runtime = declared.runtime
    if runtime is None or builder.cannot_run(runtime) is not None or not declared.numeric:
        return None
    samples, _ = data.samples(builder, recipe, source)
    inputs: dict[str, Input] = {ARTIFACT: made.artifact, IO: made.io, "samples": samples}
    if beside is not None:
        inputs |= {"float_artifact": beside.artifact, "float_io": beside.io}
    backend = builder.catalog.backend_of(format_name)
    module = f"{backend.name}.{runtime.module}"
    settings: Benchmark = source.model.benchmark or Benchmark()
    action = builder.add(
        f"{format_name}.benchmark",
        kit_worker(backend, "run.benchmark:run", module),
        environment=runtime.toolchain,
        inputs=inputs,
        options={
            "ports": source.ports,
            "dynamic": declared.keeps_sizes(options),
            "runtime_module": module,
            "benchmark": settings.model_dump(mode="json"),
        },
        outputs=(base.Output("benchmark", "benchmark.json", measured=MEASURED),),
        origin=("models", source.name, "benchmark"),
        slot=label,
        resources=runtime.resources,
    )
    return OutputRef(action, "benchmark")
