"""Bundles: equal builds give equal archives, and every change of one is found."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from buildsys.release.bundle import BundleError, create, read
from tests.space import Space

Contents = dict[str, bytes]


@pytest.fixture
def bundle(space: Space, tmp_path: Path) -> Path:
    return create(space.build("android"), "android", tmp_path / "out", "1.0").path


def unpack(path: Path) -> Contents:
    with path.open("rb") as stream:
        data = zstandard.ZstdDecompressor().stream_reader(stream).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive.getmembers()}  # type: ignore[union-attr]


def pack(path: Path, contents: Contents) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    path.write_bytes(zstandard.ZstdCompressor().compress(stream.getvalue()))


def test_what_is_in_it(bundle: Path) -> None:
    found = read(bundle)
    assert sorted(found.files) == ["m-half.small", "m.small", "manifest.json"]
    (plain, half) = found.manifest["artifacts"]
    assert plain["label"] == "android/m.tflite"
    assert plain["status"] == "verified"
    assert plain["accept"] == {"name": "close", "bounds": {"signal_error": 1e-3}}
    assert set(plain["sources"]) == {"weights.safetensors", "model.py", "helper.py"}
    assert half["scheme"] == "float16"
    assert plain["io"]["inputs"][0]["name"] == "x"
    sums = unpack(bundle)["toy-1.0-android/SHA256SUMS"]
    assert found.identity == hashlib.sha256(sums).hexdigest()


def test_equal_builds_give_equal_archives(bundle: Path, space: Space, tmp_path: Path) -> None:
    again = create(space.build("android"), "android", tmp_path / "again", "1.0")
    assert again.path.read_bytes() == bundle.read_bytes()


def test_what_is_unverified_is_refused_unless_told(space: Space, tmp_path: Path) -> None:
    build = space.build("ios")
    with pytest.raises(BundleError, match="is unverified: nothing runs a fake package"):
        create(build, "ios", tmp_path / "out", "1.0")
    assert not (tmp_path / "out").exists()
    told = create(build, "ios", tmp_path / "out", "1.0", allow_unverified=True)
    statuses = {a["label"]: a["status"] for a in read(told.path).manifest["artifacts"]}
    assert statuses == {"ios/m.onnx": "verified", "ios/m.coreml": "unverified"}


def test_what_is_rejected_is_refused(space: Space, tmp_path: Path) -> None:
    space.edit("deploy.yaml", "signal_error: 1.0e-3", "signal_error: 1.0e-12")
    with pytest.raises(BundleError, match="is rejected"):
        create(space.build("android"), "android", tmp_path / "out", "1.0", allow_unverified=True)


ROOT = "toy-1.0-android/"
HARM: dict[str, tuple[Callable[[Contents], object], str]] = {
    "a flipped byte": (
        lambda c: c.update({ROOT + "m.small": c[ROOT + "m.small"][:-1] + b"?"}),
        "m.small in toy-1.0-android.tar.zst was altered",
    ),
    "a missing file": (lambda c: c.pop(ROOT + "m.small"), "m.small is missing"),
    "a file too many": (
        lambda c: c.update({ROOT + "extra": b"1"}),
        "extra is in toy-1.0-android.tar.zst, but not in its SHA256SUMS",
    ),
    "an altered manifest": (
        lambda c: c.update({ROOT + "manifest.json": b"{}"}),
        "manifest.json in toy-1.0-android.tar.zst was altered",
    ),
    "no sums": (lambda c: c.pop(ROOT + "SHA256SUMS"), "has no SHA256SUMS"),
    "a path that escapes": (
        lambda c: c.update({ROOT + "../evil": b"1"}),
        "which no bundle may hold",
    ),
    "an absolute path": (lambda c: c.update({"/evil/x": b"1"}), "which no bundle may hold"),
}


@pytest.mark.parametrize("name", HARM)
def test_every_change_is_found(bundle: Path, name: str) -> None:
    harm, message = HARM[name]
    contents = unpack(bundle)
    harm(contents)
    pack(bundle, contents)
    with pytest.raises(BundleError) as caught:
        read(bundle)
    assert message in caught.value.message


def test_a_truncated_archive_is_refused(bundle: Path) -> None:
    data = bundle.read_bytes()
    for length in range(0, len(data), 97):
        bundle.write_bytes(data[:length])
        with pytest.raises(BundleError):
            read(bundle)
