"""What runs in place of the portable kernels, and what is done where a delegate fails."""

from __future__ import annotations

from typing import Any

import torch
from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

from ..kit.protocol.request import Request

_XNNPACK = "executorch/backends/xnnpack/"


class Portable:
    """No delegate: every operator is run by ExecuTorch's portable kernels.

    Attributes:
        name: The delegate's name for people, or `None`.
        advice: What users must know of every file made for it.
    """

    name: str | None = None
    advice = ""

    def __init__(self, request: Request) -> None:
        self._request = request

    def partitioners(self) -> list[Any]:
        """What picks parts of the graph out for the delegate."""
        return []

    def gives_way(self, error: Exception) -> bool:
        """Whether another try with less in the delegate's hands may succeed where this failed."""
        return False


class Xnnpack(Portable):
    """XNNPACK; an operator that its partitioner takes and its compiler then refuses is left out."""

    name = "XNNPACK"

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._configs = list(ALL_PARTITIONER_CONFIGS)

    def partitioners(self) -> list[Any]:
        """One partitioner, of what has not failed yet."""
        return [XnnpackPartitioner(configs=self._configs)]

    def gives_way(self, error: Exception) -> bool:
        """Leaves the operator out at which XNNPACK's code failed, and says so."""
        target = _node_at_fault(error)
        kept = [config for config in self._configs if config.target_name != target]
        if target is None or len(kept) == len(self._configs):
            return False
        self._configs = kept
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        self._request.note(
            f"XNNPACK takes no `{target}` of this model ({reason}): the portable kernels run it"
        )
        return True


class Coreml(Portable):
    """Core ML, in float32: a narrower type would be a scheme of its own."""

    name = "Core ML"
    advice = "Core ML computes in float32 here, which keeps the model off the Neural Engine"

    def partitioners(self) -> list[Any]:
        """One partitioner, for iOS 16, the first that ExecuTorch's delegate runs on."""
        from . import coreml  # It takes three seconds to import coremltools.

        return [coreml.partitioner()]


def _node_at_fault(error: Exception) -> str | None:
    """The target of the innermost graph node that XNNPACK's own code was about."""
    found, trace = None, error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        node = frame.f_locals.get("node")
        ours = _XNNPACK in frame.f_code.co_filename.replace("\\", "/")
        if ours and isinstance(node, torch.fx.Node) and node.op == "call_function":
            found = getattr(node.target, "__name__", str(node.target))
        trace = trace.tb_next
    return found.removeprefix("aten.") if found else None
