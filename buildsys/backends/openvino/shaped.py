"""Writes the recipe's sizes into an ONNX file, for OpenVINO to infer shapes from.

OpenVINO converts node by node and needs the rank of what some take. Where a file does not say the sizes of
its inputs, or a reshape computes them, the rank is not known at that point, though the recipe has it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from ..kit.contract import Contract


def shaped(source: Path, contract: Contract, folder: Path) -> Path | None:
    """Writes the file with the contract's sizes of its inputs; `None` where it has them already.

    Args:
        source: The ONNX file.
        contract: Its io contract; sizes that vary stay symbols.
        folder: Where to.
    """
    model = onnx.load(source)
    ports = {port.artifact_name or port.name: port.shape for port in contract.inputs}
    changed = [_fit(each, ports[each.name]) for each in model.graph.input if each.name in ports]
    if not any(changed):
        return None
    # What was inferred of other sizes says less, or something else.
    del model.graph.value_info[:]
    path = folder / "shaped.onnx"
    onnx.save(model, path, save_as_external_data=True, location="shaped.bin")
    return path


def _fit(given: Any, shape: list[int | str]) -> bool:
    """Gives an input its sizes; says whether it had others."""
    kind = given.type.tensor_type
    held = [size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim]
    wanted = [size if isinstance(size, int) else None for size in shape]
    if kind.HasField("shape") and held == wanted:
        return False
    kind.ClearField("shape")
    kind.shape.SetInParent()  # Of no axes at all, too: a shape that is missing says nothing.
    for size in shape:
        axis = kind.shape.dim.add()
        if isinstance(size, int):
            axis.dim_value = size
        else:
            axis.dim_param = size
    return True
