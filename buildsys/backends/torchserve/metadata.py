"""Writes preprocessing and labels into a finished archive."""

from __future__ import annotations

import json
import zipfile

from ..kit.protocol.description import described
from ..kit.protocol.request import Request
from ..kit.serve.interface import tell
from .worker import INTERFACE, encoded, write


def describe(request: Request) -> None:
    """Writes preprocessing and labels into a finished archive's `io.json`.

    Inputs: `artifact`, `io`, and files of labels. Options: see `kit.protocol.description.described`.

    Raises:
        StepError: The labels do not fit the outputs.
    """
    contract = described(request)
    with zipfile.ZipFile(request.inputs["artifact"]) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files[INTERFACE] = encoded(tell(json.loads(files[INTERFACE]), contract))
    write(request.outputs["artifact"], files)
    contract.write(request.outputs["io"])
