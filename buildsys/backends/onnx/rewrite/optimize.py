"""Fuses the parts of transformers into operators of ONNX Runtime."""

from __future__ import annotations

import logging
from typing import Any

import onnx
from onnxruntime.transformers.fusion_options import AttentionMaskFormat, FusionOptions
from onnxruntime.transformers.optimizer import optimize_by_fusion

from ...kit.protocol.contract import Contract
from ...kit.protocol.request import Request, StepError
from . import agreement
from .simplify import basic, domains, finish, operators

FIELD = "options.optimize"
ATTENTION = ("Attention", "MultiHeadAttention", "GroupQueryAttention")
BLIND = ("gpt2",)
"""Families whose fusions take the number of heads as it is given."""
TO_HEADS = ([0, 2, 1, 3], [0, 2, 3, 1])
"""How [batch, length, heads, size] is transposed for attention."""


def optimize(request: Request) -> None:
    """Fuses attention, normalization, embedding and activations as in one family of models.

    Inputs: `artifact`, `io`. Options: `ports`, `format.optimize`, `format.num_heads`,
    `format.hidden_size`.

    Raises:
        StepError: The heads cannot be told, the fusions fail, or the result is not the same model.
    """
    source = request.inputs["artifact"]
    contract = Contract.read(request.inputs["io"])
    options = request.options["format"]
    family = options["optimize"]
    # Shared constants would hide patterns from the fusions.
    model = basic(source, request.scratch / "basic.onnx", without=["ConstantSharing"])
    before = operators(onnx.load(source))
    heads, width = options["num_heads"], options["hidden_size"]
    if family in BLIND and not (heads and width):
        found = _heads(model)
        heads, width = heads or found[0], width or found[1]
    logging.disable(logging.WARNING)  # Its advice is for those who call it from a shell.
    try:
        model = optimize_by_fusion(model, family, heads, width, _fusions(family)).model
    except Exception as error:
        raise StepError(
            f"`optimize: {family}` fails on this graph: {type(error).__name__}: {error}",
            "name the family that the model is of, or leave `optimize` out",
            FIELD,
        ) from error
    finally:
        logging.disable(logging.NOTSET)
    finish(model, contract, request)
    agreement.check(source, request.outputs["artifact"], contract, request, FIELD)
    _tell(model, before, family, request)


def _fusions(family: str) -> Any:
    """All fusions of a family that keep what a mask says.

    By default the optimizer counts a mask's ones and takes the count for the length (`bert`), which
    is wrong wherever padding is not at the end, or drops it (`vit`).
    """
    fusions = FusionOptions(family)
    fusions.attention_mask_format = AttentionMaskFormat.AttentionMask
    return fusions


def _heads(model: Any) -> tuple[int, int]:
    """The number of heads and the width, read off where tensors are split into heads.

    Raises:
        StepError: They are not the same everywhere, or nothing is split.
    """
    made = {name: node for node in model.graph.node for name in node.output}
    constants = {
        t.name: onnx.numpy_helper.to_array(t).ravel().tolist() for t in model.graph.initializer
    }
    found = set()
    for node in model.graph.node:
        permuted = [list(a.ints) for a in node.attribute if a.name == "perm"]
        above = made.get(node.input[0]) if node.op_type == "Transpose" else None
        if above is None or above.op_type != "Reshape" or permuted[0] not in TO_HEADS:
            continue
        shape = constants.get(above.input[1])
        joined = made.get(above.input[1])
        if shape is None and joined is not None and joined.op_type == "Concat":
            shape = [size for name in joined.input for size in constants.get(name, [-1])]
        if shape is not None and len(shape) == 4 and min(shape[2:]) > 0:
            found.add((int(shape[2]), int(shape[2] * shape[3])))
    if len(found) == 1:
        return found.pop()
    raise StepError(
        f"the graph does not tell how many attention heads there are: {sorted(found) or 'none found'}",
        "say `num_heads` and `hidden_size`",
        "options.num_heads",
    )


def _tell(model: Any, before: Any, family: str, request: Request) -> None:
    """Says what was fused, what was not, and who can run it."""
    strange = domains(model)
    own = {node.op_type for node in model.graph.node if node.domain in strange}
    after = operators(model)
    fused = {name: after[name] - before[name] for name in sorted(own) if after[name] > before[name]}
    if not fused:
        request.note(
            f"nothing was fused: `optimize: {family}` knows no part of this graph; "
            "the other `route` may give one that it knows"
        )
        return
    said = ", ".join(f"{name} ×{count}" for name, count in fused.items())
    request.note(f"fused for ONNX Runtime, which alone runs this file: {said}")
    if "Softmax" in after and not any(name in fused for name in ATTENTION):
        request.note(
            f"attention was not fused: `optimize: {family}` does not know it in this graph; "
            "the other `route` may give one that it knows"
        )
