"""Collection: what is needed stays, the rest goes by last use, and nothing depends on luck."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildsys.store import Index, Store, Stored, Trace
from buildsys.store import collection as module
from buildsys.store.collection import Collector
from buildsys.store.content import named
from buildsys.store.inventory import Inventory, is_gone
from buildsys.store.local import File, LocalObjects
from buildsys.store.size_estimate import Size
from tests.space import Space

OLD = time.time() - 90 * 86_400


class Cache:
    """A store with made-up traces."""

    def __init__(self, root: Path) -> None:
        self.root = root / "cache"
        self.source = root / "source"
        self.source.mkdir()
        self.store = Store(self.root)
        self.index = Index(self.root)
        self.collector = Collector(self.root, self.store, self.index)

    def put(self, text: str, *, age: float = 3600) -> str:
        """Stores a file of the past; gives its digest."""
        path = self.source / "file"
        path.write_text(text)
        digest = self.store.put(path).digest
        os.utime(self.store.objects.path(named(digest)), (time.time() - age, time.time() - age))
        return digest

    def put_tree(self, **files: str) -> str:
        """Stores a folder."""
        folder = self.source / f"folder-{len(files)}"
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        digest = self.store.put(folder).digest
        for name in Inventory(self.store).names([digest]):
            os.utime(self.store.objects.path(name), (1, 1))
        return digest

    def trace(self, key: str, *digests: str, used: float | None = None, slot: str = "") -> None:
        """Records what an action gave; `used` is when it was last of use."""
        outputs = {f"o{n}": self._stored(d) for n, d in enumerate(digests)}
        record = {"record": "action", "rule": f"rule-{key}", "inputs": {}, "discovered": {"a": key}}
        trace = Trace(key, json.dumps(record), outputs, (), 1.0, 7)
        static = {name: value for name, value in record.items() if name != "discovered"}
        self.index.record(
            trace,
            "shape",
            [slot or f"p:{key}"],
            hashlib.sha256(canonical(static)).hexdigest(),
            canonical(record["discovered"]).decode(),
        )
        if used is not None:
            with self.index.transaction():
                self.index._write("update trace set used = ? where key = ?", (used, key))

    def _stored(self, digest: str) -> Stored:
        names = Inventory(self.store).names([digest])
        manifest = {digest.partition(":")[2]} if digest.startswith("tree:") else set()
        sizes = [self.store.objects.path(n).stat().st_size for n in names - manifest]
        return Stored(digest, sum(sizes))

    def has(self, *digests: str) -> list[bool]:
        """Which of these are there."""
        return [self.store.objects.path(named(digest)).exists() for digest in digests]

    def pin(self, place: str, *digests: str) -> None:
        """Pins for one place."""
        self.index.pin(place, {place}, {place: set(digests)})

    def place(self, *digests: str) -> Path:
        """Pins for an artifacts' folder that is there."""
        folder = self.root.parent / "artifacts"
        folder.mkdir()
        (folder / ".placed.json").write_text("{}")
        self.pin(f"artifacts:{folder}:deploy.yaml:ios/m.onnx", *digests)
        return folder


def canonical(record: object) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    made = Cache(tmp_path)
    yield made
    made.index.close()


def test_the_least_recently_used_goes_first(cache: Cache) -> None:
    digests = [cache.put(f"{n}" * 100) for n in range(4)]
    for n, digest in enumerate(digests):
        cache.trace(f"k{n}", digest, used=time.time() - 1000 * n)
    done = cache.collector.collect(250)
    assert cache.has(*digests) == [True, True, False, False]
    assert (done.files, done.freed_bytes, done.bytes_before, done.bytes_after) == (2, 200, 400, 200)
    assert cache.index.trace("k3") is not None  # It still tells what the action gave.
    assert cache.collector.collect(250).files == 0


def test_a_limit_that_holds_takes_out_only_what_nothing_names(cache: Cache) -> None:
    named, stray = cache.put("named"), cache.put("stray")
    cache.trace("k", named)
    for limit in (None, 10**9):
        cache.put("stray")
        done = cache.collector.collect(limit)
        assert cache.has(named, stray) == [True, False]
        assert done.files == 1


def test_a_dry_run_says_the_same_and_does_nothing(cache: Cache) -> None:
    digests = [cache.put(f"{n}" * 100) for n in range(3)]
    for n, digest in enumerate(digests[:2]):
        cache.trace(f"k{n}", digest, used=time.time() - 1000 * n)
    before = sorted(cache.root.rglob("*"))
    said = cache.collector.collect(100, dry_run=True)
    assert sorted(cache.root.rglob("*")) == before
    assert cache.collector.collect(100) == said
    assert (said.files, said.freed_bytes) == (2, 200)


def test_a_file_that_two_actions_gave_counts_once_and_stays_for_the_later_used(
    cache: Cache,
) -> None:
    shared, other = cache.put("s" * 100), cache.put("o" * 50)
    cache.trace("new", shared)
    cache.trace("old", shared, other, used=OLD)
    assert cache.collector.collect(150).files == 0
    assert cache.collector.collect(149).files == 1
    assert cache.has(shared, other) == [True, False]


def test_something_large_does_not_push_out_all_that_is_older(cache: Cache) -> None:
    large, small = cache.put("l" * 1000), cache.put("s")
    cache.trace("large", large)
    cache.trace("small", small, used=OLD)
    cache.collector.collect(500)
    assert cache.has(large, small) == [False, True]


def test_a_folder_goes_as_a_whole_its_list_of_files_first(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = cache.put_tree(a="aaaa", b="bbbb")
    cache.trace("k", tree)
    members = cache.store.rows(tree)
    gone = []
    take_out = LocalObjects.take_out

    def watched(self: LocalObjects, file: File) -> bool:
        gone.append(file.name)
        return take_out(self, file)

    monkeypatch.setattr(LocalObjects, "take_out", watched)
    cache.collector.collect(0)
    assert gone[0] == tree.partition(":")[2]
    assert not any(cache.has(tree, *(digest for _, digest, _ in members)))


def test_what_lies_in_artifacts_and_bundles_stays_until_they_are_gone(cache: Cache) -> None:
    placed, bundled, tree = cache.put("placed"), cache.put("bundled"), cache.put_tree(a="a", b="b")
    for n, digest in enumerate((placed, bundled, tree)):
        cache.trace(f"k{n}", digest, used=OLD)
    folder = cache.place(placed, tree)
    bundle = cache.root.parent / "x.tar.zst"
    bundle.write_text("")
    cache.pin(f"bundle:{bundle}", bundled)
    done = cache.collector.collect(0)
    assert all(cache.has(placed, bundled, tree))
    assert not cache.store.missing([Stored(tree, 2)])
    assert done.held_bytes == done.bytes_after > 0
    bundle.unlink()
    cache.collector.collect(0)
    assert cache.has(placed, bundled) == [True, False]
    (folder / ".placed.json").unlink()
    cache.collector.collect(0)
    assert not any(cache.has(placed, tree))
    assert cache.index.pins() == {}


@pytest.mark.parametrize("name", ["deploy.yaml", "a:b.yaml"])
def test_a_place_may_have_colons_in_it(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "odd:name"
    place = f"artifacts:{folder}:{name}:ios/m.onnx"
    assert is_gone(place)
    folder.mkdir()
    (folder / ".placed.json").write_text("{}")
    assert not is_gone(place)
    assert not is_gone("sealed:whatever a later version means by it")


def running(cache: Cache, name: str, *leased: str, seconds: float = 60) -> int:
    """A build that holds its lock; gives the descriptor."""
    (cache.root / "locks").mkdir(exist_ok=True)
    descriptor = os.open(cache.root / "locks" / f"build-{name}", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    cache.index.open_build(name, time.time_ns() - int(seconds * 1e9))
    cache.index.lease(name, leased)
    return descriptor


def test_what_a_running_build_leases_or_has_just_put_stays(cache: Cache) -> None:
    leased, tree, other = cache.put("leased"), cache.put_tree(a="a", b="b"), cache.put("other")
    for n, digest in enumerate((leased, tree, other)):
        cache.trace(f"k{n}", digest, used=OLD)
    fresh = cache.put("put and not yet recorded", age=5)
    descriptor = running(cache, "1", leased, tree)
    usage = cache.collector.status()
    assert (usage.builds, usage.leased.files, usage.results.files) == (1, 5, 1)
    cache.collector.collect(0)
    assert cache.has(leased, fresh, other) == [True, True, False]
    assert not cache.store.missing([Stored(tree, 2)])
    os.close(descriptor)  # As when it is killed: nothing is closed properly.
    assert cache.collector.status().builds == 0
    cache.collector.collect(0)
    assert not any(cache.has(leased, tree, fresh))
    assert cache.index.builds() == {}
    assert cache.index.leased() == set()
    assert not list((cache.root / "locks").iterdir())


def test_a_lease_that_comes_between_choosing_and_removing_is_seen(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = [cache.put(f"{n}" * 10) for n in range(8)]
    for n, digest in enumerate(digests):
        cache.trace(f"k{n}", digest, used=OLD - n)
    monkeypatch.setattr(module, "BATCH", 1)
    other = Index(cache.root)
    choose = Collector._choose

    def chosen(self: Collector, *arguments: object) -> object:
        made = choose(self, *arguments)  # type: ignore[arg-type]
        other.open_build("late", time.time_ns())
        other.lease("late", digests[:4])
        return made

    monkeypatch.setattr(Collector, "_choose", chosen)
    done = cache.collector.collect(0)
    other.close()
    assert cache.has(*digests) == [True] * 4 + [False] * 4
    assert done.files == 4


def test_a_file_that_is_put_again_under_our_hands_stays(cache: Cache) -> None:
    digest = cache.put("again")
    (file,) = cache.store.objects.list()
    cache.put("again", age=0)
    assert not cache.store.objects.take_out(file)
    assert cache.has(digest) == [True]
    assert cache.store.read(digest) == b"again"
    assert not list((cache.root / "files").glob(".put-*"))


def test_leftovers_go_when_they_are_old(cache: Cache) -> None:
    files = cache.root / "files"
    files.mkdir(exist_ok=True)
    ages = {".put-old": 2 * 3600, ".put-new": 60}
    for name, age in ages.items():
        (files / name).write_text("x")
        os.utime(files / name, (time.time() - age,) * 2)
    logs = cache.root / "logs"
    logs.mkdir()
    for name, age in {"old.log": 31 * 86_400, "new.log": 29 * 86_400}.items():
        (logs / name).write_text("x")
        os.utime(logs / name, (time.time() - age,) * 2)
    for part in ("work", "resume"):
        for name, age in {"old": 8 * 86_400, "new": 6 * 86_400}.items():
            folder = cache.root / part / name
            folder.mkdir(parents=True)
            (folder / "rerun.sh").write_text("x")
            os.utime(folder, (time.time() - age,) * 2)
    assert cache.collector.collect(None).logs == 1
    assert [p.name for p in files.glob(".put-*")] == [".put-new"]
    assert [p.name for p in logs.iterdir()] == ["new.log"]
    for part in ("work", "resume"):
        assert [p.name for p in (cache.root / part).iterdir()] == ["new"]


def write_logs(cache: Cache, sizes: dict[str, int]) -> Path:
    """Logs of so many bytes, each a minute older than the one before."""
    logs = cache.root / "logs"
    logs.mkdir()
    for age, (name, size) in enumerate(sizes.items()):
        (logs / name).write_bytes(b"x" * size)
        os.utime(logs / name, (time.time() - 60 * age,) * 2)
    return logs


def test_logs_count_and_the_oldest_go(cache: Cache) -> None:
    for n in range(10):
        cache.trace(f"k{n}", cache.put(f"{n:0100}"))
    logs = write_logs(cache, {"a.log": 20, "b.log": 20, "c.log": 30, "d.log": 400})
    assert cache.collector.status().logs.files == 4
    said = cache.collector.collect(1000, dry_run=True)
    assert (said.files, said.logs, said.bytes_before, said.bytes_after) == (1, 2, 1470, 940)
    assert len(list(logs.iterdir())) == 4
    done = cache.collector.collect(1000)
    assert (done.logs, done.logs_freed_bytes, done.files, done.freed_bytes) == (2, 430, 1, 530)
    assert sorted(p.name for p in logs.iterdir()) == ["a.log", "b.log"]
    assert cache.collector.collect(1000).freed_bytes == 0


def test_logs_alone_set_a_collection_off(cache: Cache) -> None:
    kept = cache.put("kept")
    cache.trace("k", kept)
    logs = write_logs(cache, {"a.log": 40, "b.log": 20})
    assert cache.collector.collect_if_over(10_000) is None
    done = cache.collector.collect_if_over(1000)  # Of which logs may take 50, and 45 after it.
    assert done is not None
    assert (done.logs, done.files) == (1, 0)
    assert [p.name for p in logs.iterdir()] == ["a.log"]
    assert cache.has(kept) == [True]
    assert cache.collector.collect_if_over(1000) is None


def test_what_nobody_asked_for_in_a_month_is_forgotten_with_what_it_discovered(
    cache: Cache,
) -> None:
    """Except where it is, or was just before, what stands at a place of some project."""
    for key in ("a", "b", "c"):
        cache.trace(key, cache.put(key), used=OLD, slot="p:one")
    cache.trace("idle-but-there", kept := cache.put("kept"), used=OLD, slot="p:two")
    for key in ("d", "e"):
        cache.trace(key, cache.put(key), slot="p:two")
    cache.place(kept)
    assert cache.index._rows("select count(*) from discovery") == [(6,)]
    done = cache.collector.collect(0)
    assert done.traces == 1
    assert {t.key for t in cache.index.all_traces()} == {"b", "c", "d", "e", "idle-but-there"}
    assert cache.index._rows("select count(*) from discovery") == [(5,)]


def test_an_automatic_collection_starts_above_the_limit_and_ends_below_it(cache: Cache) -> None:
    for n in range(20):
        cache.trace(f"k{n}", cache.put(f"{n:050}"))
    assert cache.collector.collect_if_over(None) is None
    assert cache.collector.collect_if_over(1000) is None
    done = cache.collector.collect_if_over(999)
    assert done is not None
    assert (done.bytes_before, done.bytes_after) == (1000, 850)
    assert cache.collector.collect_if_over(999) is None


def test_an_empty_store_has_nothing_to_collect(cache: Cache) -> None:
    assert cache.collector.collect(0).files == 0
    assert cache.collector.collect_if_over(0) is None
    assert cache.collector.verify() == []
    assert cache.collector.status().stored.files == 0


def test_status_counts_every_file_once(cache: Cache) -> None:
    placed, result = cache.put("placed"), cache.put("result!")
    cache.put("stray...")
    cache.trace("a", placed, result)
    cache.place(placed)
    for name in ("one", "two"):
        folder = cache.root / "toolchains" / name
        folder.mkdir(parents=True)
    (cache.root / "toolchains" / "one" / "library").write_bytes(b"x" * 100_000)
    os.link(
        cache.root / "toolchains" / "one" / "library", cache.root / "toolchains" / "two" / "library"
    )
    usage = cache.collector.status()
    assert (usage.pinned.bytes, usage.results.bytes, usage.unreferenced.bytes) == (6, 7, 8)
    assert (usage.stored.files, usage.stored.bytes) == (3, 21)
    assert usage.toolchains["one"].bytes >= 100_000
    assert usage.toolchains["two"].bytes == 0  # The same file: it counts once.
    assert (usage.traces, usage.builds) == (1, 0)
    assert usage.index > 0


def test_status_tells_what_interrupted_steps_saved_from_what_failed_ones_left(
    cache: Cache,
) -> None:
    for part, count in {"work": 3, "resume": 2}.items():
        folder = cache.root / part / "key"
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number}").write_bytes(b"x" * 50_000)
    usage = cache.collector.status()
    assert (usage.leftovers.files, usage.interrupted.files) == (5, 2)
    assert usage.interrupted.bytes >= 100_000
    assert usage.leftovers.bytes - usage.interrupted.bytes >= 150_000
    assert usage.stored.files == 0


def test_verify_names_what_is_damaged_and_whose_it_is(cache: Cache) -> None:
    good, bad = cache.put("good"), cache.put("bad")
    tree = cache.put_tree(a="aa", b="bb")
    for key, digest in {"good": good, "bad": bad, "tree": tree}.items():
        cache.trace(key, digest, slot=f"toy:ios/m#{key}")
    cache.place(good, "sha256:" + "0" * 64)
    assert {d.problem for d in cache.collector.verify()} == {"is missing"}
    cache.store.objects.path(named(bad)).chmod(0o644)
    cache.store.objects.path(named(bad)).write_text("sad")
    cache.store.objects.path(named(cache.store.rows(tree)[0][1])).unlink()
    found = {d.digest: d for d in cache.collector.verify()}
    assert found[bad].problem == "its bytes have changed"
    assert [(m.rule, m.places) for m in found[bad].makers] == [("rule-bad", ("toy:ios/m#bad",))]
    assert found[tree].problem == "1 of its 2 files are missing"
    assert found["sha256:" + "0" * 64].places[0].endswith("ios/m.onnx")
    assert len(found) == 3
    assert cache.has(bad, tree) == [True, True]  # To look changes nothing.
    assert all(d.repaired for d in cache.collector.verify(repair=True))
    assert cache.has(good, bad, tree) == [True, False, False]
    assert {d.problem for d in cache.collector.verify()} == {"is missing"}


def test_a_killed_collection_leaves_a_store_that_the_next_one_finishes(tmp_path: Path) -> None:
    """By SIGKILL, between the steps of removing one file."""
    cache = Cache(tmp_path)
    digests = [cache.put(f"{n}" * 10) for n in range(6)]
    for n, digest in enumerate(digests):
        cache.trace(f"k{n}", digest, used=OLD - n)
    cache.index.close()
    code = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from buildsys.store import Index, Store
        from buildsys.store.collection import Collector
        root, call, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
        original = getattr(Path, call)
        def killed(self, *arguments, **named):
            global count
            if ".put-gone" in str(self) + str(arguments):
                count -= 1
                if count < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return original(self, *arguments, **named)
        setattr(Path, call, killed)
        Collector(root, Store(root), Index(root)).collect(0)
        """
    )
    left = 6
    for call, count in (("rename", 0), ("rename", 1), ("unlink", 0), ("lstat", 1)):
        done = subprocess.run(
            [sys.executable, "-c", code, str(cache.root), call, str(count)],
            capture_output=True,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        now = len(Inventory(cache.store).files)
        assert now <= left
        left = now
    assert left < 6
    cache.index = Index(cache.root)
    assert len(cache.index.all_traces()) == 6
    Collector(cache.root, cache.store, cache.index).collect(0)
    assert not Inventory(cache.store).files
    assert not list((cache.root / "files").glob(".put-*"))
    cache.index.close()


def test_after_a_collection_a_build_gives_what_it_gave(space: Space) -> None:
    """With a real engine: intermediates that are gone cost nothing until something needs them."""
    space.build()
    before = space.artifacts()
    index = Index(space.store)
    done = Collector(space.store, Store(space.store), index).collect(0)
    index.close()
    assert done.files > 0
    again = space.build()
    assert again.run.executed == []
    assert space.artifacts() == before
    (space.project / "artifacts" / "ios" / "m.plain").unlink()
    assert space.build().run.executed == []  # What artifacts need was kept.
    assert space.artifacts() == before
    space.edit(
        "deploy.yaml", "{format: onnx, accept: close}", "{format: onnx, options: {gain: 2.0}}"
    )
    assert space.build("android").run.executed == []


def test_builds_beside_a_collection_that_never_stops_give_what_they_should(space: Space) -> None:
    """Everything that nothing holds is taken out again and again, in another process."""
    code = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from buildsys.store import Index, Store
        from buildsys.store.collection import Collector
        root = Path(sys.argv[1])
        index = Index(root)
        print("ready", flush=True)
        removed = 0
        while not (root / "enough").exists():
            removed += Collector(root, Store(root), index).collect(0).files
        print(removed)
        """
    )
    space.build()
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(space.store)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        for number in (3, 4, 5):
            space.weights([[float(number), 2.3], [3.1, -4.7], [0.3, 0.25]])
            build = space.build()
            assert (build.exit, build.run.failures) == (0, {})
            assert str(float(number)).encode() in space.artifacts()["ios/m.plain"]
    finally:
        (space.store / "enough").touch()
        removed, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert int(removed) > 0
    assert space.build().run.executed == []


def test_a_folder_that_is_stored_while_we_look_is_no_damage(tmp_path: Path) -> None:
    """The list of files is no snapshot: what it does not have may be there by now."""
    from buildsys.store import Index, Store, Trace
    from buildsys.store import inventory as inventories
    from buildsys.store.damage import verify

    store, index = Store(tmp_path), Index(tmp_path)
    real = inventories.Inventory

    class Late(real):  # type: ignore[misc, valid-type]
        """A list that was made just before a folder's file was stored, and just after its manifest."""

        def __init__(self, store: Store) -> None:
            folder = tmp_path / "folder"
            folder.mkdir()
            (folder / "f").write_text("x")
            stored = store.put(folder)
            outputs = {"artifact": stored}
            trace = Trace("k" * 64, '{"rule": "r"}', outputs, (), 1.0, 1)
            index.record(trace, "shape", ["p:x"], None, None)
            super().__init__(store)
            ((_, member, _),) = store.rows(stored.digest)
            del self.files[member.partition(":")[2]]

    import pytest

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("buildsys.store.damage.Inventory", Late)
        assert verify(store, index, repair=True) == []


def test_after_a_build_files_are_counted_once_the_last_count_may_be_over_the_limit(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(10):
        cache.trace(f"k{n}", cache.put(f"{n:050}"))
    counts: list[int] = []
    listed = cache.store.objects.list

    def counted() -> Iterator[File]:
        counts.append(1)
        return listed()

    monkeypatch.setattr(cache.store.objects, "list", counted)
    collect = cache.collector.collect_if_over
    assert collect(1000, Size(500, 0)) is None
    assert len(counts) == 1  # It was never counted.
    assert collect(1000, Size(300, 40)) is None
    assert len(counts) == 1  # 500 at the count, and 340 at most since then.
    assert collect(1000, Size(200, 0)) is None
    assert len(counts) == 2  # It may be 1,040, and is 500.
    assert collect(499, Size(0, 0)) is not None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 90_000)
    counts.clear()
    assert collect(1000, Size(0, 0)) is None
    assert len(counts) == 1  # A day later.
