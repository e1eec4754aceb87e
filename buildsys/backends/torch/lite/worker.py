"""TorchScript to a file for the lite interpreter of PyTorch Mobile."""

from __future__ import annotations

from ...kit.export.survey import capture_sizes
from ...kit.protocol import ports as ports_of
from ...kit.protocol.cause import first_lines
from ...kit.protocol.contract import Contract
from ...kit.protocol.request import Request, StepError
from ..capture import canonical
from ..files import load
from ..original import model
from . import runtime

PRELOAD = {"convert": ("numpy.random",)}
"""What each step imports late; see `toolchains/inside/forks.py`."""


def convert(request: Request) -> None:
    """Makes a .ptl file, which is run once before it is given out.

    Inputs: `artifact` (TorchScript), `io`. Options: `ports`.

    Raises:
        StepError: The model is beyond the lite interpreter, or the file does not run.
    """
    model.prepare(request.threads)
    contract = Contract.read(request.inputs["io"])
    module = load(request.inputs["artifact"], "torchscript")
    target = request.outputs["artifact"]
    try:
        canonical.save_lite(module, target)
    except RuntimeError as error:
        raise StepError(
            f"the lite interpreter cannot hold this model: {first_lines(error)}",
            "`format: executorch` and `format: torchscript` are made by other means",
            "format",
        ) from error
    ports = request.options["ports"]
    feed = ports_of.random_feed(ports, capture_sizes(ports, dynamic=True), seed=0)
    found = runtime.load(target, contract, request.threads).run(feed)
    if len(found) != len(contract.outputs):
        raise StepError(f"the file gives {len(found)} outputs, not {len(contract.outputs)}")
    contract.write(request.outputs["io"])
