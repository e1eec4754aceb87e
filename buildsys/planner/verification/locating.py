"""The actions that find where an artifact parts from the original."""

from __future__ import annotations

from buildsys.backends import base
from buildsys.planner.builder import GraphBuilder, host_worker, kit_worker, rule_worker
from buildsys.planner.conversion.steps import ARTIFACT, IO, Artifact
from buildsys.planner.graph import Deployable, Input, OutputRef
from buildsys.planner.impossible import Impossible
from buildsys.planner.source import ModelSource
from buildsys.planner.verification import data
from buildsys.planner.verification.measuring import EDGES, file_of, runner
from buildsys.recipe import Recipe

RECORDING = (base.Output("steps", "steps.json"), base.Output("tensors", "tensors.npz"))


class NoProbe(Impossible):
    """Nothing shows what lies within artifacts of a format."""


def locate(
    builder: GraphBuilder, recipe: Recipe, source: ModelSource, deployable: Deployable
) -> OutputRef:
    """Adds what locates a fault of a deployable; gives its `location`.

    Raises:
        NoProbe: Its format has no probe.
    """
    format_name, label = deployable.format, deployable.label
    declared = builder.catalog.formats[format_name]
    if declared.probe is None:
        having = sorted(f.name for f in builder.catalog.formats.values() if f.probe is not None)
        raise NoProbe(
            f"nothing shows the values within a {format_name} artifact",
            f"formats that can be looked into: {', '.join(having)}; "
            "locate the fault in one that this one is made of, or that the same model is built for",
        )
    chosen = _chosen(builder, recipe, source, deployable)
    made = Artifact(deployable.artifact, deployable.io)
    artifact = _probe(builder, source, format_name, made, chosen, label)
    original = _trace(builder, recipe, source, chosen, label)
    action = builder.add(
        "verify.locate",
        host_worker("buildsys.verify.localization.first_difference:locate"),
        environment=None,
        inputs={
            "steps": OutputRef(artifact, "steps"),
            "tensors": OutputRef(artifact, "tensors"),
            "reference_steps": OutputRef(original, "steps"),
            "reference_tensors": OutputRef(original, "tensors"),
            "varies": OutputRef(chosen.action, "varies"),
        },
        options={
            "label": label,
            "format": format_name,
            "scheme": deployable.scheme,
            "outputs": source.outputs,
            "bounds": dict(deployable.bounds),
            "output_bounds": {name: dict(e) for name, e in deployable.output_bounds.items()},
        },
        outputs=(base.Output("location", "location.json"),),
        origin=("models", source.name),
        slot=label,
    )
    return OutputRef(action, "location")


def _chosen(
    builder: GraphBuilder, recipe: Recipe, source: ModelSource, deployable: Deployable
) -> OutputRef:
    """The samples with the worst first, where the artifact is run here anyway.

    The outputs themselves are asked, not the measurement: where they allow none, the fault has to be
    found all the same.
    """
    samples, _ = data.samples(builder, recipe, source)
    inputs: dict[str, Input] = {"samples": samples}
    if deployable.measurement is not None:
        measured = builder.graph.actions[deployable.measurement.action].inputs
        inputs |= {name: measured[name] for name in ("got", "reference")}
        at_edges = measured.get("reference_edges")
        if isinstance(at_edges, OutputRef):
            inputs |= {name: measured[name] for name in ("got_edges", "reference_edges")}
            inputs["edges"] = OutputRef(at_edges.action, EDGES.name)
    action = builder.add(
        "verify.choose",
        host_worker("buildsys.verify.localization.sample_choice:choose"),
        environment=None,
        inputs=inputs,
        options={"outputs": source.outputs, "scheme": deployable.scheme},
        outputs=(base.Output("chosen", "chosen.npz"), base.Output("varies", "varies.json")),
        origin=("models", source.name, "samples"),
        slot=deployable.label,
    )
    return OutputRef(action, "chosen")


def _probe(
    builder: GraphBuilder,
    source: ModelSource,
    format_name: str,
    made: Artifact,
    samples: OutputRef,
    slot: str,
) -> str:
    declared = builder.catalog.formats[format_name]
    if declared.probe is None:
        raise ValueError(f"{format_name} has no probe")
    backend = builder.catalog.backend_of(format_name)
    by = runner(builder, declared)
    # An evaluator is what the probe itself is: there is nothing shipped to compare it with.
    shipped = (
        by is not None and not by.evaluates and by.runtime.toolchain == declared.probe.toolchain
    )
    probe = f"{backend.name}.{declared.probe.module}"
    runtime = f"{backend.name}.{by.runtime.module}" if by and shipped else None
    return builder.add(
        f"{format_name}.probe",
        kit_worker(backend, "inspect.probing:probe_artifact", *filter(None, (probe, runtime))),
        environment=declared.probe.toolchain,
        inputs={ARTIFACT: made.artifact, IO: made.io, "samples": samples},
        options={
            "ports": source.ports,
            "outputs": source.outputs,
            "probe_module": probe,
            "runtime_module": runtime,
        },
        outputs=RECORDING,
        origin=source.place,
        slot=slot,
    )


def _trace(
    builder: GraphBuilder, recipe: Recipe, source: ModelSource, samples: OutputRef, slot: str
) -> str:
    """What the original computes on the way; in its own environment where it is code."""
    backend, declared = builder.catalog.source(source.kind)
    inputs: dict[str, Input] = {"samples": samples}
    if declared.code:
        inputs |= source.files
    else:
        kind, original = file_of(builder, recipe, source)
        if declared.trace is None:
            return _probe(builder, source, kind, original, samples, slot)
        inputs[ARTIFACT] = original.artifact
    if declared.trace is None:
        raise ValueError(f"nothing records what a {source.kind} computes")
    return builder.add(
        f"{declared.name}.trace",
        rule_worker(backend, function=declared.trace),
        environment=source.environment if declared.code else declared.toolchain,
        inputs=inputs,
        options={
            "ports": source.ports,
            "outputs": source.outputs,
            "source": source.declaration,
        },
        outputs=RECORDING,
        user_code=declared.code,
        origin=source.place,
        slot=slot,
    )
