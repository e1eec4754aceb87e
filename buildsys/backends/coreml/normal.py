"""Core ML artifacts that mean the same, as equal bytes: without identifiers, and with maps in order."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..kit.protocol.request import Request
from .package import MODEL, read_spec

MANIFEST = Path("Manifest.json")
"""Of a package: identifiers that are drawn again each time, and where its files lie."""


def normalise(request: Request) -> None:
    """Writes the program with its maps in order, and the digests of the other files (weights).

    Inputs: `artifact`, a package or an `.mlmodel`. Outputs: `normal`.
    """
    artifact = request.inputs["artifact"]
    lines = []
    for file in sorted(artifact.rglob("*")) if artifact.is_dir() else ():
        name = file.relative_to(artifact)
        if file.is_file() and name not in (MANIFEST, MODEL):
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            lines.append(f"{digest}  {name.as_posix()}\n")
    spec = read_spec(artifact).SerializePartialToString(deterministic=True)
    request.outputs["normal"].write_bytes("".join(lines).encode() + spec)
