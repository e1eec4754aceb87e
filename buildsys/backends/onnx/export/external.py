"""ONNX with its weights in a file of their own: the way around protobuf's 2 GiB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import onnx
from google.protobuf.message import Message

from ...kit.protocol.request import Request, StepError
from .. import canonical
from ..files import DATA, MODEL

PAGE = 4096
"""Where a tensor may begin, so that a runtime can map it into memory."""
LARGE = 2**20
GRANULE = 2**16
"""The same for tensors from `LARGE` bytes on: Windows maps from multiples of this only."""
KIB = 2**10


def save(model: Any, draft: Path, request: Request, threshold: int) -> None:
    """Writes the folder with the graph and the data file, and checks it.

    Tensors lie in the data file in the order of the graph. One is held in memory at a time.

    Args:
        model: The graph; weights are in it, or in the exporter's own files.
        draft: The folder of those files.
        request: For its output and notes.
        threshold: From how many KiB on a tensor goes to the data file.

    Raises:
        StepError: What stays in the graph is too large for it, or the checker of ONNX refuses it.
    """
    canonical.strip(model)
    target = request.outputs["artifact"]
    target.mkdir()
    moved = inside = 0
    with (target / DATA).open("wb") as stream:
        for tensor in tensors(model):
            data = _data(tensor, draft)
            if len(data) >= threshold * KIB:
                _move(tensor, data, stream)
                moved += 1
                continue
            inside += len(data)
            if inside + canonical.ROOM > canonical.LARGEST:
                raise StepError(
                    f"tensors below {threshold} KiB weigh 2 GiB or more together, and stay in the "
                    "graph's own file, which holds less",
                    "lower `threshold_kib`",
                    "options.threshold_kib",
                )
            tensor.raw_data = data
    path = target / MODEL
    path.write_bytes(model.SerializeToString(deterministic=True))
    canonical.check(str(path))
    if not moved:
        (target / DATA).unlink()
        request.note(f"no tensor has {threshold} KiB: `{MODEL}` holds them all, without `{DATA}`")


def tensors(message: Message) -> Iterator[Any]:
    """Tensors whose bytes may lie elsewhere, in the order in which the graph has them."""
    if isinstance(message, onnx.TensorProto):
        if message.HasField("raw_data") or message.data_location == onnx.TensorProto.EXTERNAL:
            yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if hasattr(value, "add") else (value,):
                yield from tensors(inner)


def _data(tensor: Any, draft: Path) -> bytes:
    """A tensor's bytes, which it no longer has afterwards."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        where = {entry.key: entry.value for entry in tensor.external_data}
        with (draft / where["location"]).open("rb") as stream:
            stream.seek(int(where.get("offset", 0)))
            data: bytes = stream.read(int(where.get("length", -1)))
        del tensor.external_data[:]
        tensor.ClearField("data_location")
        return data
    data = bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    return data


def _move(tensor: Any, data: bytes, stream: BinaryIO) -> None:
    step = GRANULE if len(data) >= LARGE else PAGE
    stream.write(bytes(-stream.tell() % step))
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", DATA), ("offset", stream.tell()), ("length", len(data))):
        tensor.external_data.add(key=key, value=str(value))
    stream.write(data)
