"""Writes what the recipe knows into an ONNX file that OpenVINO does not convert as it stands.

OpenVINO converts node by node and needs the rank of what some take. Where a file does not say the sizes of
its inputs, or a reshape computes them, the rank is not known at that point, though the recipe has it. What
comes out of an `If` has two ranks, where the recipe decides which branch is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from ..kit.export import onnx_branches, onnx_sizes
from ..kit.protocol.contract import Contract


@dataclass(frozen=True)
class Shaped:
    """A file with the recipe's knowledge in it.

    Attributes:
        path: Where it lies.
        sized: Whether inputs got sizes that they had not.
        inlined: The names of the `If` nodes in whose place one branch stands.
        left: The inputs that decide the `If` nodes which are left.
    """

    path: Path
    sized: bool
    inlined: list[str]
    left: list[str]


def shaped(
    source: Path, contract: Contract, ports: Sequence[Mapping[str, Any]], folder: Path
) -> Shaped:
    """Writes the file with the contract's sizes, and with the branches that are always taken.

    Args:
        source: The ONNX file.
        contract: Its io contract; sizes that vary stay symbols.
        ports: The recipe's inputs.
        folder: Where to.
    """
    model = onnx.load(source)
    shapes = {port.artifact_name or port.name: port.shape for port in contract.inputs}
    names = {port.name: port.artifact_name or port.name for port in contract.inputs}
    sized = onnx_sizes.write(model, shapes)
    inlined = onnx_branches.inline(model, onnx_branches.single_values(ports, shapes, names))
    path = folder / "shaped.onnx"
    onnx.save(model, path, save_as_external_data=True, location="shaped.bin")
    return Shaped(path, sized, inlined, onnx_branches.deciding(model))
