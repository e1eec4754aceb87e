"""Reads the text."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf import text_format

from ..kit.protocol.request import StepError


def read(path: Path) -> onnx.ModelProto:
    """The model that a text says.

    Raises:
        StepError: It is not text of a model.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), onnx.ModelProto())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise StepError(f"the file is not text protobuf of an ONNX model: {error}") from error
