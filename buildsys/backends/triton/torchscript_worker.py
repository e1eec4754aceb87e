"""Repositories around TorchScript; torch is here to see what the model returns."""

from __future__ import annotations

from typing import Any

import torch

from ..kit.protocol.request import Request, StepError
from .kinds import BY_FORMAT
from .worker import make


def make_torchscript(request: Request) -> None:
    """A repository around a TorchScript file; see `worker.make`.

    Raises:
        StepError: The model returns something else than a tensor, or a flat tuple or list of them.
    """
    module = torch.jit.load(request.inputs["artifact"], map_location="cpu")
    (returned,) = module.forward.schema.returns
    if not _is_flat(returned.type):
        raise StepError(
            f"Triton's PyTorch backend takes a tensor, or a tuple or list of them; the model "
            f"returns {returned.type.annotation_str}",
            "use `route: onnx`, where outputs have names",
            "route",
        )
    make(request, BY_FORMAT["torchscript"])


def _is_flat(kind: Any) -> bool:
    if kind.kind() == "TupleType":
        return all(element.kind() == "TensorType" for element in kind.elements())
    if kind.kind() == "ListType":
        return bool(kind.getElementType().kind() == "TensorType")
    return bool(kind.kind() == "TensorType")
