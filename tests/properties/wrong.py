"""Engines with one thing wrong in each: what the properties are there to find."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buildsys.engine.executors import Done, Job, Outcome
from buildsys.engine.outcome.placing import Placing
from buildsys.engine.staleness import freshness, keys, walk
from buildsys.engine.staleness.walk import State, Walk
from buildsys.store import CorruptObject, Index, Store, memo
from buildsys.store.content import named
from tests.properties.runner import Runner

Patch = pytest.MonkeyPatch
_manifest = keys.manifest
_inputs = Walk._inputs
_standing = Walk.standing
_states = Walk.states
_run = Runner.run


def _record(patch: Patch, change: Callable[[dict[str, Any]], object]) -> None:
    def manifest(*given: Any) -> dict[str, Any]:
        record = _manifest(*given)
        change(record)
        return record

    patch.setattr(keys, "manifest", manifest)


def ignores_options(patch: Patch) -> None:
    _record(patch, lambda record: record.update(options={}))


def ignores_the_toolchain(patch: Patch) -> None:
    _record(patch, lambda record: record["toolchain"].update(fingerprint="any"))


def ignores_the_workers_source(patch: Patch) -> None:
    patch.setattr(Walk, "implementation", lambda self, action: "any")


def ignores_what_was_discovered(patch: Patch) -> None:
    patch.setattr(Walk, "_holds", lambda self, found: True)


def does_not_look_again(patch: Patch) -> None:
    """It looks, so that nothing else is otherwise, and makes nothing of it."""
    edited, read = freshness.edited_file, freshness.changed_read
    patch.setattr(freshness, "edited_file", lambda *given: edited(*given) and None)
    patch.setattr(freshness, "changed_read", lambda *given: read(*given) and None)


def trusts_stored_files(patch: Patch) -> None:
    def read(self: Store, digest: str) -> bytes:
        try:
            return self.objects.path(named(digest)).read_bytes()
        except OSError as error:
            raise CorruptObject(digest, "missing") from error

    def restore(self: Store, digest: str, target: Path, writable: bool) -> None:
        target.write_bytes(read(self, digest))

    patch.setattr(Store, "read", read)
    patch.setattr(Store, "_restore_file", restore)


def caches_failures(patch: Patch) -> None:
    def run(self: Runner, job: Job) -> Outcome:
        outcome = _run(self, job)
        if isinstance(outcome, Done):
            return outcome
        empty = self.store.root / "empty"
        empty.write_bytes(b"")
        stored = self.store.put(empty)
        return Done({o.name: stored for o in job.action.outputs}, (), {}, 1 << 62, 0.0, 0, empty)

    patch.setattr(Runner, "run", run)


def traces_deeply(patch: Patch) -> None:
    above: list[str] = []

    def inputs(self: Walk, action: Any, known: Any) -> Any:
        above[:] = [str(known[name].key) for name in action.upstream()]
        return _inputs(self, action, known)

    patch.setattr(Walk, "_inputs", inputs)
    _record(patch, lambda record: record.update(above=sorted(above)))


def goes_by_size_and_time(patch: Patch) -> None:
    def identity(path: Any) -> tuple[int, int, int, int] | None:
        try:
            status = Path(path).stat()
        except OSError:
            return None
        return (status.st_size, status.st_mtime_ns, 0, 0)

    patch.setattr(memo, "identity_of", identity)


def trusts_young_files(patch: Patch) -> None:
    patch.setattr(memo, "grain", lambda mtime: -(1 << 62))
    goes_by_size_and_time(patch)  # Times of change are finer here than on the coarsest systems.


def leaves_old_artifacts(patch: Patch) -> None:
    patch.setattr(Placing, "_remove", lambda self, path: None)


def trusts_what_lies_among_artifacts(patch: Patch) -> None:
    patch.setattr(Placing, "_agrees", lambda self, verdicts, labels: self.folder.exists())


def collects_what_is_pinned(patch: Patch) -> None:
    patch.setattr(Index, "pins", lambda self: {})


def goes_by_the_order_of_names(patch: Patch) -> None:
    def canonical(record: Any) -> bytes:
        return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()

    patch.setattr(keys, "canonical", canonical)
    patch.setattr(keys, "digest", lambda r: hashlib.sha256(canonical(r)).hexdigest())


def runs_what_is_known(patch: Patch) -> None:
    def standing(self: Walk, action: Any, above: Any) -> Any:
        found = _standing(self, action, above)
        if found.state is State.HIT and action.id == "slim":
            return replace(found, state=State.RUN, trace=None)
        return found

    patch.setattr(Walk, "standing", standing)


def promises_too_much(patch: Patch) -> None:
    def states(self: Walk) -> Any:
        return {
            name: replace(s, state=State.HIT) if s.state is State.MAYBE else s
            for name, s in _states(self).items()
        }

    patch.setattr(Walk, "states", states)


def mixes_versions(patch: Patch) -> None:
    """What is made again with other bytes is put under figures of the first."""
    patch.setattr(freshness, "same_outputs", lambda one, other: True)
    patch.setattr(freshness, "is_current", lambda job, standings: True)


def forgets_lost_files(patch: Patch) -> None:
    patch.setattr(walk.Walk, "present", lambda self, trace: True)


WRONG: dict[Callable[[Patch], None], str] = {
    ignores_options: "1 correct, 8 failures, 2 no-op",
    ignores_the_toolchain: "1 correct, 8 failures, 2 no-op",
    ignores_the_workers_source: "1 correct, 8 failures",
    ignores_what_was_discovered: "1 correct",
    # `3 minimal` was seen once in CI for this one and for `mixes_versions`, and not since. Likely: who goes
    # on with what was there a moment ago may make again what is known of what is there now.
    does_not_look_again: "1 correct, 3 minimal, 8 failures",
    # Figures that are empty, or damaged, do not parse.
    trusts_stored_files: "1 correct, 8 failures, error",
    caches_failures: "1 correct, 8 failures, error",
    traces_deeply: "3 minimal, 4 cutoff",
    goes_by_size_and_time: "1 correct, 8 failures",
    trusts_young_files: "1 correct, 8 failures",
    leaves_old_artifacts: "1 correct, 2 no-op",
    trusts_what_lies_among_artifacts: "1 correct",
    collects_what_is_pinned: "11 collection",
    goes_by_the_order_of_names: "7 order-free",
    runs_what_is_known: "2 no-op, 3 minimal, 5 revert, 6 plan, 10 all from cache, 13 why",
    promises_too_much: "6 plan",
    mixes_versions: "1 correct, 3 minimal",
    forgets_lost_files: "error, 1 correct",
}
