"""Writes the io contract into a finished ONNX file: as one entry of its `metadata_props`."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx

from ..kit.protocol.description import KEY, check_read_back, described
from ..kit.protocol.request import Request
from .files import model_file


def describe(request: Request) -> None:
    """Adds the entry `modelbuild.io` and reads it back; graph and weights stay as they are.

    Inputs: `artifact`, `io`, and files of labels. Options: see `kit.protocol.description.described`.

    Raises:
        StepError: The labels do not fit the outputs.
    """
    contract = described(request)
    source, target = request.inputs["artifact"], request.outputs["artifact"]
    # Weights in a file of their own are not looked at: they stay beside the graph.
    model = onnx.load(model_file(source), load_external_data=False)
    kept = [entry for entry in model.metadata_props if entry.key != KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(
        [*kept, onnx.StringStringEntryProto(key=KEY, value=contract.text())]
    )
    if source.is_dir():
        shutil.copytree(source, target, copy_function=shutil.copyfile)
    model_file(target).write_bytes(model.SerializeToString(deterministic=True))
    check_read_back(read(target), contract, "the ONNX file")
    contract.write(request.outputs["io"])


def read(path: Path) -> str | None:
    """The contract that an artifact carries, as text."""
    model = onnx.load(model_file(path), load_external_data=False)
    return next((entry.value for entry in model.metadata_props if entry.key == KEY), None)
