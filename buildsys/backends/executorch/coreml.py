"""The Core ML delegate, which can be made anywhere, with equal bytes for equal models."""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from pathlib import Path
from typing import Any

logging.getLogger("coremltools").setLevel(
    logging.ERROR
)  # It misses a Mac's libraries, and says so.

import coremltools as ct  # noqa: E402
from executorch.backends.apple.coreml.compiler import coreml_preprocess  # noqa: E402
from executorch.backends.apple.coreml.partition import coreml_partitioner  # noqa: E402

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "modelbuild.executorch.coreml")
_MODEL = Path("Data/com.apple.CoreML/model.mlmodel")


def partitioner() -> Any:
    """Picks out what Core ML can run, in float32, for iOS 16."""
    for logger in (coreml_preprocess.logger, coreml_partitioner.logger):
        logger.setLevel(logging.ERROR)
    coreml_preprocess.executorchcoreml = _Canonical
    specs = coreml_preprocess.CoreMLBackend.generate_compile_specs(
        minimum_deployment_target=ct.target.iOS16,
        compute_precision=ct.precision.FLOAT32,
    )
    return coreml_partitioner.CoreMLPartitioner(compile_specs=specs)


class _Canonical:
    """Stands before ExecuTorch's packer of folders: all that it packs passes through here."""

    _packer = coreml_preprocess.executorchcoreml

    @classmethod
    def flatten_directory_contents(cls, folder: str) -> bytes:
        """Packs a delegate's folder after it was made a function of its content."""
        canonicalise(Path(folder))
        packed: bytes = cls._packer.flatten_directory_contents(folder)
        return packed


def canonicalise(folder: Path) -> None:
    """Rewrites a delegate's folder in place.

    What varies: the package's random identifiers and their order, the date in its metadata, the
    order of protobuf maps, and the identifier by which the runtime knows a compiled model again. That
    one has to differ for each content, and so follows from it.
    """
    for package in sorted(folder.glob("*.mlpackage")):
        spec = ct.proto.Model_pb2.Model()
        spec.ParseFromString((package / _MODEL).read_bytes())
        metadata = spec.description.metadata.userDefined
        for key in [key for key in metadata if key.endswith("conversion_date")]:
            del metadata[key]
        (package / _MODEL).write_bytes(spec.SerializeToString(deterministic=True))
        _rewrite_manifest(package / "Manifest.json")
    _rewrite_identifier(folder)


def _rewrite_manifest(path: Path) -> None:
    manifest = json.loads(path.read_text())
    entries = manifest["itemInfoEntries"]
    renamed = {old: str(uuid.uuid5(_NAMESPACE, item["path"])) for old, item in entries.items()}
    manifest["itemInfoEntries"] = {renamed[old]: item for old, item in entries.items()}
    manifest["rootModelIdentifier"] = renamed[manifest["rootModelIdentifier"]]
    path.write_text(json.dumps(manifest, indent=4, sort_keys=True) + "\n")


def _rewrite_identifier(folder: Path) -> None:
    path = folder / coreml_preprocess.MODEL_PATHS.METADATA.value
    state = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file() and p != path):
        state.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    metadata = json.loads(path.read_text())
    metadata["identifier"] = f"executorch_{uuid.uuid5(_NAMESPACE, state.hexdigest())}"
    path.write_text(json.dumps(metadata))
