"""The actions that turn the outputs of an artifact and of the original into figures."""

from __future__ import annotations

from typing import Any

from buildsys.backends import base
from buildsys.backends.output import Output
from buildsys.planner.drafts import Draft, DraftInput, DraftOutput
from buildsys.planner.model import PlannedModel
from buildsys.planner.verification import data
from buildsys.planner.verification.original import Reference, floor_of, reference_of, rounded
from buildsys.planner.verification.running import COST, EDGE_OUTPUTS, Subject, run, runs_on
from buildsys.planner.verification.weights import compare_weights
from buildsys.planner.workers import host_worker

UNROUNDED = (
    Output("unrounded", "unrounded.npz"),
    Output("unrounded_edges", "unrounded_edges.npz"),
)
PLAIN = Output("plain", "plain.npz")
ROUNDED_WEIGHTS = "float16"
"""The scheme of artifacts that may be the model with rounded weights, and nothing but that."""


def measure(model: PlannedModel, subject: Subject) -> DraftOutput | None:
    """Drafts what measures an artifact; gives its figures, or `None` where there can be none.

    For rounded weights, also measures the graph's error separately: against the original with the same
    rounded weights.

    There are none where nothing runs the format, and none of what computes no outputs. They say what the
    model's own precision costs it whatever the bounds are: an edited bound must measure nothing.
    """
    by = model.machine.runner(subject.format)
    if by is None or not subject.format.numeric:
        return None
    reference = reference_of(model)
    isolates = _isolates(subject, unrounded=by.runtime.unrounded)
    unrounded = isolates and by.runtime.unrounded
    fast = by.runtime.fast_kernels if subject.scheme is None else ""
    keeps = subject.format.keeps_sizes(subject.options)
    on = runs_on(
        reference.samples,
        reference.evaluation,
        *(UNROUNDED if unrounded else ()),
        *((PLAIN,) if fast else ()),
        sizes=reference.sizes if keeps else None,
        edges=reference.edges,
    )
    ran = run(
        model,
        subject.format.name,
        by,
        subject.artifact.inputs,
        on,
        slot=subject.label,
        dynamic=keeps,
    )
    inputs = _compared(ran, reference, floor_of(model), fast=bool(fast), extremes=keeps)
    if "evaluation" in inputs and model.metric_function is not None:
        inputs["metric"] = data.metric(model, inputs, subject.label)
    inputs |= _weights(model, subject, ran, isolates=isolates, unrounded=unrounded)
    return _measurement(model, subject, inputs, unrounded=unrounded, fast=fast)


def _compared(
    ran: Draft, reference: Reference, floor: DraftOutput, *, fast: bool, extremes: bool
) -> dict[str, DraftInput]:
    """The outputs of an artifact beside the original's."""
    inputs: dict[str, DraftInput] = {
        "got": ran["samples"],
        "reference": reference.outputs,
        "run": ran["run"],
        "got_edges": ran[EDGE_OUTPUTS.name],
        "reference_edges": reference.edge_outputs,
        "floor": floor,
    }
    if fast:
        inputs[PLAIN.name] = ran[PLAIN.name]
    if extremes and reference.extremes is not None:
        inputs["got_extremes"] = ran["extremes"]
        inputs["reference_extremes"] = reference.extremes
    if reference.evaluation is not None and reference.evaluated is not None:
        inputs["got_evaluation"] = ran["evaluation"]
        inputs["reference_evaluation"] = reference.evaluated
        inputs["evaluation"] = reference.evaluation
        if reference.transformed is not None:
            inputs["transformed_evaluation"] = reference.transformed
    return inputs


def _weights(
    model: PlannedModel, subject: Subject, ran: Draft, *, isolates: bool, unrounded: bool
) -> dict[str, DraftInput]:
    """The comparison of an artifact's weights, and what its graph does with the same weights."""
    weights = compare_weights(model, subject, held=isolates)
    if weights is None:
        return {}
    if not isolates:
        return {"weights": weights}
    return {
        "weights": weights,
        **rounded(model, weights, subject.label),
        "graph_got": ran["unrounded" if unrounded else "samples"],
        "graph_got_edges": ran["unrounded_edges" if unrounded else EDGE_OUTPUTS.name],
    }


def _measurement(
    model: PlannedModel,
    subject: Subject,
    inputs: dict[str, DraftInput],
    *,
    unrounded: bool,
    fast: str,
) -> DraftOutput:
    """Drafts the step that computes the figures."""
    options: dict[str, Any] = {
        "outputs": model.outputs,
        "metric": model.metric if "evaluation" in inputs else None,
    }
    if unrounded:
        options["unrounded"] = True
    if fast:
        options["fast_kernels"] = fast
    return Draft(
        "verify.measure",
        host_worker("buildsys.verify.outputs.measurement:measure"),
        slot=subject.label,
        environment=None,
        inputs=inputs,
        options=options,
        outputs=(Output("measurement", "measurement.json", measured=COST),),
        origin=("models", model.name, "samples"),
    )["measurement"]


def _isolates(subject: Subject, *, unrounded: bool) -> bool:
    """Whether an artifact's graph can be told from its rounded weights."""
    if subject.scheme != ROUNDED_WEIGHTS or subject.format.weights is None:
        return False
    return unrounded or widens(subject.format, subject.scheme)


def widens(declared: base.Format, scheme: str | None) -> bool:
    """Whether a format's artifacts of a scheme are computed with in float32."""
    return any(each.widens for each in declared.schemes if each.name == scheme)
