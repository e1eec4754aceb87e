"""The step after all others that tells of an artifact what only the recipe knows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from buildsys.backends import base
from buildsys.planner.builder import GraphBuilder, host_worker, rule_worker
from buildsys.planner.graph import FileInput, Input, OutputRef
from buildsys.planner.source import ModelSource

PARTS = ("preprocess", "labels")
DESCRIBE = "buildsys.backends.kit.protocol.description:describe"


@dataclass(frozen=True)
class Described:
    """A finished artifact.

    Attributes:
        artifact: The output that holds it.
        io: Its whole contract.
        rule: The step's name, or `None` where the recipe says nothing and there is no step.
    """

    artifact: OutputRef
    io: OutputRef
    rule: str | None


def describe(
    builder: GraphBuilder,
    source: ModelSource,
    format_name: str,
    artifact: OutputRef,
    io: OutputRef,
    slot: str,
) -> Described:
    """Adds the step, where the recipe gives `preprocess` or `labels`.

    Where the format writes metadata, the artifact is written again with the contract inside; else it
    stays the very one that it is, and only its `io.json` changes.
    """
    if not (source.preprocess or source.labels):
        return Described(artifact, io, None)
    declared = builder.catalog.formats[format_name]
    writer = declared.metadata_writer
    options: dict[str, Any] = {}
    inputs: dict[str, Input] = {"io": io, **told(source, PARTS, options)}
    outputs = [base.Output("io", "io.json")]
    worker, environment = host_worker(DESCRIBE), None
    if writer is not None:
        backend = builder.catalog.backend_of(format_name)
        worker, environment = rule_worker(backend, function=writer.worker), writer.toolchain
        inputs["artifact"] = artifact
        outputs.append(base.Output("artifact", "model" + declared.suffix, declared.kind))
    rule = f"{format_name}.describe"
    action = builder.add(
        rule,
        worker,
        environment=environment,
        inputs=inputs,
        options=options,
        outputs=tuple(outputs),
        origin=("models", source.name),
        slot=slot,
    )
    carried = artifact if writer is None else OutputRef(action, "artifact")
    return Described(carried, OutputRef(action, "io"), rule)


def told(source: ModelSource, parts: Sequence[str], options: dict[str, Any]) -> dict[str, Input]:
    """Puts parts of the contract into a step's options; gives the files of labels among its inputs."""
    inputs: dict[str, Input] = {}
    if "preprocess" in parts and source.preprocess:
        options["preprocess"] = source.preprocess
    if "labels" in parts and source.labels:
        options["labels"] = {}
        for number, (output, labels) in enumerate(source.labels.items()):
            if isinstance(labels, FileInput):
                # Not after the output: its name may hold what a file's cannot.
                inputs[f"labels{number}"] = labels
            options["labels"][output] = (
                f"labels{number}" if isinstance(labels, FileInput) else labels
            )
    return inputs
