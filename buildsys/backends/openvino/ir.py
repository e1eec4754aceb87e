"""OpenVINO's intermediate representation: a folder with `model.xml` and `model.bin`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import openvino as ov

from ..kit.protocol.contract import Contract, Port
from ..kit.protocol.request import Request, StepError
from . import text

XML, BIN = "model.xml", "model.bin"
NAME = "model"


def read(folder: Path) -> Any:
    """Reads a model; nothing is compiled."""
    return ov.Core().read_model(folder / XML)


def names(model: Any) -> list[str]:
    """Names of all operations, in the order in which they run."""
    return [operation.get_friendly_name() for operation in model.get_ordered_ops()]


def write(model: Any, folder: Path, known: Collection[str]) -> None:
    """Writes a model with equal bytes for equal models.

    Args:
        model: What to write. Its precisions stay.
        folder: Is made.
        known: Names of operations that come from outside, and are kept.
    """
    model.set_friendly_name(NAME)
    folder.mkdir()
    xml = folder / XML
    ov.save_model(model, xml, compress_to_fp16=False)
    xml.write_text(text.shortened(xml.read_text("utf-8"), frozenset(known)), "utf-8")


def fit(model: Any, contract: Contract, request: Request) -> None:
    """Sees that a model's inputs and outputs are the contract's, under its names, in its order.

    A dtype that is another one is written into the contract, and said.

    Raises:
        StepError: There are more or fewer, or in another order.
    """
    for what, own, ports in (
        ("input", model.inputs, contract.inputs),
        ("output", model.outputs, contract.outputs),
    ):
        if len(own) != len(ports):
            raise StepError(
                f"the file has {len(own)} {what}s: {_listed(own)}; the recipe names "
                f"{len(ports)}: {', '.join(f'`{p.name}`' for p in ports)}",
                "an input that nothing uses, or an output given twice, is dropped by converters",
                f"{what}s",
            )
        for tensor, port in zip(own, ports, strict=True):
            _fit_port(what, tensor, port, own, request)


def _fit_port(what: str, tensor: Any, port: Port, all_of_them: Any, request: Request) -> None:
    name = port.artifact_name or port.name
    if name not in tensor.get_names():
        if any(name in other.get_names() for other in all_of_them):
            raise StepError(f"the {what}s came out in another order: {_listed(all_of_them)}")
        tensor.get_tensor().add_names({name})
    dtype = tensor.get_element_type().to_dtype().name
    if dtype != port.dtype:
        request.note(f"{what} `{port.name}` is {dtype} in the OpenVINO file, not {port.dtype}")
        port.dtype = dtype


def _listed(tensors: Any) -> str:
    return ", ".join("`" + "` = `".join(sorted(t.get_names())) + "`" for t in tensors) or "none"
