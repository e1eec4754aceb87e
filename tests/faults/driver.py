"""Builds the toy project in a process of its own; dies at a point that is named.

    python -m tests.faults.driver PROJECT STORE [--die POINT] [--jobs N] [--nth N] [--collect]

Prints one JSON object a line: every event, and at last the exit status and what ran.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from buildsys.engine.events import Event
from buildsys.engine.outcome.placing import Placing
from buildsys.engine.scheduling.claims import Claims
from buildsys.engine.scheduling.lease import Lease
from buildsys.store import CorruptObject, Index, Memo, Store, StoreError
from buildsys.store.collection import Collector
from buildsys.store.database import Database
from buildsys.store.local import LocalObjects
from tests.space import Space


def die() -> None:
    """As `kill -9` and the out-of-memory killer do it: nothing is tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)


def _before(owner: Any, name: str, nth: int) -> None:
    _wrap(owner, name, nth, after=False)


def _after(owner: Any, name: str, nth: int) -> None:
    _wrap(owner, name, nth, after=True)


def _wrap(owner: Any, name: str, nth: int, *, after: bool) -> None:
    real: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def wrapped(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if not after and calls == nth:
            die()
        result = real(*given, **named)
        if after and calls == nth:
            die()
        return result

    static = isinstance(owner.__dict__.get(name) if isinstance(owner, type) else None, staticmethod)
    setattr(owner, name, staticmethod(wrapped) if static else wrapped)


def _transaction(nth: int, *, after: bool) -> None:
    real = Database.transaction
    calls = 0

    @contextlib.contextmanager
    def transaction(self: Database) -> Iterator[None]:
        nonlocal calls
        with real(self):
            yield
            calls += 1
            if not after and calls == nth:
                die()
        if after and calls == nth:
            die()

    Database.transaction = transaction  # type: ignore[method-assign]


RECORDING = "while a record is written"
POINTS: dict[str, tuple[Callable[[int], None], int]] = {
    "before a temporary file": (lambda n: _before(Store, "_write", n), 3),
    "after a temporary file": (lambda n: _after(LocalObjects, "draft", n), 3),
    "before a flush": (lambda n: _before(LocalObjects, "_settle", n), 3),
    "before a rename": (lambda n: _before(LocalObjects, "_enter", n), 4),
    "after a rename": (lambda n: _after(LocalObjects, "_enter", n), 4),
    "while bytes are compared": (lambda n: _before(LocalObjects, "_keeps", n), 3),
    "before a transaction's end": (lambda n: _transaction(n, after=False), 6),
    "after a transaction": (lambda n: _transaction(n, after=True), 6),
    "after a lease is opened": (lambda n: _after(Lease, "open", n), 1),
    "with a lease's first digests": (lambda n: _before(Index, "lease", n), 1),
    "holding a claim": (lambda n: _after(Claims, "take", n), 2),
    "before a claim is given back": (lambda n: _before(Claims, "give_back", n), 2),
    "holding the lock of the artifacts": (lambda n: _before(Placing, "_place", n), 1),
    "after the artifacts' record": (lambda n: _after(Placing, "_write", n), 1),
    "between two artifacts": (lambda n: _after(Placing, "_restore", n), 2),
    "in the middle of a swap": (lambda n: _before(Placing, "_swap", n), 2),
    RECORDING: (lambda n: _before(tempfile, "mkstemp", n), 1),
    "before pins are written": (lambda n: _before(Index, "pin", n), 1),
    "before the memo is written": (lambda n: _before(Memo, "save", n), 1),
    "after the memo is written": (lambda n: _after(Memo, "save", n), 1),
}
COLLECTING: dict[str, tuple[Callable[[int], None], int]] = {
    "before a file is collected": (lambda n: _before(LocalObjects, "take_out", n), 3),
    "after a file was collected": (lambda n: _after(LocalObjects, "take_out", n), 3),
    "before a collection's transaction ends": (lambda n: _transaction(n, after=False), 1),
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("project", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--die", choices=[*POINTS, *COLLECTING])
    parser.add_argument("--nth", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--collect", action="store_true")
    parser.add_argument("--earlier", type=float, default=0.0, help="Seconds the clock goes back.")
    given = parser.parse_args()
    if given.die is not None:
        arm, nth = {**POINTS, **COLLECTING}[given.die]
        arm(given.nth or nth)
    if given.earlier:
        real, real_ns = time.time, time.time_ns
        time.time = lambda: real() - given.earlier
        time.time_ns = lambda: real_ns() - int(given.earlier * 1e9)
    if given.collect:
        index = Index(given.store)
        Collector(given.store, Store(given.store), index).collect(0)
        index.close()
        return 0

    def tell(event: Event) -> None:
        print(json.dumps(event.to_json()), flush=True)

    space = Space(given.project, given.store)
    from buildsys.engine.run import Settings

    with space.session() as session:
        build = session.build(
            (), settings=Settings(jobs=given.jobs, max_failures=1, timeout=60), listener=tell
        )
    print(json.dumps({"event": "end", "exit": build.exit, "executed": build.run.executed}))
    return build.exit


def run() -> int:
    """The exit statuses of the command line."""
    try:
        return main()
    except KeyboardInterrupt:
        return 130
    except (StoreError, CorruptObject) as error:
        print(f"error: {error}", file=sys.stderr)
        return 5


if __name__ == "__main__":
    sys.exit(run())
