"""Classifiers: one output that becomes the name of the best class, and a dictionary of numbers."""

from __future__ import annotations

from typing import Any

from ...kit.protocol.contract import Contract, Port
from ...kit.protocol.description import completed
from ...kit.protocol.request import Request, StepError
from ..libraries import ct

FIELD = "options.class_labels"
BEST = "classLabel"
"""What the output with the best class is called, as in every classifier of Core ML."""


def config(request: Request, contract: Contract) -> Any:
    """`ct.ClassifierConfig`, or `None` where no classifier is asked for.

    Raises:
        StepError: The model has several outputs, no labels, or the labels do not fit.
    """
    if not request.options["format"].get("class_labels"):
        return None
    if len(contract.outputs) != 1:
        names = ", ".join(f"`{port.name}`" for port in contract.outputs)
        raise StepError(
            f"a classifier has one output, and the model has {len(contract.outputs)}: {names}",
            "leave `class_labels` out: the labels are in the package's metadata anyway",
            FIELD,
        )
    (port,) = contract.outputs
    labels = completed(contract, request).outputs[0].labels
    if labels is None:
        raise StepError(
            f"`class_labels` needs the names of the classes of `{port.name}`",
            "give `labels` to the output in the recipe",
            FIELD,
        )
    twice = sorted({name for name in labels if labels.count(name) > 1})
    if twice:
        raise StepError(
            f"`{twice[0]}` is the name of two classes, and a classifier's dictionary has one of each",
            "tell them apart in `labels`, or leave `class_labels` out",
            FIELD,
        )
    # The labels come into the contract by the last step, for all formats alike.
    port.labels = None
    return ct.ClassifierConfig(list(labels), predicted_feature_name=BEST)


def declare(request: Request, contract: Contract, description: Any) -> None:
    """Says in the contract what a classifier gives."""
    if not description.predictedFeatureName:
        return
    (port,) = contract.outputs
    port.kind, port.dtype = "probabilities", "float64"
    port.artifact_name = description.predictedProbabilitiesName
    contract.outputs.append(Port(BEST, [], "str", kind="label"))
    request.note(
        f"output `{port.name}` is the dictionary `{port.artifact_name}` in the Core ML model, and "
        f"`{BEST}` is the name of the best class; the numbers are the model's own, no softmax is added"
    )


def written(spec: Any) -> list[str]:
    """The names that a classifier holds, in the order of the classes."""
    kind = spec.WhichOneof("Type")
    if kind == "neuralNetworkClassifier":
        return list(spec.neuralNetworkClassifier.stringClassLabels.vector)
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    (op,) = (op for op in block.operations if op.type == "classify")
    held = op.inputs["classes"].arguments[0].value
    return [
        value.immediateValue.tensor.strings.values[0] for value in held.immediateValue.list.values
    ]
