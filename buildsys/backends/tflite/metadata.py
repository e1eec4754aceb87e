"""Writes the io contract into a finished TFLite file: TensorFlow Lite's metadata, and our own entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ..kit.protocol.contract import Contract, Port
from ..kit.protocol.description import KEY, check_read_back, described
from ..kit.protocol.request import Request, StepError
from . import android_metadata, buffers
from .signature import DEFAULT, Signature


def describe(request: Request) -> None:
    """Adds the entries `TFLITE_METADATA` and `modelbuild.io`, and reads them back.

    Inputs: `artifact`, `io`, and files of labels. Options: see `kit.protocol.description.described`.

    Raises:
        StepError: The labels do not fit the outputs, or the file holds weights behind its tables.
    """
    contract = described(request)
    raw = buffers.moved_within(request.inputs["artifact"].read_bytes())
    model = schema.ModelT.InitFromPackedBuf(raw, 0)
    if any(map(buffers.is_behind, model.buffers)):
        raise StepError("the file is larger than 2 GiB, and cannot be written again with metadata")
    inputs, outputs = _ordered(model, contract)
    files = android_metadata.label_files(contract)
    _put(model, android_metadata.ENTRY, android_metadata.packed(inputs, outputs, files))
    _put(model, KEY, contract.text().encode())
    labels = {port.name: port.labels or [] for port in contract.outputs}
    lists = {file: labels[name] for name, file in files.items()}
    made = android_metadata.with_files(buffers.packed(model), lists)
    _check(made, contract, lists)
    request.outputs["artifact"].write_bytes(made)
    contract.write(request.outputs["io"])


def read(model: bytes, name: str = KEY) -> bytes | None:
    """An entry of a file's metadata."""
    root = schema.ModelT.InitFromPackedBuf(model, 0)
    for entry in root.metadata or ():
        if entry.name.decode() == name:
            return bytes(root.buffers[entry.buffer].data)
    return None


def _ordered(model: Any, contract: Contract) -> tuple[list[Port], list[Port]]:
    """Ports in the order of the file's own inputs and outputs, which is not the signature's."""
    signature = next(s for s in model.signatureDefs if s.signatureKey.decode() == DEFAULT)
    graph = model.subgraphs[signature.subgraphIndex]
    return (
        _sorted(contract.inputs, signature.inputs, graph.inputs),
        _sorted(contract.outputs, signature.outputs, graph.outputs),
    )


def _sorted(ports: Sequence[Port], maps: Sequence[Any], indices: Sequence[int]) -> list[Port]:
    by_tensor = {entry.tensorIndex: entry.name.decode() for entry in maps}
    by_name = {port.artifact_name or port.name: port for port in ports}
    return [by_name[by_tensor[int(index)]] for index in indices]


def _put(model: Any, name: str, data: bytes) -> None:
    """Adds an entry, or gives the one of this name another buffer's worth of data."""
    held = np.frombuffer(data, np.uint8)
    for entry in model.metadata or ():
        if entry.name.decode() == name:
            model.buffers[entry.buffer].data = held
            return
    model.buffers.append(schema.BufferT(data=held))
    entry = schema.MetadataT(name=name.encode(), buffer=len(model.buffers) - 1)
    model.metadata = [*(model.metadata or ()), entry]


def _check(made: bytes, contract: Contract, lists: dict[str, list[str]]) -> None:
    """Reads back what was written, and loads the file by LiteRT."""
    found = read(made)
    check_read_back(found.decode() if found is not None else None, contract, "the TFLite file")
    if android_metadata.read_files(made) != lists:
        raise StepError(
            "the names of classes were written into the TFLite file, and others are read"
        )
    signature = Signature(made)
    for ports, tensors in (
        (contract.inputs, signature.inputs),
        (contract.outputs, signature.outputs),
    ):
        for port in ports:
            tensor = tensors.get(port.artifact_name or port.name)
            if tensor is None or (list(tensor.shape), tensor.dtype) != (port.shape, port.dtype):
                raise StepError(f"`{port.name}` is another one in the file with metadata")
