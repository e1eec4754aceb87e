"""The actions that run the original model: what artifacts are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from buildsys.backends import base
from buildsys.backends.output import Output
from buildsys.planner.conversion.routes import cheapest
from buildsys.planner.conversion.steps import ARTIFACT, IO, Artifact, Goal, follow
from buildsys.planner.drafts import Draft, DraftInput, DraftOutput
from buildsys.planner.machine import Runner
from buildsys.planner.model import PlannedModel
from buildsys.planner.verification import data
from buildsys.planner.verification.running import (
    EDGE_OUTPUTS,
    EDGES,
    EXTREMES,
    LATENCY,
    SIZES,
    run,
    runs_on,
)
from buildsys.planner.workers import host_worker, rule_worker

HELD = Output("held", "held.npz")
TOLD = Output("told", "told.json")


@dataclass(frozen=True)
class Reference:
    """What artifacts are compared with.

    Attributes:
        samples: The inputs.
        outputs: The original's outputs for them.
        evaluation: The evaluation's data, or `None` without an evaluation.
        evaluated: The original's outputs for that; of a model with transforms, those of what it was
            before them: what they cost counts.
        transformed: The outputs for that of a model with transforms, once they are done.
        sizes: What the original was fed at the smallest and the largest sizes, or `None` where no
            size varies.
        extremes: Its outputs for that.
        edges: What the original was fed at the edges (see `kit.run.edges`).
        edge_outputs: Its outputs for that.
    """

    samples: DraftOutput
    outputs: DraftOutput
    edges: DraftOutput
    edge_outputs: DraftOutput
    evaluation: DraftOutput | None
    evaluated: DraftOutput | None
    sizes: DraftOutput | None = None
    extremes: DraftOutput | None = None
    transformed: DraftOutput | None = None


def reference_of(model: PlannedModel) -> Reference:
    """Runs the original itself, not its capture: an error of capturing would be on both sides."""
    return model.once(_reference)


def _reference(model: PlannedModel) -> Reference:
    samples, evaluation = data.samples(model)
    varies = bool(base.varying(model.ports))
    of_sizes = (SIZES, EXTREMES) if varies else ()
    on = runs_on(samples, evaluation, *of_sizes, EDGES)
    framework = model.framework
    if framework.reference is not None:
        draft = Draft(
            f"{framework.name}.reference",
            rule_worker(model.backend, function=framework.reference),
            slot=model.name,
            environment=model.environment,
            inputs=model.files | on.inputs,
            options={**model.contract_and_source, "latency": LATENCY},
            outputs=on.outputs,
            user_code=framework.code,
            origin=model.place,
        )
    else:
        # The original is the file itself, in its own runtime.
        given = as_given(model)
        draft = run(model, model.kind, _witness(model), given, on, slot=model.name, dynamic=True)
    evaluated = draft["evaluation"] if evaluation is not None else None
    transformed = None
    if evaluated is not None and model.original is not None:
        transformed, evaluated = evaluated, reference_of(model.original).evaluated
    return Reference(
        samples,
        draft["samples"],
        draft[EDGES.name],
        draft[EDGE_OUTPUTS.name],
        evaluation,
        evaluated,
        draft[SIZES.name] if varies else None,
        draft[EXTREMES.name] if varies else None,
        transformed,
    )


def check_original(model: PlannedModel) -> DraftOutput:
    """Drafts the check that the original runs, gives numbers, and answers to its inputs.

    It stands in for a measurement where nothing runs the artifact: what a dead or a broken model is
    converted to must not go out as merely unverified.
    """
    return Draft(
        "verify.original",
        host_worker("buildsys.verify.outputs.measurement:check_original"),
        slot=model.name,
        environment=None,
        inputs={"reference": reference_of(model).outputs},
        options={"outputs": model.outputs},
        outputs=(Output("original", "original.json"),),
        origin=("models", model.name, "samples"),
    )["original"]


def floor_of(model: PlannedModel) -> DraftOutput:
    """What the model's own precision costs it; drafted once for all of its artifacts."""
    return model.once(_floor)


def _floor(model: PlannedModel) -> DraftOutput:
    inputs, environment = _itself(model)
    framework = model.framework
    return Draft(
        f"{framework.name}.floor",
        rule_worker(model.backend, function=framework.floor),
        slot=model.name,
        environment=environment,
        inputs={**inputs, "samples": reference_of(model).samples},
        options=model.contract_and_source,
        outputs=(Output("floor", "floor.json"),),
        user_code=framework.code,
        origin=model.place,
    )["floor"]


def rounded(model: PlannedModel, weights: DraftOutput, label: str) -> dict[str, DraftInput]:
    """Drafts the run of the original with an artifact's weights; gives what it gave."""
    inputs, environment = _itself(model)
    framework, reference = model.framework, reference_of(model)
    draft = Draft(
        f"{framework.name}.rounded",
        rule_worker(model.backend, function=framework.rounded),
        slot=label,
        environment=environment,
        inputs={
            **inputs,
            "samples": reference.samples,
            EDGES.name: reference.edges,
            HELD.name: weights.draft[HELD.name],
        },
        options=model.contract_and_source,
        outputs=(Output("samples", "samples.npz"), EDGE_OUTPUTS, TOLD),
        user_code=framework.code,
        origin=model.place,
    )
    return {
        "graph_reference": draft["samples"],
        "graph_reference_edges": draft[EDGE_OUTPUTS.name],
        "graph_told": draft[TOLD.name],
    }


def _itself(model: PlannedModel) -> tuple[Mapping[str, DraftInput], str | None]:
    """What the original is made of, and where it is run."""
    if model.framework.code:
        return model.files, model.environment
    by = model.machine.runner(model.machine.catalog.formats[model.kind])
    if by is None:
        raise ValueError(f"nothing runs {model.kind}")
    return as_given(model), by.runtime.toolchain


def _witness(model: PlannedModel) -> Runner:
    """What runs an original that is a file."""
    declared = model.machine.catalog.formats[model.kind]
    by = model.machine.runner(declared)
    if by is None:
        raise ValueError(f"nothing runs {model.kind}")
    return by if declared.original is None else Runner(declared.original, evaluates=False)


def as_given(model: PlannedModel) -> dict[str, DraftInput]:
    """The original's own file where something runs it: what was made of that is no witness for itself."""
    artifact = original_file(model)
    own = model.machine.catalog.formats[model.kind].original is not None
    return {ARTIFACT: model.files["source"] if own else artifact.artifact, IO: artifact.io}


def original_file(model: PlannedModel) -> Artifact:
    """An original that is a file, as it is run; its format is the model's kind."""
    return model.once(_file)


def _file(model: PlannedModel) -> Artifact:
    catalog = model.machine.catalog
    steps = cheapest(catalog, model.state, model.method, (model.kind, None))
    options = catalog.default_options(model.kind)
    return follow(model, steps, Goal(model.kind, options, model.name, model.place))
