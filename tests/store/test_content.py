"""The content-addressed files."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from buildsys.store import CorruptObject, Store, Stored, StoreError
from buildsys.store.content import named


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def tree(root: Path) -> Path:
    (root / "sub").mkdir(parents=True)
    (root / "a").write_bytes(b"1")
    (root / "sub" / "b").write_bytes(b"22")
    return root


def test_a_file_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"hello")
    stored = store.put(source)
    assert stored.digest == "sha256:" + hashlib.sha256(b"hello").hexdigest()
    assert stored.size == 5
    store.restore(stored.digest, tmp_path / "y")
    assert (tmp_path / "y").read_bytes() == b"hello"


def test_a_folder_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    stored = store.put(tree(tmp_path / "t"))
    assert stored.digest.startswith("tree:")
    assert stored.size == 3
    store.restore(stored.digest, tmp_path / "u")
    assert (tmp_path / "u" / "sub" / "b").read_bytes() == b"22"


def test_a_folder_s_digest_does_not_depend_on_times_modes_or_order(
    store: Store, tmp_path: Path
) -> None:
    first = store.put(tree(tmp_path / "t"))
    other = tmp_path / "o"
    (other / "sub").mkdir(parents=True)
    (other / "sub" / "b").write_bytes(b"22")
    (other / "a").write_bytes(b"1")
    (other / "a").chmod(0o600)
    os.utime(other / "a", (0, 0))
    assert store.put(other) == first


def test_editing_a_restored_file_does_not_reach_the_store(store: Store, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"hello")
    digest = store.put(tmp_path / "x").digest
    store.restore(digest, tmp_path / "y")
    (tmp_path / "y").write_bytes(b"HELLO")
    assert store.read(digest) == b"hello"


def test_stored_files_are_read_only(store: Store, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"hello")
    assert (
        store.objects.path(named(store.put(tmp_path / "x").digest)).stat().st_mode & 0o777 == 0o444
    )


@pytest.mark.parametrize("data", [b"", b"hellp", b"hello!"])
def test_a_damaged_object_is_never_served_and_leaves_the_store(
    store: Store, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "x").write_bytes(b"hello")
    digest = store.put(tmp_path / "x").digest
    path = store.objects.path(named(digest))
    path.chmod(0o644)
    path.write_bytes(data)
    with pytest.raises(CorruptObject):
        store.restore(digest, tmp_path / "y")
    assert not (tmp_path / "y").exists()
    assert not path.exists()


def test_putting_again_replaces_what_is_there_and_does_not_trust_it(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(b"hello")
    digest = store.put(tmp_path / "x").digest
    store.objects.path(named(digest)).chmod(0o644)
    store.objects.path(named(digest)).write_bytes(b"wrong")
    store.put(tmp_path / "x")
    assert store.read(digest) == b"hello"


def test_a_tree_that_names_a_path_outside_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"hello")
    inner = store.put(tmp_path / "x").digest
    for name in ("../evil", "/evil", "a/../../evil", ""):
        manifest = json.dumps([[name, inner, 5]]).encode()
        (tmp_path / "m").write_bytes(manifest)
        hexadecimal = store.put(tmp_path / "m").digest.partition(":")[2]
        with pytest.raises(CorruptObject, match="outside"):
            store.restore(f"tree:{hexadecimal}", tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_a_folder_with_a_link_is_refused(store: Store, tmp_path: Path) -> None:
    folder = tree(tmp_path / "t")
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match="is a link"):
        store.put(folder)


def test_missing_looks_at_every_file_of_a_tree(store: Store, tmp_path: Path) -> None:
    stored = store.put(tree(tmp_path / "t"))
    assert not store.missing([stored])
    inner = "sha256:" + hashlib.sha256(b"22").hexdigest()
    store.discard(inner)
    assert store.missing([stored]) == {stored}


@pytest.mark.parametrize("member", ["sha256:../victim.txt", "sha256:ab", "tree:" + "a" * 64, ""])
def test_a_folder_whose_files_are_no_digests_is_refused_and_touches_nothing(
    store: Store, tmp_path: Path, member: str
) -> None:
    (store.root / "files").mkdir(parents=True)
    victim = store.root / "files" / "victim.txt"
    victim.write_text("mine")
    manifest = json.dumps([["f", member, 4]]).encode()
    name = hashlib.sha256(manifest).hexdigest()
    (store.root / "files" / name[:2]).mkdir()
    (store.root / "files" / name[:2] / name).write_bytes(manifest)
    with pytest.raises(CorruptObject, match="names no digest"):
        store.restore("tree:" + name, tmp_path / "out")
    assert victim.read_text() == "mine"
    assert store.missing([Stored("tree:" + name, 4)])  # Taken out, so that its maker runs again.


def test_a_file_that_is_there_already_is_compared_and_counts_as_new(
    store: Store, tmp_path: Path
) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"hello")
    path = store.objects.path(named(store.put(source).digest))
    os.utime(path, (1, 1))
    inode = path.stat().st_ino
    store.put(source)
    assert path.stat().st_ino == inode
    assert path.stat().st_mtime > 1000
    path.chmod(0o644)
    path.write_bytes(b"jello")
    store.put(source)
    assert path.read_bytes() == b"hello"


def test_what_may_go_is_moved_and_not_copied(store: Store, tmp_path: Path) -> None:
    source = tree(tmp_path / "t")
    os.utime(source / "a", (0, 0))
    inode = (source / "a").stat().st_ino
    stored = store.put_all([source], move=True)[0]
    assert not (source / "a").exists()
    kept = store.objects.path(named("sha256:" + hashlib.sha256(b"1").hexdigest())).stat()
    assert (kept.st_ino, kept.st_mode & 0o777) == (inode, 0o444)
    assert kept.st_mtime > 0  # It counts as new: a collection goes by its age here.
    store.restore(stored.digest, tmp_path / "u")
    assert (tmp_path / "u" / "sub" / "b").read_bytes() == b"22"
    assert not list((store.root / "files").glob(".put-*"))


def test_a_file_with_another_name_is_copied(store: Store, tmp_path: Path) -> None:
    """An edit of the user's file must not reach the store, nor the store's mode the user's file."""
    theirs, out = tmp_path / "theirs", tmp_path / "out"
    theirs.write_bytes(b"hello")
    theirs.chmod(0o644)
    os.link(theirs, out)
    (tmp_path / "link").symlink_to(theirs)
    for path in (out, tmp_path / "link"):
        digest = store.put_all([path], move=True)[0].digest
        assert store.objects.path(named(digest)).stat().st_ino != theirs.stat().st_ino
        assert theirs.stat().st_mode & 0o777 == 0o644
        store.discard(digest)
    assert theirs.read_bytes() == b"hello"
