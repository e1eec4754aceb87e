"""What comes from another place is believed only where its digest says so."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import pytest

from buildsys.store import Store, Stored
from buildsys.store.content import named
from buildsys.store.transfer import pull
from tests.store.places import MemoryObjects


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def remote() -> MemoryObjects:
    return MemoryObjects()


def shared(
    remote: MemoryObjects, tmp_path: Path, contents: dict[str, dict[str, str]]
) -> list[Stored]:
    """Puts folders into the place as another machine would; a name without files is a file."""
    other = Store(tmp_path / "other")
    found = []
    for name, files in contents.items():
        path = tmp_path / name
        if files:
            path.mkdir()
        else:
            path.write_text(name)
        for file, text in files.items():
            (path / file).write_text(text)
        found.append(other.put(path))
    names = [each.name for each in other.objects.list()]
    remote.put(other.objects.fetch(names))
    remote.calls.clear()
    return found


def test_files_and_folders_come_with_one_call_for_manifests_and_one_for_files(
    store: Store, remote: MemoryObjects, tmp_path: Path
) -> None:
    folders = {f"t{n}": {"a": f"a{n}", "b": "shared"} for n in range(20)}
    wanted = shared(remote, tmp_path, {**folders, **{f"f{n}": {} for n in range(20)}})
    assert pull(store, remote, wanted) == {}
    assert remote.calls == ["fetch", "fetch"]
    assert store.missing(wanted) == set()
    store.restore(wanted[7].digest, tmp_path / "out")
    assert (tmp_path / "out" / "a").read_text() == "a7"


def test_what_is_there_is_not_asked_for(
    store: Store, remote: MemoryObjects, tmp_path: Path
) -> None:
    wanted = shared(remote, tmp_path, {"t": {"a": "1"}, "f": {}})
    assert pull(store, remote, wanted) == {}
    remote.calls.clear()
    assert pull(store, remote, wanted) == {}
    assert remote.calls == []


def test_a_changed_file_is_refused_and_the_others_come(
    store: Store, remote: MemoryObjects, tmp_path: Path
) -> None:
    good, bad = shared(remote, tmp_path, {"good": {}, "bad": {}})
    remote.contents[named(bad.digest)] = b"bud"  # Of the right size.
    assert pull(store, remote, [good, bad]) == {bad.digest: "its bytes have changed"}
    assert store.missing([good, bad]) == {bad}
    assert [each.name for each in store.objects.list()] == [named(good.digest)]
    assert not list(store.objects.temporaries())


@pytest.mark.parametrize("member", ["changed", "gone"])
def test_a_folder_comes_whole_or_not_at_all(
    store: Store, remote: MemoryObjects, tmp_path: Path, member: str
) -> None:
    (tree,) = shared(remote, tmp_path, {"t": {"a": "one", "b": "two"}})
    name = hashlib.sha256(b"two").hexdigest()
    if member == "gone":
        remote.remove([name])
    else:
        remote.contents[name] = b"too"
    said = {"gone": "missing", "changed": "its bytes have changed"}
    assert pull(store, remote, [tree]) == {tree.digest: said[member]}
    assert store.objects.has({named(tree.digest): None}) == set()


def test_a_changed_manifest_is_refused(store: Store, remote: MemoryObjects, tmp_path: Path) -> None:
    (tree,) = shared(remote, tmp_path, {"t": {"a": "one"}})
    remote.contents[named(tree.digest)] += b" "
    assert pull(store, remote, [tree]) == {tree.digest: "its bytes have changed"}
    assert not list(store.objects.list())


def test_a_manifest_that_names_a_path_outside_is_refused(
    store: Store, remote: MemoryObjects
) -> None:
    """Its digest is right: whoever wrote it meant it."""
    manifest = json.dumps([["../evil", "sha256:" + "a" * 64, 1]]).encode()
    name = hashlib.sha256(manifest).hexdigest()
    remote.put([(name, io.BytesIO(manifest))])
    problems = pull(store, remote, [Stored(f"tree:{name}", 1)])
    assert "outside of its folder" in problems[f"tree:{name}"]
    assert not list(store.objects.list())


def test_what_the_place_lacks_is_said(store: Store, remote: MemoryObjects) -> None:
    wanted = [Stored("sha256:" + "a" * 64, 1), Stored("tree:" + "b" * 64, 1)]
    assert pull(store, remote, wanted) == {each.digest: "missing" for each in wanted}
