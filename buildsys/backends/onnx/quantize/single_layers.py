"""The nodes of a float file that can be quantized one by one; see `kit.quantize.sensitivity`."""

from __future__ import annotations

from pathlib import Path

from ...kit.protocol.contract import Contract
from . import prepared


def layers(path: Path, contract: Contract) -> dict[str, bool]:
    """Names of the main graph's nodes, each with whether it reads weights."""
    model = prepared.prepare(path)
    weights = {t.name for t in model.graph.initializer if len(t.dims) >= prepared.WEIGHT}
    return {
        node.name: any(name in weights for name in node.input)
        for node in model.graph.node
        if node.op_type != "Constant"
    }
