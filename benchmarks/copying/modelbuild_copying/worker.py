"""Steps that concatenate their inputs."""

from __future__ import annotations

import shutil

from ..kit.protocol import entry
from ..kit.protocol.contract import Contract, Port
from ..kit.protocol.request import Request
from ..kit.quantize import ranges


def capture(request: Request) -> None:
    """What the model's factory gives, and the checkpoint behind it."""
    source = request.options["source"]
    made = entry.call(source["factory"], request.project, "source.factory", **source["args"])
    with request.outputs["artifact"].open("wb") as stream:
        stream.write(made)
        stream.write(request.inputs["checkpoint"].read_bytes())
    ports = [Port(p["name"], p["shape"], p["dtype"]) for p in request.options["ports"]]
    outputs = [Port(name, ["N", 4], "float32") for name in request.options["outputs"]]
    Contract(ports, outputs).write(request.outputs["io"])


def copy(request: Request) -> None:
    """The artifact, and the calibration data behind it where there is any."""
    with request.outputs["artifact"].open("wb") as stream:
        for name in sorted(request.inputs.keys() - {"io"}):
            stream.write(request.inputs[name].read_bytes())
    if "ranges" in request.outputs:
        ranges.write(request.outputs["ranges"], "min-max", 1, {})
    shutil.copyfile(request.inputs["io"], request.outputs["io"])
