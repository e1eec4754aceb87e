"""Writes an ONNX model as text."""

from __future__ import annotations

import shutil

import onnx
from google.protobuf import text_format

from ..kit.protocol.request import Request, StepError
from . import text


def write(request: Request) -> None:
    """Makes the text and reads it back.

    Raises:
        StepError: What is read back is another model.
    """
    model = onnx.load(request.inputs["artifact"].open("rb"))
    title = request.options["format"]["title"]
    if title is not None:
        model.doc_string = title
    made = request.outputs["artifact"]
    made.write_text(text_format.MessageToString(model), encoding="utf-8")
    if text.read(made) != model:
        raise StepError("the model does not survive being written as text", "deploy `onnx` instead")
    shutil.copyfile(request.inputs["io"], request.outputs["io"])
    request.note("text is larger than the ONNX file, and an app has to parse it")
