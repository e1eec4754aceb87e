"""The actions that run an artifact and the original model, and turn their outputs into figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from buildsys.backends import base
from buildsys.planner import data
from buildsys.planner.builder import GraphBuilder, host_worker, kit_worker, rule_worker
from buildsys.planner.conversion import ARTIFACT, IO, Artifact, Goal, follow
from buildsys.planner.graph import Input, OutputRef
from buildsys.planner.routes import cheapest
from buildsys.planner.source import ModelSource
from buildsys.recipe import Recipe

LATENCY = {"warmup": 5, "runs": 50}
SIZES = base.Output("sizes", "sizes.npz")
EXTREMES = base.Output("extremes", "extremes.npz")
RunsOn = tuple[dict[str, Input], tuple[base.Output, ...]]
"""Inputs and outputs of a step that runs something."""


@dataclass(frozen=True)
class Reference:
    """What artifacts are compared with.

    Attributes:
        samples: The inputs.
        outputs: The original's outputs for them.
        evaluation: The evaluation's data, or `None` without an evaluation.
        evaluated: The original's outputs for that.
        sizes: What the original was fed at the smallest and the largest sizes, or `None` where no
            size varies.
        extremes: Its outputs for that.
    """

    samples: OutputRef
    outputs: OutputRef
    evaluation: OutputRef | None
    evaluated: OutputRef | None
    sizes: OutputRef | None = None
    extremes: OutputRef | None = None


def measure(
    builder: GraphBuilder,
    recipe: Recipe,
    source: ModelSource,
    format_name: str,
    made: Artifact,
    label: str,
    options: Mapping[str, Any],
) -> OutputRef | None:
    """Adds what measures an artifact; gives its figures, or `None` where there can be none.

    There are none where nothing runs the format, and none of what computes no outputs.
    """
    declared = builder.catalog.formats[format_name]
    if declared.runtime is None or not declared.numeric or builder.cannot_run(declared.runtime):
        return None
    reference = reference_of(builder, recipe, source)
    keeps = declared.keeps_sizes(options)
    sizes = reference.sizes if keeps else None
    inputs_outputs = _runs_on(reference.samples, reference.evaluation, sizes)
    run = _run(builder, source, format_name, made, inputs_outputs, label, keeps)
    inputs: dict[str, Input] = {
        "got": OutputRef(run, "samples"),
        "reference": reference.outputs,
        "run": OutputRef(run, "run"),
    }
    if sizes is not None and reference.extremes is not None:
        inputs["got_extremes"] = OutputRef(run, "extremes")
        inputs["reference_extremes"] = reference.extremes
    metric: str | None = None
    if reference.evaluation is not None and reference.evaluated is not None:
        inputs["got_evaluation"] = OutputRef(run, "evaluation")
        inputs["reference_evaluation"] = reference.evaluated
        inputs["evaluation"] = reference.evaluation
        metric = source.metric
        if source.metric_function is not None:
            inputs["metric"] = data.metric(builder, source, inputs, label)
    action = builder.add(
        "verify.measure",
        host_worker("buildsys.verify.measurement:measure"),
        environment=None,
        inputs=inputs,
        options={"outputs": source.outputs, "metric": metric},
        outputs=(base.Output("measurement", "measurement.json"),),
        origin=("models", source.name, "samples"),
        slot=label,
    )
    return OutputRef(action, "measurement")


def check(
    builder: GraphBuilder, source: ModelSource, format_name: str, made: Artifact, label: str
) -> OutputRef | None:
    """Adds the check of a package around another artifact; `None` where the format has none."""
    declared = builder.catalog.formats[format_name]
    if declared.check is None or made.taken is None:
        return None
    inputs: dict[str, Input] = {
        ARTIFACT: made.artifact,
        IO: made.io,
        "contained": made.taken.artifact,
    }
    action = builder.add(
        f"{format_name}.check",
        rule_worker(builder.catalog.backend_of(format_name), function=declared.check.worker),
        environment=declared.check.toolchain,
        inputs=inputs,
        options={"ports": source.ports},
        outputs=(base.Output("check", "check.json"),),
        slot=label,
    )
    return OutputRef(action, "check")


def check_original(builder: GraphBuilder, recipe: Recipe, source: ModelSource) -> OutputRef:
    """Adds the check that the original runs, gives numbers, and answers to its inputs.

    It stands in for a measurement where nothing runs the artifact: what a dead or a broken model is
    converted to must not go out as merely unverified.
    """
    reference = reference_of(builder, recipe, source)
    action = builder.add(
        "verify.original",
        host_worker("buildsys.verify.measurement:check_original"),
        environment=None,
        inputs={"reference": reference.outputs},
        options={"outputs": source.outputs},
        outputs=(base.Output("original", "original.json"),),
        origin=("models", source.name, "samples"),
        slot=source.name,
    )
    return OutputRef(action, "original")


def reference_of(builder: GraphBuilder, recipe: Recipe, source: ModelSource) -> Reference:
    """Runs the original itself, not its capture: an error of capturing would be on both sides."""
    samples, evaluation = data.samples(builder, recipe, source)
    inputs, outputs = _runs_on(samples, evaluation)
    varies = bool(base.varying(source.ports))
    if varies:
        outputs = (*outputs, SIZES, EXTREMES)
    if source.state == "source:factory":
        action = builder.add(
            "torch.reference",
            rule_worker(builder.catalog.backend_of("torchscript"), function="worker:reference"),
            environment=source.environment,
            inputs=source.files | inputs,
            options={
                "ports": source.ports,
                "outputs": source.outputs,
                "source": source.declaration,
                "latency": LATENCY,
            },
            outputs=outputs,
            user_code=True,
            origin=source.place,
            slot=source.name,
        )
    else:
        # The original is the file itself, in its own runtime.
        kind = source.state.removeprefix("source:")
        steps = cheapest(builder.catalog, source.state, source.method, (kind, None))
        goal = Goal(kind, builder.defaults(kind), source.name, source.place)
        original = follow(builder, recipe, source, steps, goal)
        action = _run(builder, source, kind, original, (inputs, outputs), source.name, True)
    evaluated = OutputRef(action, "evaluation") if evaluation is not None else None
    return Reference(
        samples,
        OutputRef(action, "samples"),
        evaluation,
        evaluated,
        OutputRef(action, SIZES.name) if varies else None,
        OutputRef(action, EXTREMES.name) if varies else None,
    )


def _runs_on(
    samples: OutputRef, evaluation: OutputRef | None, sizes: OutputRef | None = None
) -> RunsOn:
    """Inputs and outputs of every step that runs something on the samples."""
    inputs: dict[str, Input] = {"samples": samples}
    outputs = [base.Output("samples", "samples.npz"), base.Output("run", "run.json")]
    if evaluation is not None:
        inputs["evaluation"] = evaluation
        outputs.append(base.Output("evaluation", "evaluation.npz"))
    if sizes is not None:
        inputs[SIZES.name] = sizes
        outputs.append(EXTREMES)
    return inputs, tuple(outputs)


def _run(
    builder: GraphBuilder,
    source: ModelSource,
    format_name: str,
    made: Artifact,
    runs_on: RunsOn,
    slot: str,
    dynamic: bool,
) -> str:
    """Adds the action that runs an artifact on the samples and the evaluation's data."""
    declared = builder.catalog.formats[format_name]
    if declared.runtime is None:
        raise ValueError(f"{format_name} has no runtime")
    backend = builder.catalog.backend_of(format_name)
    inputs, outputs = runs_on
    return builder.add(
        f"{format_name}.run",
        kit_worker(backend, "measure:run_artifact"),
        environment=declared.runtime.toolchain,
        inputs={ARTIFACT: made.artifact, IO: made.io, **inputs},
        options={
            "ports": source.ports,
            "outputs": source.outputs,
            "dynamic": dynamic,
            "runtime_module": f"{backend.name}.{declared.runtime.module}",
            "latency": LATENCY,
        },
        outputs=outputs,
        origin=source.place,
        slot=slot,
        resources=declared.runtime.resources,
    )
