"""What the planner knows about text protobufs of ONNX models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buildsys.backends.base import (
    Backend,
    Format,
    Options,
    Ports,
    Refusal,
    Rule,
    Runtime,
)

FOLDER = Path(__file__).parent


class TextprotoOptions(Options):
    """Options of a `textproto` deployable.

    Attributes:
        title: Written to the model's `doc_string`.
    """

    title: str | None = None


def refuses(ports: Ports, options: Mapping[str, Any]) -> Refusal | None:
    """A title is one line, or a reviewer sees another text than the model's."""
    if "\n" in (options["title"] or ""):
        return Refusal("`title` has more than one line", "make it one line", "title")
    return None


backend = Backend(
    name="textproto",
    folder=FOLDER,
    formats=(
        Format(
            "textproto",
            ".textproto",
            options=TextprotoOptions,
            runtime=Runtime("onnx"),
            refuses=refuses,
        ),
    ),
    rules=(
        Rule(
            name="textproto.write",
            takes=("onnx",),
            gives="textproto",
            toolchain="onnx",
            worker="worker:write",
            options=("title",),
        ),
    ),
)
