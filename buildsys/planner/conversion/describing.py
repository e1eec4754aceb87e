"""The step after all others that tells of an artifact what only the recipe knows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from buildsys.backends.output import Output
from buildsys.planner.drafts import Draft, DraftInput, DraftOutput
from buildsys.planner.graph import FileInput
from buildsys.planner.model import PlannedModel
from buildsys.planner.workers import host_worker, rule_worker

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

    artifact: DraftOutput
    io: DraftOutput
    rule: str | None


def describe(
    model: PlannedModel, format_name: str, artifact: DraftOutput, io: DraftOutput, slot: str
) -> Described:
    """Drafts the step, where the recipe gives `preprocess` or `labels`.

    Where the format writes metadata, the artifact is written again with the contract inside; else it
    stays the very one that it is, and only its `io.json` changes.
    """
    if not (model.preprocess or model.labels):
        return Described(artifact, io, None)
    declared = model.machine.catalog.formats[format_name]
    writer = declared.metadata_writer
    options: dict[str, Any] = {}
    inputs: dict[str, DraftInput] = {"io": io, **told(model, PARTS, options)}
    outputs = [Output("io", "io.json")]
    worker, environment = host_worker(DESCRIBE), None
    if writer is not None:
        backend = model.machine.catalog.backend_of(format_name)
        worker, environment = rule_worker(backend, function=writer.worker), writer.toolchain
        inputs["artifact"] = artifact
        outputs.append(Output("artifact", "model" + declared.suffix, declared.kind))
    draft = Draft(
        f"{format_name}.describe",
        worker,
        slot,
        environment,
        tuple(outputs),
        inputs=inputs,
        options=options,
        origin=("models", model.name),
    )
    carried = artifact if writer is None else draft["artifact"]
    return Described(carried, draft["io"], draft.rule)


def told(
    model: PlannedModel, parts: Sequence[str], options: dict[str, Any]
) -> dict[str, DraftInput]:
    """Puts parts of the contract into a step's options; gives the files of labels among its inputs."""
    inputs: dict[str, DraftInput] = {}
    if "preprocess" in parts and model.preprocess:
        options["preprocess"] = model.preprocess
    if "labels" in parts and model.labels:
        options["labels"] = {}
        for number, (output, labels) in enumerate(model.labels.items()):
            if isinstance(labels, FileInput):
                # Not after the output: its name may hold what a file's cannot.
                inputs[f"labels{number}"] = labels
            options["labels"][output] = (
                f"labels{number}" if isinstance(labels, FileInput) else labels
            )
    return inputs
