"""Writes and checks bundles: `<project>-<release>-<target>.tar.zst`.

A bundle's identity is the sha256 of its `SHA256SUMS`, since compressed bytes may change with the
library that compresses. With one version of zstd the archive is byte-identical as well: sorted
names, fixed owners, modes and times.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import zstandard

from buildsys.engine.session import Build
from buildsys.engine.verdicts import Status, Verdict
from buildsys.release.manifest import manifest
from buildsys.store.content import FILE, tree_digest, tree_files, tree_manifest, writing

SUMS, MANIFEST = "SHA256SUMS", "manifest.json"
SELF_TEST = "selftest"
"""The manifest's word for what is carried besides the artifacts."""
SelfTest = Callable[[Mapping[str, list[str]]], Mapping[str, bytes]]
"""Takes the artifacts' paths in the bundle by label; gives more files by their paths."""
LEVEL = 10
LINE = re.compile(r"^([0-9a-f]{64})  (.+)$")


class BundleError(Exception):
    """A bundle cannot be made, or is not what it says.

    Attributes:
        judged: Whether it is an artifact's verdict that forbids it (exit status 3, else 1).
    """

    def __init__(self, message: str, hint: str | None = None, *, judged: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.judged = judged


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
    root = f"{build.recipe.spec.project}-{release}-{target}"
    contents: dict[str, bytes] = {}
    files: dict[str, list[str]] = {}
    for verdict in verdicts:
        label = verdict.deployable.label
        found = _read_artifact(build.paths[label])
        if verdict.artifact is None or _digest_of(found) != verdict.artifact.digest:
            raise BundleError(
                f"{build.paths[label]} was changed after it was judged",
                "build again, and leave `artifacts/` alone meanwhile",
            )
        contents |= found
        files[label] = sorted(found)
    record = manifest(build, target, release, files)
    if self_test is not None:
        carried = self_test(files)
        record[SELF_TEST] = {"files": sorted(carried)}
        contents |= carried
    contents[MANIFEST] = (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    text = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
    contents[SUMS] = text.encode()
    path = folder / f"{root}.tar.zst"
    with writing(path):
        _write(path, root, contents)
    return Bundle(path, hashlib.sha256(contents[SUMS]).hexdigest(), record, sums)


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


def _read_artifact(path: Path) -> dict[str, bytes]:
    if not path.is_dir():
        return {path.name: path.read_bytes()}
    return {f"{path.name}/{name}": file.read_bytes() for name, file in tree_files(path)}


def _digest_of(files: dict[str, bytes], listed: dict[str, str] | None = None) -> str:
    """The digest, in the store's terms, of an artifact's files as a bundle has them."""
    sums = listed or {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    if len(files) == 1 and "/" not in next(iter(files)):
        return FILE + sums[next(iter(files))]
    rows = [(n.partition("/")[2], FILE + sums[n], len(data)) for n, data in files.items()]
    return tree_digest(tree_manifest(rows))


def _write(path: Path, root: str, contents: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as stream:
        temporary = Path(stream.name)
        try:
            compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
            with (
                compressor.stream_writer(stream, closefd=False) as packed,
                tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
            ):
                for name in sorted(contents, key=str.encode):
                    entry = tarfile.TarInfo(f"{root}/{name}")
                    entry.size = len(contents[name])
                    entry.mode = 0o644
                    archive.addfile(entry, io.BytesIO(contents[name]))
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    temporary.chmod(0o644)
    temporary.rename(path)


def read(path: Path) -> Bundle:
    """Reads a bundle and checks every file of it against `SHA256SUMS` and the manifest.

    Raises:
        BundleError: It cannot be read, or something in it is missing, altered or unexpected.
    """
    contents = _unpack(path)
    for needed in (SUMS, MANIFEST):
        if needed not in contents:
            raise BundleError(f"{path.name} has no {needed}: it is no bundle, or not whole")
    sums: dict[str, str] = {}
    for number, line in enumerate(contents[SUMS].decode(errors="replace").splitlines(), 1):
        match = LINE.match(line)
        if match is None:
            raise BundleError(f"{SUMS}:{number}: not a line of sums")
        sums[match[2]] = match[1]
    for name in sorted(sums.keys() | (contents.keys() - {SUMS})):
        if name not in contents:
            raise BundleError(f"{name} is missing from {path.name}")
        if name not in sums:
            raise BundleError(f"{name} is in {path.name}, but not in its {SUMS}")
        if hashlib.sha256(contents[name]).hexdigest() != sums[name]:
            raise BundleError(
                f"{name} in {path.name} was altered: its sha256 is not the listed one"
            )
    try:
        record: dict[str, Any] = json.loads(contents[MANIFEST])
        listed = {file for artifact in record["artifacts"] for file in artifact["files"]}
        listed |= set(record.get(SELF_TEST, {}).get("files", ()))
        wrong = [
            artifact["label"]
            for artifact in record["artifacts"]
            if set(artifact["files"]) <= contents.keys()
            and _digest_of({n: contents[n] for n in artifact["files"]}, sums) != artifact["digest"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"the manifest of {path.name} cannot be read: {error}") from error
    if listed != sums.keys() - {MANIFEST}:
        name = sorted(listed ^ (sums.keys() - {MANIFEST}))[0]
        raise BundleError(f"{name}: the manifest and the files of {path.name} disagree")
    if wrong:
        raise BundleError(f"{wrong[0]} in {path.name} is not the artifact that the manifest judged")
    return Bundle(path, hashlib.sha256(contents[SUMS]).hexdigest(), record, sums)


def _unpack(path: Path) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    try:
        with (
            path.open("rb") as stream,
            zstandard.ZstdDecompressor().stream_reader(stream) as unpacked,
            tarfile.open(fileobj=unpacked, mode="r|") as archive,
        ):
            for entry in archive:
                parts = PurePosixPath(entry.name).parts
                if not entry.isfile() or len(parts) < 2 or ".." in parts or entry.name[0] == "/":
                    raise BundleError(f"{path.name} holds `{entry.name}`, which no bundle may hold")
                data = archive.extractfile(entry)
                contents["/".join(parts[1:])] = data.read() if data is not None else b""
    except (OSError, tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise BundleError(f"cannot read {path}: {error}") from error
    return contents
