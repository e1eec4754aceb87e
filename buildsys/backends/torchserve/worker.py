"""Makes `.mar` files: a zip of the model, its handler and its contract, with equal bytes for equal inputs."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from ..kit.protocol.contract import Contract
from ..kit.protocol.request import Request
from ..kit.serve.interface import interface, text

HERE = Path(__file__).parent
INTERFACE = "io.json"
WIRE = HERE.parent / "kit" / "serve" / "wire.py"
ARCHIVER = "0.12.0"
UNRELEASED = "1.0"
"""What the archiver of TorchServe writes where no version is given."""
EPOCH = (1980, 1, 1, 0, 0, 0)
CREATED = "01/01/1980 00:00:00"


def make(request: Request) -> None:
    """Writes the archive.

    The archiver of TorchServe writes the date into the manifest and into every entry of the zip, hence
    this one.

    Inputs: `artifact` (TorchScript), `io`. Options: `ports`, `metadata`, `format`.
    """
    options = request.options["format"]
    metadata = request.options["metadata"]
    contract = Contract.read(request.inputs["io"])
    model = request.inputs["artifact"].read_bytes()
    record = interface(contract, request.options["ports"], metadata, model) | {
        "threads": options["threads"],
        "nonfinite": options["nonfinite_inputs"],
    }
    manifest = {
        "createdOn": CREATED,
        "runtime": "python",
        "model": {
            "modelName": metadata["model"],
            "serializedFile": "model.pt",
            "handler": "handler.py",
            "modelVersion": metadata["version"] or UNRELEASED,
            "configFile": "model-config.yaml",
        },
        "archiverVersion": ARCHIVER,
    }
    config = {
        "minWorkers": options["workers"],
        "maxWorkers": options["workers"],
        "responseTimeout": options["response_timeout_s"],
    }
    handler = (HERE / "shipped" / "handler.py").read_text(encoding="utf-8")
    files = {
        "MAR-INF/MANIFEST.json": encoded(manifest),
        "handler.py": handler.replace("from ...kit.serve.wire", "from wire").encode(),
        INTERFACE: encoded(record),
        "model-config.yaml": encoded(config),  # JSON is YAML.
        "model.pt": model,
        "wire.py": WIRE.read_bytes(),
    }
    write(request.outputs["artifact"], files)
    contract.write(request.outputs["io"])


def write(path: Path, files: dict[str, bytes]) -> None:
    """A zip without dates."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data)


def encoded(value: Any) -> bytes:
    """A value as a file of JSON."""
    return text(value).encode()
