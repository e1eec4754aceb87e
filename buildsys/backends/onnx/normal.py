"""ONNX files that mean the same, as equal bytes: without provenance, with lists in order that have none."""

from __future__ import annotations

import onnx

from ..kit.protocol.request import Request
from .canonical import strip


def normalise(request: Request) -> None:
    """Writes a model so that order and provenance alone make no difference.

    The order of operations stays: it decides in which order a runtime adds. Entries of the model's own
    metadata are kept, as apps read the io contract there.

    Inputs: `artifact`. Outputs: `normal`.
    """
    model = onnx.load(request.inputs["artifact"])
    kept = sorted((entry.key, entry.value) for entry in model.metadata_props)
    strip(model)
    model.metadata_props.extend(onnx.StringStringEntryProto(key=k, value=v) for k, v in kept)
    for name in ("producer_name", "producer_version"):
        model.ClearField(name)
    graph = model.graph
    for entries, key in (
        (graph.initializer, lambda each: each.name),
        (graph.value_info, lambda each: each.name),
        (model.opset_import, lambda each: each.domain),
        (model.functions, lambda each: (each.domain, each.name)),
    ):
        entries.sort(key=key)
    for node in graph.node:
        node.attribute.sort(key=lambda each: each.name)
    request.outputs["normal"].write_bytes(model.SerializeToString(deterministic=True))
