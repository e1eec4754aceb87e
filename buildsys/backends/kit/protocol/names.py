"""Names that survive the converters, and what is declared where a recipe's name does not."""

from __future__ import annotations

import re

from .request import Request

_SAFE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def alias(request: Request, kind: str, name: str, what: str) -> str:
    """The recipe's name, or one that the converters keep, with a note.

    TensorFlow and torch rewrite other characters, each in its own way.

    Args:
        request: Gets the note.
        kind: `input` or `output`.
        name: The recipe's.
        what: What is made, for the note: `TFLite file`.
    """
    if _SAFE.fullmatch(name):
        return name
    safe = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if not _SAFE.fullmatch(safe):
        safe = f"{kind}_{safe}"
    request.note(f"{kind} `{name}` is named `{safe}` in the {what}")
    return safe


def note_dtype(request: Request, kind: str, name: str, before: str, after: str, what: str) -> None:
    """Says that an input or output has another dtype than in the model."""
    if before != after:
        request.note(f"{kind} `{name}` is {after} in the {what}, {before} in the model")


def note_fixed_sizes(request: Request, what: str) -> None:
    """Says which dynamic sizes were fixed at their examples: the format keeps none."""
    for port in request.options["ports"]:
        for symbol, dim in port["dims"].items():
            if symbol in port["shape"] and dim["min"] < dim["max"]:
                request.note(f"size {symbol} is fixed at {dim['example']} in the {what}")
