"""What a bundle declares of itself: `SHA256SUMS` and `manifest.json`, checked against each other.

Both are read before any other file of a bundle, so that each file's name, size and digest are known
before its first byte is read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildsys.engine.outcome.verdicts import Status
from buildsys.release.archive import MANIFEST, SUMS, refuse_names
from buildsys.release.errors import BundleError
from buildsys.release.manifest import VERSION
from buildsys.store.content import FILE, tree_digest, tree_files, tree_manifest

LARGEST = 16 << 20
"""How many bytes `SHA256SUMS` and the manifest may have."""
SELF_TEST = "selftest"
"""The manifest's word for what is carried besides the artifacts."""
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


@dataclass(frozen=True)
class Listing:
    """Everything that a bundle declares.

    Attributes:
        manifest: Its manifest.
        sums: Path in the bundle to sha256, `SHA256SUMS` itself left out.
        sizes: Path in the bundle to size in bytes, `SHA256SUMS` and the manifest left out.
    """

    manifest: dict[str, Any]
    sums: dict[str, str]
    sizes: dict[str, int]


def sums_text(sums: Mapping[str, str]) -> bytes:
    """The bytes of `SHA256SUMS`."""
    names = sorted(sums, key=str.encode)
    return "".join(f"{sums[name]}  {name}\n" for name in names).encode()


def manifest_text(manifest: Mapping[str, Any]) -> bytes:
    """The bytes of `manifest.json`."""
    return (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode()


def read_sums(data: bytes, archive: str) -> dict[str, str]:
    """Reads `SHA256SUMS`.

    Raises:
        BundleError: A line of it is none, or lines are repeated or out of order.
    """
    sums: dict[str, str] = {}
    for number, line in enumerate(data.decode(errors="replace").split("\n")[:-1], 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise BundleError(f"{SUMS}:{number} in {archive}: not a line of sums")
        if match[2] in sums:
            raise BundleError(f"{SUMS}:{number} in {archive}: lists `{match[2]}` twice")
        sums[match[2]] = match[1]
    if SUMS in sums or MANIFEST not in sums:
        raise BundleError(f"{SUMS} in {archive} has to list {MANIFEST}, and not itself")
    refuse_names(sums, archive)
    if sums_text(sums) != data:
        raise BundleError(f"{SUMS} in {archive} is not in the order of its names")
    return sums


def read_manifest(data: bytes, sums: Mapping[str, str], archive: str) -> Listing:
    """Reads the manifest, and checks that it and `SHA256SUMS` say the same.

    Raises:
        BundleError: It cannot be read, lacks something, or contradicts the sums or itself.
    """
    if hashlib.sha256(data).hexdigest() != sums[MANIFEST]:
        raise BundleError(f"{MANIFEST} in {archive} was altered: its sha256 is not the listed one")
    try:
        record = json.loads(data)
        same = manifest_text(record) == data
    except (ValueError, RecursionError) as error:
        raise BundleError(f"the manifest of {archive} cannot be read: {error}") from error
    wrong = _unfit(record)
    if wrong is not None:
        raise BundleError(f"the manifest of {archive} is not valid: {wrong}")
    if not same:
        # Keys that are repeated, for instance: readers differ in which one they take.
        raise BundleError(f"the manifest of {archive} is not as `bundle create` writes it")
    sizes: dict[str, int] = record["sizes"]
    files = [name for artifact in record["artifacts"] for name in artifact["files"]]
    files += record.get(SELF_TEST, {"files": []})["files"]
    for name in sorted({*files, *sizes} ^ (sums.keys() - {MANIFEST})):
        raise BundleError(f"{name}: the manifest and the {SUMS} of {archive} disagree")
    if len(files) != len(set(files)) or len(files) != len(sizes):
        raise BundleError(f"the manifest of {archive} lists a file twice, or without its size")
    for artifact in record["artifacts"]:
        rows = {name: (sums[name], sizes[name]) for name in artifact["files"]}
        digest = artifact_digest(rows)
        if (digest, sum(size for _, size in rows.values())) != (
            artifact["digest"],
            artifact["bytes"],
        ):
            raise BundleError(
                f"{artifact['label']} in {archive} is not the artifact that the manifest judged"
            )
    return Listing(record, dict(sums), sizes)


def artifact_digest(files: Mapping[str, tuple[str, int]]) -> str:
    """The digest, in the store's terms, of an artifact's files by their path in the bundle.

    Args:
        files: Path to sha256 and size.
    """
    if len(files) == 1 and "/" not in next(iter(files)):
        return FILE + next(iter(files.values()))[0]
    rows = [(name.partition("/")[2], FILE + s, size) for name, (s, size) in files.items()]
    return tree_digest(tree_manifest(rows))


def artifact_files(path: Path) -> dict[str, Path]:
    """An artifact's files by their path in a bundle."""
    if not path.is_dir():
        return {path.name: path}
    return {f"{path.name}/{name}": file for name, file in tree_files(path)}


def _unfit(record: Any) -> str | None:
    """What makes a value no manifest; `None` where nothing does."""
    if not isinstance(record, dict):
        return "it is not an object"
    if record.get("version") != VERSION:
        return f"its version is {record.get('version')!r:.40}, and this program reads {VERSION}"
    for field in ("project", "release", "target"):
        if not isinstance(record.get(field), str):
            return f"`{field}` is not text"
    sizes = record.get("sizes")
    if not isinstance(sizes, dict) or not all(map(_is_size, sizes.values())):
        return "`sizes` does not give each file's size"
    carried = record.get(SELF_TEST, {"files": []})
    if not isinstance(carried, dict) or not _are_names(carried.get("files")):
        return f"`{SELF_TEST}.files` is not a list of files"
    artifacts = record.get("artifacts")
    if not isinstance(artifacts, list):
        return "`artifacts` is not a list"
    for number, artifact in enumerate(artifacts):
        if not isinstance(artifact, dict):
            return f"`artifacts[{number}]` is not an object"
        for field in ("label", "status", "digest"):
            if not isinstance(artifact.get(field), str):
                return f"`artifacts[{number}].{field}` is not text"
        if artifact["status"] not in tuple(Status):
            return f"`artifacts[{number}].status` is not a known status"
        if not _is_size(artifact.get("bytes")):
            return f"`artifacts[{number}].bytes` is not a size"
        if not artifact.get("files") or not _are_names(artifact["files"]):
            return f"`artifacts[{number}].files` is not a list of files"
    return None


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
