"""The actions that find where an artifact parts from the original."""

from __future__ import annotations

from collections.abc import Mapping

from buildsys.backends.output import Output
from buildsys.planner.drafts import Draft, DraftInput, DraftOutput
from buildsys.planner.graph import ActionGraph, Deployable, OutputRef
from buildsys.planner.impossible import Impossible
from buildsys.planner.model import PlannedModel
from buildsys.planner.verification import data
from buildsys.planner.verification.original import original_file
from buildsys.planner.verification.running import EDGES
from buildsys.planner.workers import host_worker, kit_worker, rule_worker

RECORDING = (Output("steps", "steps.json"), Output("tensors", "tensors.npz"))


class NoProbe(Impossible):
    """Nothing shows what lies within artifacts of a format."""


def locate(model: PlannedModel, graph: ActionGraph, deployable: Deployable) -> DraftOutput:
    """Drafts what locates a fault of a deployable in a graph; gives its `location`.

    Raises:
        NoProbe: Its format has no probe.
    """
    format_name, label = deployable.format, deployable.label
    formats = model.machine.catalog.formats
    if formats[format_name].probe is None:
        having = sorted(f.name for f in formats.values() if f.probe is not None)
        raise NoProbe(
            f"nothing shows the values within a {format_name} artifact",
            f"formats that can be looked into: {', '.join(having)}; "
            "locate the fault in one that this one is made of, or that the same model is built for",
        )
    chosen = _chosen(model, graph, deployable)
    made: dict[str, DraftInput] = {"artifact": deployable.artifact, "io": deployable.io}
    artifact = _probe(model, format_name, made, chosen["chosen"], label)
    original = _trace(model, chosen["chosen"], label)
    return Draft(
        "verify.locate",
        host_worker("buildsys.verify.localization.first_difference:locate"),
        slot=label,
        environment=None,
        inputs={
            "steps": artifact["steps"],
            "tensors": artifact["tensors"],
            "reference_steps": original["steps"],
            "reference_tensors": original["tensors"],
            "varies": chosen["varies"],
        },
        options={
            "label": label,
            "format": format_name,
            "scheme": deployable.quantized.scheme,
            "outputs": model.outputs,
            "bounds": dict(deployable.limits.bounds),
            "output_bounds": {name: dict(e) for name, e in deployable.limits.output_bounds.items()},
        },
        outputs=(Output("location", "location.json"),),
        origin=("models", model.name),
    )["location"]


def _chosen(model: PlannedModel, graph: ActionGraph, deployable: Deployable) -> Draft:
    """The samples with the worst first, where the artifact is run here anyway.

    The outputs themselves are asked, not the measurement: where they allow none, the fault has to be
    found all the same.
    """
    samples, _ = data.samples(model)
    inputs: dict[str, DraftInput] = {"samples": samples}
    if deployable.evidence.measurement is not None:
        measured = graph.actions[deployable.evidence.measurement.action].inputs
        inputs |= {name: measured[name] for name in ("got", "reference")}
        at_edges = measured.get("reference_edges")
        if isinstance(at_edges, OutputRef):
            inputs |= {name: measured[name] for name in ("got_edges", "reference_edges")}
            inputs["edges"] = OutputRef(at_edges.action, EDGES.name)
    return Draft(
        "verify.choose",
        host_worker("buildsys.verify.localization.sample_choice:choose"),
        slot=deployable.label,
        environment=None,
        inputs=inputs,
        options={"outputs": model.outputs, "scheme": deployable.quantized.scheme},
        outputs=(Output("chosen", "chosen.npz"), Output("varies", "varies.json")),
        origin=("models", model.name, "samples"),
    )


def _probe(
    model: PlannedModel,
    format_name: str,
    made: Mapping[str, DraftInput],
    samples: DraftOutput,
    slot: str,
) -> Draft:
    """Drafts what records the values within an artifact."""
    declared = model.machine.catalog.formats[format_name]
    if declared.probe is None:
        raise ValueError(f"{format_name} has no probe")
    backend = model.machine.catalog.backend_of(format_name)
    by = model.machine.runner(declared)
    # An evaluator is what the probe itself is: there is nothing shipped to compare it with.
    shipped = (
        by is not None and not by.evaluates and by.runtime.toolchain == declared.probe.toolchain
    )
    probe = f"{backend.name}.{declared.probe.module}"
    runtime = f"{backend.name}.{by.runtime.module}" if by and shipped else None
    return Draft(
        f"{format_name}.probe",
        kit_worker(backend, "inspect.probing:probe_artifact", *filter(None, (probe, runtime))),
        slot=slot,
        environment=declared.probe.toolchain,
        inputs={**made, "samples": samples},
        options={**model.contract, "probe_module": probe, "runtime_module": runtime},
        outputs=RECORDING,
        origin=model.place,
    )


def _trace(model: PlannedModel, samples: DraftOutput, slot: str) -> Draft:
    """What the original computes on the way; in its own environment where it is code."""
    framework = model.framework
    inputs: dict[str, DraftInput] = {"samples": samples}
    if framework.code:
        inputs |= model.files
    else:
        original = original_file(model)
        if framework.trace is None:
            return _probe(model, model.kind, original.inputs, samples, slot)
        inputs["artifact"] = original.artifact
    if framework.trace is None:
        raise ValueError(f"nothing records what a {model.kind} computes")
    return Draft(
        f"{framework.name}.trace",
        rule_worker(model.backend, function=framework.trace),
        slot=slot,
        environment=model.environment if framework.code else framework.toolchain,
        inputs=inputs,
        options=model.contract_and_source,
        outputs=RECORDING,
        user_code=framework.code,
        origin=model.place,
    )
