"""The actions that compare an artifact's weights with the model's."""

from __future__ import annotations

from collections.abc import Mapping

from buildsys.backends import base
from buildsys.backends.output import Output
from buildsys.planner.drafts import Draft, DraftInput, DraftOutput
from buildsys.planner.model import PlannedModel
from buildsys.planner.verification.original import HELD, as_given
from buildsys.planner.verification.running import Subject
from buildsys.planner.workers import host_worker, kit_worker, rule_worker
from buildsys.quantization import FLOAT_SCHEMES

WEIGHTS = (Output("weights", "weights.npz"), Output("names", "names.json"))


def compare_weights(model: PlannedModel, subject: Subject, *, held: bool) -> DraftOutput | None:
    """Drafts the comparison of an artifact's weights with the model's; `None` where none are read.

    Those of integers are compared with the artifact that they were quantized from as well: what a
    converter folded into them is in both.
    """
    declared, made = subject.format, subject.artifact
    if declared.weights is None:
        return None
    read = {
        "stored": _stored(model, declared, made.inputs, subject.label),
        "original": model.once(_of_original),
    }
    if made.quantized is not None and subject.scheme not in FLOAT_SCHEMES:
        read["floats"] = _stored(model, declared, made.quantized.inputs, model.name)
    inputs: dict[str, DraftInput] = {}
    for name, step in read.items():
        inputs |= {name: step["weights"], f"{name}_names": step["names"]}
    return Draft(
        "verify.weights",
        host_worker("buildsys.verify.weights.comparison:compare_weights"),
        slot=subject.label,
        environment=None,
        inputs=inputs,
        outputs=(Output("weights", "weights.json"), *((HELD,) if held else ())),
    )["weights"]


def _stored(
    model: PlannedModel, declared: base.Format, inputs: Mapping[str, DraftInput], slot: str
) -> Draft:
    """Drafts the step that reads the weights of `artifact`, whose contract is `io`."""
    reader = declared.weights
    if reader is None:
        raise ValueError(f"nothing reads the weights of {declared.name}")
    backend = model.machine.catalog.backend_of(declared.name)
    module = f"{backend.name}.{reader.module}"
    return Draft(
        f"{declared.name}.weights",
        kit_worker(backend, "inspect.stored_weights:read_weights", module),
        slot=slot,
        environment=reader.toolchain,
        inputs=inputs,
        options={"reader_module": module},
        outputs=WEIGHTS,
        origin=model.place,
    )


def _of_original(model: PlannedModel) -> Draft:
    """Drafts the step that reads the model's own weights, once for all of its artifacts."""
    framework = model.framework
    if framework.weights is None:
        declared = model.machine.catalog.formats[model.kind]
        return _stored(model, declared, as_given(model), model.name)
    return Draft(
        f"{framework.name}.weights",
        rule_worker(model.backend, function=framework.weights),
        slot=model.name,
        environment=model.environment if framework.code else framework.toolchain,
        inputs=dict(model.files),
        options=model.contract_and_source,
        outputs=WEIGHTS,
        user_code=framework.code,
        origin=model.place,
    )
