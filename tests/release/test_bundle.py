"""Bundles: equal builds give equal archives, and every change of one is found."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from buildsys.release import archive
from buildsys.release.bundle import BundleError, create, read
from tests.space import Space

Contents = dict[str, bytes]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; its tests write what they alter to a copy."""
    folder = tmp_path_factory.mktemp("bundle")
    space = Space(folder / "project", folder / "store")
    space.create()
    return create(space.build("android"), "android", folder / "out", "1.0").path


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path))


def inflated(path: Path) -> bytes:
    with path.open("rb") as stream:
        return zstandard.ZstdDecompressor().stream_reader(stream).read()


def deflated(data: bytes, *, declared: bool = True, checksum: bool = True) -> bytes:
    stream = io.BytesIO()
    compressor = zstandard.ZstdCompressor(level=10, write_checksum=checksum)
    with compressor.stream_writer(
        stream, size=len(data) if declared else -1, closefd=False
    ) as writer:
        writer.write(data)
    return stream.getvalue()


def unpack(path: Path) -> Contents:
    with tarfile.open(fileobj=io.BytesIO(inflated(path))) as opened:
        return {m.name: opened.extractfile(m).read() for m in opened.getmembers()}  # type: ignore[union-attr]


def pack(path: Path, contents: Contents) -> None:
    """Writes an archive that is in form, whatever its files say."""
    data = b""
    names = {name.partition("/")[2]: name for name in contents}
    for inner in archive.order(names):
        data += entry(names[inner], contents[names[inner]])
    path.write_bytes(deflated(data + bytes(archive.ending(len(data)))))


def entry(name: str, data: bytes, **fields: object) -> bytes:
    """A file of an archive, with other fields than a bundle's."""
    made = tarfile.TarInfo(name)
    made.size, made.mode = len(data), 0o644
    for field, value in fields.items():
        setattr(made, field, value)
    return made.tobuf(tarfile.PAX_FORMAT) + data + bytes(archive.padding(len(data)))


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


def test_equal_builds_give_equal_archives(space: Space, tmp_path: Path) -> None:
    one, other = (
        create(space.build("android"), "android", tmp_path / name, "1.0").path
        for name in ("one", "other")
    )
    assert one.read_bytes() == other.read_bytes()


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
        "m.small in toy-1.0-android.tar.zst was altered: its sha256",
    ),
    "a longer file": (
        lambda c: c.update({ROOT + "m.small": c[ROOT + "m.small"] + b"?"}),
        "m.small in toy-1.0-android.tar.zst was altered: it has 39 bytes, and the manifest says 38",
    ),
    "a missing file": (lambda c: c.pop(ROOT + "m.small"), "m.small is missing"),
    "another file": (
        lambda c: c.update({ROOT + "m.tiny": c.pop(ROOT + "m.small")}),
        "holds `toy-1.0-android/m.tiny` where `m.small` should be",
    ),
    "a file too many": (
        lambda c: c.update({ROOT + "x" * 120: b"1"}),
        "x is in toy-1.0-android.tar.zst, but not in its SHA256SUMS",
    ),
    "an altered manifest": (
        lambda c: c.update({ROOT + "manifest.json": b"{}"}),
        "manifest.json in toy-1.0-android.tar.zst was altered",
    ),
    "no sums": (
        lambda c: c.pop(ROOT + "SHA256SUMS"),
        "holds `toy-1.0-android/manifest.json` where `SHA256SUMS` should be",
    ),
    "nothing": (lambda c: c.clear(), "SHA256SUMS is missing"),
    "a path that escapes": (
        lambda c: c.update({ROOT + "../evil": b"1"}),
        "holds `toy-1.0-android/../evil` where",
    ),
    "an absolute path": (lambda c: c.update({"/evil/x": b"1"}), "outside of its root"),
    "another root": (
        lambda c: c.update({n.replace("1.0", "2.0"): c.pop(n) for n in list(c)}),
        "the root of toy-1.0-android.tar.zst is `toy-2.0-android`; its manifest says",
    ),
}


@pytest.mark.parametrize("name", HARM)
def test_every_change_is_found(bundle: Path, name: str) -> None:
    harm, message = HARM[name]
    contents = unpack(bundle)
    harm(contents)
    pack(bundle, contents)
    refused(bundle, message)


def refused(path: Path, *messages: str) -> None:
    with pytest.raises(BundleError) as caught:
        read(path)
    for message in messages:
        assert message in caught.value.message


def test_the_archive_is_plain_tar_with_the_sums_first(bundle: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(inflated(bundle))) as opened:
        members = opened.getmembers()
    assert [m.name.removeprefix(ROOT) for m in members] == [
        "SHA256SUMS",
        "manifest.json",
        "m-half.small",
        "m.small",
    ]
    assert {(m.type, m.mode, m.uid, m.gid, m.mtime) for m in members} == {
        (tarfile.REGTYPE, 0o644, 0, 0, 0)
    }


def pieces(path: Path) -> list[tuple[str, bytes]]:
    return list(unpack(path).items())


def joined(files: list[bytes]) -> bytes:
    data = b"".join(files)
    return data + bytes(archive.ending(len(data)))


HEADERS: dict[str, tuple[dict[str, object], str]] = {
    "setuid": ({"mode": 0o4755}, "its mode is 4755 instead of 0644"),
    "a program": ({"mode": 0o755}, "its mode is 0755 instead of 0644"),
    "an owner": ({"uid": 1000}, "it has an owner"),
    "an owner's name": ({"uname": "root"}, "it has an owner"),
    "a time": ({"mtime": 1}, "it has a time"),
    "a link": ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "it is not a regular file"),
    "a device": ({"type": tarfile.CHRTYPE, "devmajor": 1}, "it is not a regular file"),
    "a folder": ({"type": tarfile.DIRTYPE}, "it is not a regular file"),
    "an old type": ({"type": tarfile.AREGTYPE}, "its header is not as `bundle create` writes it"),
    "a link's target": ({"linkname": "x"}, "its header is not as `bundle create` writes it"),
    "an extension": (
        {"pax_headers": {"comment": "hello"}},
        "its header is not as `bundle create` writes it",
    ),
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("place", [0, 1, 3], ids=["sums", "manifest", "file"])
def test_every_other_header_is_found(bundle: Path, name: str, place: int) -> None:
    fields, message = HEADERS[name]
    names = [path.removeprefix(ROOT) for path in unpack(bundle)]
    files = [
        entry(path, data, **(fields if number == place else {}))
        for number, (path, data) in enumerate(pieces(bundle))
    ]
    bundle.write_bytes(deflated(joined(files)))
    refused(bundle, message, names[place])


def with_entry(path: Path, place: int, name: str, data: bytes) -> bytes:
    files = [entry(*piece) for piece in pieces(path)]
    return joined([*files[:place], entry(name, data), *files[place:]])


TARS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "a duplicate before the good one": (
        lambda p: with_entry(p, 3, ROOT + "m.small", b"evil"),
        "m.small in toy-1.0-android.tar.zst was altered: it has 4 bytes",
    ),
    "a duplicate after the good one": (
        lambda p: with_entry(p, 4, ROOT + "m.small", b"evil"),
        "holds `m.small` twice",
    ),
    "a second manifest": (
        lambda p: with_entry(p, 2, ROOT + "manifest.json", b"{}"),
        "holds `manifest.json` twice",
    ),
    "two slashes": (
        lambda p: with_entry(p, 4, ROOT + "/m.small", b"evil"),
        "/m.small is in toy-1.0-android.tar.zst, but not in its SHA256SUMS",
    ),
    "a second root": (
        lambda p: with_entry(p, 4, "other/m.small", b"evil"),
        "holds `other/m.small`, which is outside of its root `toy-1.0-android`",
    ),
    "a second root for the manifest": (
        lambda p: inflated(p).replace(b"toy-1.0-android/manifest", b"toy-9.0-android/manifest"),
        "cannot read toy-1.0-android.tar.zst at manifest.json: bad checksum",
    ),
    "more zeros at the end": (lambda p: inflated(p) + bytes(10240), "does not end as"),
    "fewer zeros at the end": (lambda p: inflated(p)[:-512], "does not end as"),
    "no end": (lambda p: b"".join(entry(*piece) for piece in pieces(p)), "does not end as"),
    "bytes behind the end": (lambda p: inflated(p)[:-1] + b"x", "does not end as"),
    "bytes behind a file": (
        lambda p: inflated(p).replace(bytes(488), bytes(487) + b"x", 1),
        "",
    ),
}


@pytest.mark.parametrize("name", TARS)
def test_every_other_tar_is_found(bundle: Path, name: str) -> None:
    harm, message = TARS[name]
    bundle.write_bytes(deflated(harm(bundle)))
    refused(bundle, message)


FRAMES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "trailing bytes": (lambda b: b + b"x", "goes on after its end: 1 bytes too many"),
    "a second frame": (lambda b: b + deflated(b"evil"), "goes on after its end"),
    "a second empty frame": (lambda b: b + deflated(b""), "goes on after its end"),
    "a frame to skip": (
        lambda b: b + b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"evil",
        "goes on after its end: 12 bytes too many",
    ),
    "a frame to skip before it": (
        lambda b: b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"evil" + b,
        "declares no size",
    ),
    "a missing last byte": (lambda b: b[:-1], "ends too early: 1 bytes are missing"),
    "another checksum": (lambda b: b[:-1] + bytes([b[-1] ^ 1]), "doesn't match checksum"),
    "no declared size": (
        lambda b: deflated(zstandard.decompress(b), declared=False),
        "declares no size, or has no checksum",
    ),
    "no checksum": (
        lambda b: deflated(zstandard.decompress(b), checksum=False),
        "declares no size, or has no checksum",
    ),
    "no zstd": (lambda b: b"PK" + b, "it is not a zstd frame"),
    "empty": (lambda b: b"", "cannot read"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_every_other_frame_is_found(bundle: Path, name: str) -> None:
    harm, message = FRAMES[name]
    bundle.write_bytes(harm(bundle.read_bytes()))
    refused(bundle, message)


def resummed(
    contents: Contents,
    manifest: Callable[[dict[str, Any]], object] = lambda m: None,
    sums: Callable[[str], str] = str,
    raw: bytes | None = None,
) -> Contents:
    """The same files with another manifest, or other sums, that fit to each other."""
    record = json.loads(contents[ROOT + "manifest.json"])
    manifest(record)
    text = (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()
    contents[ROOT + "manifest.json"] = text if raw is None else raw
    found = {
        n.removeprefix(ROOT): hashlib.sha256(data).hexdigest()
        for n, data in contents.items()
        if not n.endswith("SHA256SUMS")
    }
    lines = "".join(f"{found[n]}  {n}\n" for n in sorted(found))
    contents[ROOT + "SHA256SUMS"] = sums(lines).encode()
    return contents


DECLARED: dict[str, tuple[Callable[[Contents], object], str]] = {
    "a self-test that is a list": (
        lambda c: resummed(c, lambda m: m.update(selftest=[])),
        "`selftest.files` is not a list of files",
    ),
    "artifacts that are a text": (
        lambda c: resummed(c, lambda m: m.update(artifacts="x")),
        "`artifacts` is not a list",
    ),
    "a manifest that is a list": (lambda c: resummed(c, raw=b"[]"), "it is not an object"),
    "a manifest nested deeply": (
        lambda c: resummed(c, raw=b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        "cannot be read: maximum recursion depth exceeded",
    ),
    "a key that is repeated": (
        lambda c: resummed(
            c,
            raw=c[ROOT + "manifest.json"].replace(
                b'{\n "version"', b'{\n "release": "9",\n "version"'
            ),
        ),
        "is not as `bundle create` writes it",
    ),
    "a manifest of another version": (
        lambda c: resummed(c, lambda m: m.update(version=2)),
        "its version is 2, and this program reads 1",
    ),
    "an artifact without a label": (
        lambda c: resummed(c, lambda m: m["artifacts"][0].pop("label")),
        "`artifacts[0].label` is not text",
    ),
    "a file without a size": (
        lambda c: resummed(c, lambda m: m["sizes"].pop("m.small")),
        "lists a file twice, or without its size",
    ),
    "a wrong size": (
        lambda c: resummed(c, lambda m: m["sizes"].update({"m.small": 1 << 40})),
        "android/m.tflite in toy-1.0-android.tar.zst is not the artifact that the manifest judged",
    ),
    "a file of nobody's": (
        lambda c: c.update(resummed({**c, ROOT + "extra": b"1"})),
        "extra: the manifest and the SHA256SUMS of toy-1.0-android.tar.zst disagree",
    ),
    "a checksum line twice": (
        lambda c: resummed(c, sums=lambda t: t + t.splitlines()[0] + "\n"),
        "SHA256SUMS:4 in toy-1.0-android.tar.zst: lists `m-half.small` twice",
    ),
    "contradictory checksum lines": (
        lambda c: resummed(c, sums=lambda t: t + "0" * 64 + "  m.small\n"),
        "lists `m.small` twice",
    ),
    "checksum lines out of order": (
        lambda c: resummed(c, sums=lambda t: "".join(f"{x}\n" for x in t.splitlines()[::-1])),
        "is not in the order of its names",
    ),
    "checksum lines without an end": (
        lambda c: resummed(c, sums=lambda t: t[:-1]),
        "has to list manifest.json",
    ),
    "a checksum of a checksum": (
        lambda c: resummed(c, sums=lambda t: "0" * 64 + "  SHA256SUMS\n" + t),
        "has to list manifest.json, and not itself",
    ),
    "a sum of a file that is not there": (
        lambda c: resummed(c, sums=lambda t: t + "0" * 64 + "  zzz\n"),
        "zzz: the manifest and the SHA256SUMS",
    ),
    "a name with an escape sequence": (
        lambda c: resummed(c, sums=lambda t: t + "0" * 64 + "  z\x1b[2J\n"),
        "characters that do not print",
    ),
    "a name that leaves": (
        lambda c: resummed(c, sums=lambda t: "0" * 64 + "  ../z\n" + t),
        "it is not a plain path",
    ),
    "names that are one on a Mac": (
        lambda c: resummed(c, sums=lambda t: "0" * 64 + "  M.small\n" + t),
        "holds `M.small` and `m.small`, which are one path on some file systems",
    ),
}


@pytest.mark.parametrize("name", DECLARED)
def test_every_other_declaration_is_found(bundle: Path, name: str) -> None:
    harm, message = DECLARED[name]
    contents = unpack(bundle)
    harm(contents)
    pack(bundle, contents)
    refused(bundle, message)


def test_another_bundle_than_the_expected_one(bundle: Path) -> None:
    identity = read(bundle).identity
    assert read(bundle, identity).identity == identity
    contents = unpack(bundle)
    contents[ROOT + "m.small"] = b"something else"
    resummed(contents)
    pack(bundle, contents)
    with pytest.raises(BundleError, match=f"is another bundle: .* instead of sha256:{identity}"):
        read(bundle, identity)


def test_a_truncated_archive_is_refused(bundle: Path) -> None:
    data = bundle.read_bytes()
    for length in (*range(0, len(data), 97), *range(len(data) - 8, len(data))):
        bundle.write_bytes(data[:length])
        with pytest.raises(BundleError):
            read(bundle)


def test_a_pipe_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "absent"):
        with pytest.raises(BundleError, match="cannot read"):
            read(path)


PEAK = """
import resource, sys
from pathlib import Path
from buildsys.release.bundle import BundleError, read
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read(Path(sys.argv[1]))
except BundleError as error:
    print(error.message)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def swollen(start: bytes, zeros: int) -> bytes:
    """A frame of some bytes and so many zeros, 128 KiB in four bytes (RFC 8878)."""
    size = (len(start) + zeros).to_bytes(8, "little")
    first = (len(start) << 3).to_bytes(3, "little") + start
    repeated = ((128 << 10) << 3 | 2).to_bytes(3, "little") + b"\0"
    last = (1).to_bytes(3, "little")
    blocks = first + repeated * (zeros >> 17) + last
    return bytes.fromhex("28b52ffdc460") + size + blocks + bytes(4)


@pytest.mark.parametrize("where", ["in the sums", "in a file", "behind the end"])
def test_a_bomb_is_refused_within_little_memory(bundle: Path, where: str) -> None:
    """Two GiB of zeros in some 70 KiB, at each place where a reader might hold them."""
    size = 2 << 30
    files = pieces(bundle)
    names = [name for name, _ in files]
    place = {"in the sums": 0, "in a file": 3, "behind the end": 4}[where]
    before = b"".join(entry(*piece) for piece in files[:place])
    bomb = tarfile.TarInfo(names[min(place, 3)])
    bomb.size, bomb.mode = size, 0o644
    start = before + bomb.tobuf(tarfile.PAX_FORMAT)
    bundle.write_bytes(swollen(start, size))
    assert bundle.stat().st_size < 200_000
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(bundle)], capture_output=True, text=True, check=True
    )
    message, peak = done.stdout.splitlines()
    assert "larger than" in message or "was altered" in message or "twice" in message
    assert int(peak) < 64, f"{peak} MiB"


def test_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    """A sound bundle of 256 MiB: its files are hashed as they are unpacked."""
    size, zeros = 256 << 20, bytes(1 << 20)
    hasher = hashlib.sha256()
    for _ in range(size >> 20):
        hasher.update(zeros)
    digest = hasher.hexdigest()
    record = {
        "version": 1,
        "project": "big",
        "release": "1",
        "target": "web",
        "artifacts": [
            {
                "label": "web/m.onnx",
                "status": "verified",
                "files": ["m.onnx"],
                "digest": f"sha256:{digest}",
                "bytes": size,
            }
        ],
        "sizes": {"m.onnx": size},
    }
    text = (json.dumps(record, indent=1) + "\n").encode()
    sums = f"{digest}  m.onnx\n{hashlib.sha256(text).hexdigest()}  manifest.json\n".encode()
    root = "big-1-web"
    start = b"".join(
        archive.header(root, name, len(data)) + data + bytes(archive.padding(len(data)))
        for name, data in (("SHA256SUMS", sums), ("manifest.json", text))
    ) + archive.header(root, "m.onnx", size)
    total = len(start) + size
    path = tmp_path / "big.tar.zst"
    with path.open("wb") as stream:
        compressor = zstandard.ZstdCompressor(write_checksum=True)
        with compressor.stream_writer(stream, size=total + archive.ending(total)) as writer:
            writer.write(start)
            for _ in range(size >> 20):
                writer.write(zeros)
            writer.write(bytes(archive.ending(total)))
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True
    )
    (peak,) = done.stdout.splitlines()
    assert int(peak) < 64, f"{peak} MiB"
