"""Makes the bytes of a `.mlpackage` a function of its content."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from .package import read_spec, spec_file

# Item identifiers need to be unique inside a manifest only, so they can follow from the paths.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "modelbuild.coreml")
_DATE = "conversion_date"


def canonicalise(package: Path) -> None:
    """Rewrites a package in place, so that equal content is equal bytes.

    What coremltools varies: the manifest's random identifiers and their order, the date in the
    metadata, the order of protobuf maps, and file modes (its temporary files are private).
    """
    canonicalise_file(package)
    _rewrite_manifest(package / "Manifest.json")
    for path in (package, *package.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def canonicalise_file(model: Path) -> None:
    """Writes the message of a package or an `.mlmodel` again, without the date, in one order."""
    spec = read_spec(model)
    metadata = spec.description.metadata.userDefined
    for key in [key for key in metadata if key.endswith(_DATE)]:
        del metadata[key]
    spec_file(model).write_bytes(spec.SerializeToString(deterministic=True))


def _rewrite_manifest(path: Path) -> None:
    manifest = json.loads(path.read_text())
    entries = manifest["itemInfoEntries"]
    renamed = {old: str(uuid.uuid5(_NAMESPACE, item["path"])) for old, item in entries.items()}
    manifest["itemInfoEntries"] = {renamed[old]: item for old, item in entries.items()}
    manifest["rootModelIdentifier"] = renamed[manifest["rootModelIdentifier"]]
    path.write_text(json.dumps(manifest, indent=4, sort_keys=True) + "\n")
