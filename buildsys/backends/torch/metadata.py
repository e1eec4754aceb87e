"""Writes the io contract into a finished TorchScript or ExportedProgram file, as an extra file.

`torch.jit.load(path, _extra_files={"modelbuild.io": ""})` and `torch.export.load(path,
extra_files={"modelbuild.io": ""})` fill it in; C++ has the same argument.
"""

from __future__ import annotations

import io
from pathlib import Path

import torch

from ..kit.protocol.archive import kind_of
from ..kit.protocol.description import KEY, check_read_back, described
from ..kit.protocol.request import Request
from .capture import canonical


def describe(request: Request) -> None:
    """Adds the record `extra/modelbuild.io` and reads it back; all others stay as they are.

    Inputs: `artifact`, `io`, and files of labels. Options: see `kit.protocol.description.described`.

    Raises:
        StepError: The labels do not fit the outputs.
    """
    contract = described(request)
    reader = torch._C.PyTorchFileReader(str(request.inputs["artifact"]))
    target = request.outputs["artifact"]
    target.write_bytes(
        canonical.rewritten(
            reader, reader.get_all_records(), {f"extra/{KEY}": contract.text().encode()}
        )
    )
    check_read_back(read(target), contract, "the file")
    contract.write(request.outputs["io"])


def read(path: Path) -> str | None:
    """The contract that a file carries, as text; by torch's own loader."""
    extra: dict[str, str | bytes] = {KEY: ""}
    buffer = io.BytesIO(path.read_bytes())  # torch wants suffixes on paths.
    if kind_of(path) == "exported":
        torch.export.load(buffer, extra_files=extra)
    else:
        torch.jit.load(buffer, map_location="cpu", _extra_files=extra)
    found = extra[KEY]
    return (found if isinstance(found, str) else found.decode()) or None
