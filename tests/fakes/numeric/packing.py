"""A format of its own: the columns of a matrix are its layers, each in float32 or in fewer bits.

On disk: a line of JSON (`bits` of each column, `rounds` where activations are rounded too), then each column:
its scale in float32, where it has fewer bits, and its numbers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..kit.protocol.contract import Contract
from ..kit.protocol.globs import fitting
from ..kit.protocol.request import Request, StepError
from ..kit.quantize import ranges
from . import runtime
from .worker import _contract

WHOLE = 32


def convert(request: Request) -> None:
    matrix = np.asarray(runtime.rows(request.inputs["artifact"]), np.float32)
    columns = [(column, {"bits": WHOLE}) for column in matrix.T]
    _write(request, columns)
    _contract(request).write(request.outputs["io"])


def quantize(request: Request) -> None:
    wanted = request.options["quantization"]
    if wanted["scheme"] == "static" and wanted.get("activations") == "int16":
        raise StepError("int16 was asked to fail", "take int8", "quantization")
    matrix = read(request.inputs["artifact"])
    names = {index: [f"column{index}"] for index in range(len(matrix.T))}
    kept = fitting(wanted.get("keep_float") or [], names, "fits no column")
    if len(kept) == len(names):
        raise StepError("nothing was quantized")
    bits = 16 if wanted["scheme"] == "float16" else wanted["bits"]
    largest = np.abs(matrix).max()
    columns: list[tuple[Any, dict[str, Any]]] = []
    for index, column in enumerate(matrix.T):
        if index in kept:
            columns.append((column, {"bits": WHOLE}))
            continue
        of = np.abs(column).max() if wanted.get("per_channel", True) else largest
        scale = float(of) / (2 ** (bits - 1) - 1)
        entry = {"bits": bits, "scale": scale, "rounds": wanted["scheme"] in ("dynamic", "static")}
        columns.append((np.round(column / scale), entry))
    if "ranges" in request.outputs:
        ranges.write(request.outputs["ranges"], "min-max", 1, {"x": [(0.0, 1.0)]})
    _write(request, columns)
    _contract(request).write(request.outputs["io"])


def _write(request: Request, columns: list[tuple[Any, dict[str, Any]]]) -> None:
    rounds = any(entry.get("rounds") for _, entry in columns)
    head = {"bits": [entry["bits"] for _, entry in columns], "rounds": rounds}
    body = b"".join(_packed(column, entry) for column, entry in columns)
    line = json.dumps(head, separators=(",", ":"))
    request.outputs["artifact"].write_bytes(line.encode() + b"\n" + body)


def _packed(column: Any, entry: dict[str, Any]) -> bytes:
    bits = entry["bits"]
    if bits == WHOLE:
        return bytes(column.astype("<f4").tobytes())
    scale = np.float32(entry["scale"]).tobytes()
    if bits == 4:
        nibbles = (column.astype(np.int64) & 15).astype(np.uint8)
        return bytes(scale + (nibbles[::2] | (nibbles[1::2] << 4)).tobytes())
    return bytes(scale + column.astype(f"<i{bits // 8}").tobytes())


def header(path: Path) -> dict[str, Any]:
    """The line of JSON."""
    found: dict[str, Any] = json.loads(path.read_bytes().partition(b"\n")[0])
    return found


def read(path: Path) -> Any:
    """The matrix, as it is computed with; columns hold even numbers of rows."""
    line, _, body = path.read_bytes().partition(b"\n")
    widths = json.loads(line)["bits"]
    scales = 4 * sum(bits != WHOLE for bits in widths)
    rows = (len(body) - scales) * 8 // sum(widths)
    columns = []
    for bits in widths:
        scale = np.float32(1)
        if bits != WHOLE:
            scale, body = np.frombuffer(body[:4], "<f4")[0], body[4:]
        content, body = body[: rows * bits // 8], body[rows * bits // 8 :]
        if bits == WHOLE:
            values: Any = np.frombuffer(content, "<f4")
        elif bits == 4:
            packed = np.frombuffer(content, np.uint8)
            nibbles = np.stack([packed & 15, packed >> 4], 1).ravel().astype(np.int64)
            values = np.where(nibbles > 7, nibbles - 16, nibbles)
        else:
            values = np.frombuffer(content, f"<i{bits // 8}")
        columns.append((values * scale).astype(np.float32))
    return np.stack(columns, 1)


class Packed:
    runtime = "numpy, packed"

    def __init__(self, path: Path, contract: Contract) -> None:
        self._matrix = read(path)
        self._rounds = header(path)["rounds"]
        self._output = contract.outputs[0].name

    def run(self, feed: dict[str, Any]) -> dict[str, Any]:
        (value,) = feed.values()
        if self._rounds:
            step = float(np.abs(value).max()) / 127 or 1.0
            value = np.round(value / step) * step
        return {self._output: (value @ self._matrix).astype(np.float32)}


def load(path: Path, contract: Contract, threads: int) -> Packed:
    return Packed(path, contract)


def layers(path: Path, contract: Contract) -> dict[str, bool]:
    """Every column is a layer."""
    return {f"column{index}": True for index in range(len(header(path)["bits"]))}
