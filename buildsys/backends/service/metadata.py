"""Writes preprocessing and labels into a finished service."""

from __future__ import annotations

import json
import shutil

from ..kit.protocol.description import described
from ..kit.protocol.request import Request
from ..kit.serve.interface import tell, text
from .worker import INTERFACE


def describe(request: Request) -> None:
    """Writes preprocessing and labels into a finished service's `io.json`.

    Inputs: `artifact`, `io`, and files of labels. Options: see `kit.protocol.description.described`.

    Raises:
        StepError: The labels do not fit the outputs.
    """
    contract = described(request)
    folder = request.outputs["artifact"]
    shutil.copytree(request.inputs["artifact"], folder, copy_function=shutil.copyfile)
    path = folder / INTERFACE
    told = tell(json.loads(path.read_text(encoding="utf-8")), contract)
    path.write_text(text(told), encoding="utf-8")
    contract.write(request.outputs["io"])
