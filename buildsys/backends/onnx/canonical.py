"""ONNX files with equal bytes for equal models, and without the build machine's paths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import Message

from ..kit.protocol.request import StepError

LARGEST = 2**31 - 1
"""What one protobuf message may weigh, in bytes."""
ROOM = 64 * 2**20
"""What a graph may weigh beside its weights; generous."""

PROVENANCE = ("doc_string", "metadata_props")


def save(model: Any, path: Path, note: Callable[[str], None] | None = None) -> None:
    """Checks the model, infers its shapes, and writes it without provenance.

    Args:
        model: The model.
        path: Where it goes.
        note: Is told where its shapes cannot be inferred, as of a file that is not of this project's
            making; without it that is an error.

    Raises:
        StepError: It is larger than a file can be, or the checker of ONNX refuses it.
    """
    strip(model)
    size = model.ByteSize()
    if size > LARGEST:
        raise too_large(size)
    check(model, note)
    path.write_bytes(model.SerializeToString(deterministic=True))
    onnx.load(path)


def check(model: Any, note: Callable[[str], None] | None = None) -> None:
    """Has ONNX's own checker look at a model, or at the file of one, and infer its shapes; see `save`.

    Raises:
        StepError: The checker refuses it.
    """
    try:
        onnx.checker.check_model(model, full_check=note is None)
        if note is not None:
            try:
                onnx.checker.check_model(model, full_check=True)
            except onnx.shape_inference.InferenceError as error:
                said = " ".join(str(error).split())[:200]
                note(
                    f"ONNX infers no shapes of the file, which ONNX Runtime runs all the same: {said}"
                )
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise StepError(f"the checker of ONNX refuses the model: {error}") from error


def too_large(size: int) -> StepError:
    """The error for a model beyond protobuf's limit."""
    return StepError(
        f"the model weighs {size / 2**30:.2f} GiB: one ONNX file holds less than 2 GiB",
        "`format: onnx_external` keeps weights in a file of their own; "
        "what is made of ONNX takes the one file: leave it out, or shrink the model",
        "format",
    )


def strip(message: Message) -> None:
    """Clears documentation and metadata everywhere: torch writes stack traces with paths there."""
    for name in PROVENANCE:
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in value if isinstance(value, list) or hasattr(value, "add") else (value,):
            strip(inner)
