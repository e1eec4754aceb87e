"""Runs the toy's steps in this process: counts them, remembers what they made, fails on demand."""

from __future__ import annotations

import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from buildsys.engine.executors import Done, Failed, Job, Outcome
from buildsys.engine.executors.executor import Capacity
from buildsys.engine.executors.job import JobSpec
from buildsys.store import DamagedIndex, Index, Store, Stored
from buildsys.store.collection import Collector
from tests.properties.toy import (
    Content,
    Toy,
    digest_of,
    make,
    names_of,
    semantic,
    told,
)

FAULTS = ("fail", "hang", "leave out", "stop half-way", "die", "edit", "other bytes", "collect")
BREAKING = ("fail", "hang", "leave out", "stop half-way")


class Died(RuntimeError):
    """The process that was building is gone."""


@dataclass
class Memory:
    """All that was ever made, in any store.

    Attributes:
        made: What a step that read just this gave: digest by output, several where it is not
            deterministic.
        contents: By digest.
        lost: Names of stored files that are gone or damaged.
    """

    made: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    contents: dict[str, Content] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    odd: bool = False
    """Whether a step ever gave other bytes for the same inputs."""


class Runner:
    """The executor. Reads and checks inputs as the real one does, and stores outputs."""

    def __init__(self, toy: Toy, root: Path, memory: Memory) -> None:
        self.toy = toy
        self.store = Store(root)
        self.root = root
        self.memory = memory
        self.faults: dict[str, tuple[str, str, int]] = {}
        self.forbidden = False
        self.died = False
        self.processes_started = 0
        self.finished: list[tuple[str, str]] = []
        self.edited: dict[str, set[str]] = {}
        """Files that were edited while they were in use, and by which actions."""
        self.ran: Counter[str] = Counter()
        self.lost_before: set[str] = set()
        self._count = 0
        self._guard = threading.Lock()

    def begin(self, faults: dict[str, tuple[str, str, int]], *, forbidden: bool = False) -> None:
        """A new build."""
        self.faults = faults
        self.forbidden = forbidden
        self.finished = []
        self.died = False
        self.edited = {}
        self.ran = Counter()
        self.lost_before = set(self.memory.lost)
        self.toy.seen = {}

    def capacity(self) -> Capacity:
        """As much as a build asks for."""
        return Capacity(slots=2, memory=1 << 50)

    def machine(self) -> str:
        """No step measures time."""
        return "toy"

    def stop(self) -> None:
        """There is nothing to kill."""

    def prepare(self, spec: JobSpec, done: Callable[[], None]) -> None:
        """There is nothing to get ready."""
        done()

    def retire(self, environment: str) -> None:
        """Nothing is kept alive."""

    def close(self) -> None:
        """Nothing is kept alive."""

    def run(self, job: Job) -> Outcome:
        action = job.action
        with self._guard:
            self.ran[action.id] += 1
            self._count += 1
            count = self._count
        if self.forbidden:
            raise Died("a worker was started where all is there")
        kind, file, value = self.faults.get(action.id, ("", "", 0))
        if kind == "die":
            self.died = True
            raise Died("told to")
        toy = self.toy
        started = toy.clock.time_ns()
        inputs: dict[str, Content] = {}
        for name, (path, digest) in job.spec.inputs.items():
            content = self._copy(path) if path is not None else self._restored(digest)
            if content is None or digest_of(content) != digest:
                return Failed(f"{name} changed while the build was looking at it", changed=True)
            inputs[name] = content
        read = toy.reads() if action.user_code else {}
        texts = [f"{n}={told(c)}" for n, c in sorted({**inputs, **read}.items())]
        implementation = toy.implementation()
        fingerprint = toy.toolchains.fingerprint(action.environment) if action.environment else None
        if kind == "edit" and self.ran[action.id] == 1:
            toy.clock.sleep(1)
            toy.write(file, value)
            self.edited.setdefault(file, set()).add(action.id)
        if kind == "collect":
            self.collect(0)
        if kind in ("fail", "hang", "leave out"):
            return Failed(f"told to {kind}")
        texts.append(f"worker={told(toy.content('kit/worker.py'))}")
        if fingerprint is not None:
            texts.append(f"toolchain={int(fingerprint.split()[1]) // 2}")
        if kind == "other bytes":
            self.memory.odd = True
            texts.append(f"odd={count}")
        made = make(action.id, action.options, " ".join(texts))
        if action.rule == "run":
            made["figures"] = _signed(made["figures"], digest_of(inputs["artifact"]))
        work = self.root / "work" / f"{action.id}-{count}"
        stored: dict[str, Stored] = {}
        for name, content in made.items():
            stored[name] = self._put(work / name, content)
            if kind == "stop half-way":
                return Failed("told to stop half-way")
        shutil.rmtree(work)
        digests = {n: s.digest for n, s in stored.items()}
        given = {n: digest_of(c) for n, c in inputs.items()}
        key = semantic(action, implementation, fingerprint, given, read)
        with self._guard:
            known = self.memory.made.setdefault(key, [])
            if digests not in known:
                known.append(digests)
            self.finished.append((action.id, key))
        found = {n: "absent" if c is None else digest_of(c) for n, c in read.items()}
        return Done(stored, (), found, started, 0.01, 1, work)

    def collect(self, limit: int | None) -> None:
        """Collects garbage, as another process would: with an index of its own."""
        before = self.listing()
        with suppress(DamagedIndex):  # It has been set aside: nothing is known to be needed.
            index = Index(self.root)
            try:
                Collector(self.root, self.store, index).collect(limit)
            finally:
                index.close()
        with self._guard:
            self.memory.lost |= before - self.listing()

    def listing(self) -> set[str]:
        """Names of all stored files."""
        found: set[str] = set()
        with suppress(FileNotFoundError):
            for shard in os.listdir(self.root / "files"):
                if len(shard) == 2:
                    found.update(os.listdir(f"{self.root}/files/{shard}"))
        return found

    @staticmethod
    def _copy(path: Path) -> Content | None:
        try:
            if path.is_dir():
                return {p.name: p.read_bytes() for p in sorted(path.iterdir())}
            return path.read_bytes()
        except OSError:
            return None

    def _restored(self, digest: str) -> Content:
        if digest.startswith("tree:"):
            return {name: self.store.read(each) for name, each, _ in self.store.rows(digest)}
        return self.store.read(digest)

    def _put(self, path: Path, content: Content) -> Stored:
        if isinstance(content, bytes):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        else:
            for name, data in content.items():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).write_bytes(data)
        stored = self.store.put(path)
        with self._guard:
            self.memory.contents[stored.digest] = content
            self.memory.lost.difference_update(names_of(content))
        return stored


def _signed(figures: Content, artifact: str) -> bytes:
    """Figures that say whose they are."""
    assert isinstance(figures, bytes)
    return figures[:-1] + f', "of": "{artifact}"}}'.encode()
