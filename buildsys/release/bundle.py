"""Writes and checks bundles: `<project>-<release>-<target>.tar.zst`.

A bundle's identity is the sha256 of its `SHA256SUMS`. It stands for every byte of the archive before
compression, since the names and digests of the files decide all else. Compressed bytes may change with
the library that compresses; with one version of zstd, equal builds give equal files.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildsys.engine.outcome.verdicts import Status, Verdict
from buildsys.engine.results import Build
from buildsys.figures.json_form import to_json
from buildsys.release.archive import MANIFEST, SUMS, Reader, length, refuse_names, write
from buildsys.release.errors import BundleError
from buildsys.release.frame import Frame
from buildsys.release.listing import (
    LARGEST,
    Listing,
    artifact_digest,
    artifact_files,
    manifest_text,
    read_manifest,
    read_sums,
    sums_text,
)
from buildsys.release.manifest import manifest
from buildsys.store.content import writing

__all__ = ["Bundle", "BundleError", "SelfTest", "create", "read"]

SelfTest = Callable[[Mapping[str, list[str]]], Mapping[str, bytes]]
"""Takes the artifacts' paths in the bundle by label; gives more files by their paths."""


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk.

    Attributes:
        path: The archive.
        identity: sha256 of its `SHA256SUMS`.
        manifest: Its manifest.
        files: Path in the bundle to sha256.
    """

    path: Path
    identity: str
    manifest: dict[str, Any]
    files: dict[str, str]


def create(
    build: Build,
    target: str,
    folder: Path,
    release: str,
    *,
    allow_unverified: bool = False,
    self_test: SelfTest | None = None,
) -> Bundle:
    """Bundles what a build shipped for one target.

    Args:
        build: A finished build.
        target: The target.
        folder: Where the archive is written.
        release: The bundle's version.
        allow_unverified: Whether what nothing has run is bundled too.
        self_test: Gives the files that it carries besides, to be run elsewhere.

    Raises:
        BundleError: Something of the target was not shipped, or was not verified.
        StoreError: The archive cannot be written.
    """
    verdicts = [v for v in build.verdicts if v.deployable.target == target]
    _refuse(verdicts, allow_unverified)
    root = f"{build.outline.project}-{release}-{target}"
    contents: dict[str, bytes] = {}
    files: dict[str, list[str]] = {}
    for verdict in verdicts:
        label = verdict.deployable.label
        placed = artifact_files(build.paths[label])
        found = {name: file.read_bytes() for name, file in placed.items()}
        rows = {name: (_sha256(data), len(data)) for name, data in found.items()}
        if verdict.artifact is None or artifact_digest(rows) != verdict.artifact.digest:
            raise BundleError(
                f"{build.paths[label]} was changed after it was judged",
                "build again, and leave `artifacts/` alone meanwhile",
            )
        contents |= found
        files[label] = sorted(found)
    carried = self_test(files) if self_test is not None else {}
    contents |= carried
    sizes = {name: len(contents[name]) for name in sorted(contents)}
    tested = sorted(carried) if self_test is not None else None
    record = to_json(manifest(build, target, release, files, tested, sizes))
    contents[MANIFEST] = manifest_text(record)
    sums = {name: _sha256(data) for name, data in contents.items()}
    contents[SUMS] = sums_text(sums)
    for name in (SUMS, MANIFEST):
        if len(contents[name]) > LARGEST:
            raise BundleError(
                f"the {name} of {root} would have {len(contents[name])} bytes, and {LARGEST} are allowed",
                "divide the target's models over several recipes",
            )
    path = folder / f"{root}.tar.zst"
    for names in ({root: b""}, contents):
        refuse_names(names, path.name)
    with writing(path):
        _write(path, root, contents)
    return Bundle(path, _sha256(contents[SUMS]), record, sums)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _refuse(verdicts: Iterable[Verdict], allow_unverified: bool) -> None:
    for verdict in verdicts:
        label = verdict.deployable.label
        if not verdict.status.shipped:
            message = f"{label} is {verdict.status}: {verdict.reason}"
            raise BundleError(message, judged=verdict.status is Status.REJECTED)
        if verdict.status is Status.UNVERIFIED and not allow_unverified:
            raise BundleError(
                f"{label} is unverified: {verdict.reason}",
                "`--allow-unverified` bundles it all the same, marked as such in the manifest",
                judged=True,
            )


def _write(path: Path, root: str, contents: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as stream:
        temporary = Path(stream.name)
        try:
            write(stream, root, contents)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    temporary.chmod(0o644)
    temporary.rename(path)


def read(path: Path, expected: str | None = None) -> Bundle:
    """Checks a whole bundle: that `create` could have written every byte of its archive.

    Memory stays constant: the files are hashed as they are unpacked, and refused where they are longer
    than the manifest declares.

    Args:
        path: The archive.
        expected: The identity that it must have (64 hexadecimal digits); compared before anything else
            of it is read.

    Raises:
        BundleError: It cannot be read, is another bundle, or something in it is missing, altered or
            unexpected.
    """
    with Frame(path) as frame:
        reader = Reader(frame, path.name)
        text = reader.small(SUMS, LARGEST)
        identity = _sha256(text)
        if expected is not None and identity != expected:
            raise BundleError(
                f"{path.name} is another bundle: sha256:{identity} instead of sha256:{expected}"
            )
        sums = read_sums(text, path.name)
        data = reader.small(MANIFEST, LARGEST)
        listing = read_manifest(data, sums, path.name)
        _files(reader, listing, {SUMS: len(text), MANIFEST: len(data)}, path.name)
    return Bundle(path, identity, listing.manifest, sums)


def _files(reader: Reader, listing: Listing, first: dict[str, int], archive: str) -> None:
    """Checks the root and all files of a bundle whose declarations were read."""
    record = listing.manifest
    root = f"{record['project']}-{record['release']}-{record['target']}"
    if reader.root != root:
        raise BundleError(f"the root of {archive} is `{reader.root}`; its manifest says `{root}`")
    for name in sorted(listing.sizes, key=str.encode):
        hasher = hashlib.sha256()
        for part in reader.chunks(name, listing.sizes[name]):
            hasher.update(part)
        if hasher.hexdigest() != listing.sums[name]:
            raise BundleError(f"{name} in {archive} was altered: its sha256 is not the listed one")
    reader.finish(length(root, {**first, **listing.sizes}))
