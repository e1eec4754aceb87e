"""Steps on matrices. A model is a module with `build(**args)` that gives a list of rows."""

from __future__ import annotations

import importlib
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..kit.protocol import arrays
from ..kit.protocol.contract import Contract, Port
from ..kit.protocol.description import described
from ..kit.protocol.request import Request, StepError
from ..kit.quantize import ranges
from ..kit.run.measurement import record
from ..kit.run.signals import signal_error
from . import runtime

__all__ = [
    "capture",
    "carry",
    "check",
    "convert",
    "convert_choosy",
    "convert_dated",
    "convert_seeded",
    "floor",
    "normalise",
    "package",
    "package_another",
    "quantize",
    "reference",
]

PRELOAD = {"reference": ("encodings.cp437", "numpy.ma", "numpy.random")}


def _contract(request: Request) -> Contract:
    ports = request.options["ports"]
    return Contract(
        [Port(p["name"], p["shape"], p["dtype"], p["layout"]) for p in ports],
        [Port(name, ["N", 2], "float32") for name in request.options["outputs"]],
    )


def _build(request: Request) -> Any:
    module_name, _, function = request.options["source"]["factory"].partition(":")
    matrix = getattr(importlib.import_module(module_name), function)(
        **request.options["source"]["args"]
    )
    if "checkpoint" in request.inputs:
        matrix = json.loads(request.inputs["checkpoint"].read_text())
    return matrix


def capture(request: Request) -> None:
    matrix = _build(request)
    if matrix == "fail":
        raise StepError("the factory asked to fail", "do not ask", "source.factory")
    if matrix == "crash":
        os.abort()
    if matrix == "hang":
        time.sleep(600)
    if matrix == "nothing":
        return
    _write(request, np.asarray(matrix))
    _contract(request).write(request.outputs["io"])


def _write(request: Request, matrix: Any) -> None:
    request.outputs["artifact"].write_text(json.dumps(np.asarray(matrix).tolist()))


def convert(request: Request) -> None:
    matrix = np.asarray(runtime.rows(request.inputs["artifact"]))
    _write(request, matrix * request.options["format"].get("gain", 1.0))
    _contract(request).write(request.outputs["io"])
    request.note("sizes are as they were")


def convert_choosy(request: Request) -> None:
    """As `convert`; refuses a matrix that begins with a negative number, and spoils one with zero."""
    matrix = np.asarray(runtime.rows(request.inputs["artifact"]))
    if matrix[0, 0] < 0:
        raise StepError("there is no operator for minus", "take `route: onnx` for this deployable")
    _write(request, matrix + (matrix[0, 0] == 0))
    _contract(request).write(request.outputs["io"])


def convert_dated(request: Request) -> None:
    """As `convert`, and with something that is never the same; a runtime passes over it."""
    convert(request)
    with request.outputs["artifact"].open("a") as file:
        file.write(f"\n#{time.time_ns()}")


def convert_seeded(request: Request) -> None:
    """As `convert`, in an order of its own for each seed of Python's hashes."""
    convert(request)
    with request.outputs["artifact"].open("a") as file:
        file.write(f"\n#{hash('a word')}")


def normalise(request: Request) -> None:
    """Without what a runtime passes over."""
    rows = runtime.rows(request.inputs["artifact"])
    request.outputs["normal"].write_text(json.dumps(rows))


def quantize(request: Request) -> None:
    matrix = np.asarray(json.loads(request.inputs["artifact"].read_text()))
    if "calibration" in request.inputs:
        (seen,) = arrays.load(request.inputs["calibration"]).values()
        found = {"x": [(float(seen.min()), float(seen.max()))]}
        ranges.write(request.outputs["ranges"], "min-max", len(seen), found)
    _write(request, matrix.astype(np.float16))
    _contract(request).write(request.outputs["io"])


def package(request: Request) -> None:
    folder: Path = request.outputs["artifact"]
    (folder / "weights").mkdir(parents=True)
    (folder / "Manifest.json").write_text("{}")
    (folder / "weights" / "weight.bin").write_bytes(request.inputs["artifact"].read_bytes())
    _contract(request).write(request.outputs["io"])


def reference(request: Request) -> None:
    record(runtime.Matrix(_build(request), _contract(request)), request)


def floor(request: Request) -> None:
    """Of a matrix in float64 and in float16; asked for where a bound needs it."""
    matrix = np.asarray(_build(request), np.float64)
    (feed,) = (arrays.load(request.inputs["samples"])[p["name"]] for p in request.options["ports"])
    exact = feed.astype(np.float64) @ matrix
    record: dict[str, Any] = {"samples": len(feed)}
    for kind in ("float32", "float16"):
        error = signal_error(feed.astype(kind) @ matrix.astype(kind), exact)
        record[kind] = {name: {"signal_error": error} for name in request.options["outputs"]}
    request.outputs["floor"].write_text(json.dumps(record))


def check(request: Request) -> None:
    held = (request.inputs["artifact"] / "weights" / "weight.bin").read_bytes()
    if held != request.inputs["contained"].read_bytes():
        raise StepError("the package holds another model")
    request.outputs["check"].write_text(json.dumps({"reason": "looked into, not run"}))


def package_another(request: Request) -> None:
    package(request)
    (request.outputs["artifact"] / "weights" / "weight.bin").write_text("another")


def carry(request: Request) -> None:
    contract = described(request)
    text = request.inputs["artifact"].read_text()
    request.outputs["artifact"].write_text(f"{text}\n#{contract.text()}")
    contract.write(request.outputs["io"])
