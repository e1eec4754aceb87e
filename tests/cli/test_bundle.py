"""`modelbuild bundle`: the identity that `create` prints is the one that `--expect` takes."""

from __future__ import annotations

from pathlib import Path

from tests.cli.inside import Inside


def test_expect_takes_what_create_prints(modelbuild: Inside, tmp_path: Path) -> None:
    made = modelbuild("bundle", "create", "android", "--release", "1.0", "--to", str(tmp_path))
    assert made.code == 0
    path, identity = made.out.split()
    assert identity.startswith("sha256:")
    for command in ("verify", "inspect"):
        assert modelbuild("bundle", command, path, "--expect", identity).code == 0
        assert modelbuild("bundle", command, path, "--expect", identity[7:].upper()).code == 0
        other = modelbuild("bundle", command, path, "--expect", "sha256:" + "0" * 64)
        assert other.code == 1
        assert other.err.startswith("error: toy-1.0-android.tar.zst is another bundle: sha256:")
        assert identity in other.err
        assert other.out == ""
        assert modelbuild("bundle", command, path, "--expect", "sha256:abc").code == 2


def test_an_altered_bundle_exits_1(modelbuild: Inside, tmp_path: Path) -> None:
    modelbuild("bundle", "create", "android", "--release", "1.0", "--to", str(tmp_path))
    (path,) = tmp_path.glob("*.tar.zst")
    path.write_bytes(path.read_bytes()[:-1])
    said = modelbuild("bundle", "verify", str(path))
    assert (said.code, said.out) == (1, "")
    assert said.err == "error: toy-1.0-android.tar.zst ends too early: 1 bytes are missing\n"
