"""Hosts that builds of one test process hand on, so that not every build imports numpy anew.

A host costs 0.3 s of CPU, and most builds of tests take less than that for all else they do. A step is
forked from what a host has imported and from nothing else, so it cannot tell one that others have used;
`tests/engine/test_hosts.py` asks for that, with hosts of its own.
"""

from __future__ import annotations

import atexit
import json
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from buildsys.engine.executors import LocalExecutor
from buildsys.engine.executors.local import PROGRAM, counter
from buildsys.engine.executors.processes.ended import Ended, Refused
from buildsys.engine.executors.processes.host import Host
from buildsys.engine.executors.processes.hosts import Hosts
from buildsys.store import Store

REPOSITORY = Path(__file__).parent.parent
Place = tuple[str, Path]
"""An environment's name and its interpreter."""


class Pool:
    """Hosts that nobody uses at the moment."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.gettempdir()) / "unused"
        self._idle: defaultdict[Place, list[Host]] = defaultdict(list)
        self._guard = threading.Lock()

    def take(self, place: Place) -> Host | None:
        """One that is ready, if there is any."""
        with self._guard:
            while self._idle[place]:
                host = self._idle[place].pop()
                if not host.gone:
                    return host
                host.close()
        return None

    def give(self, place: Place, host: Host) -> None:
        """Keeps one for the next build."""
        with self._guard:
            self._idle[place].append(host)

    def processes(self) -> frozenset[int]:
        """Their process numbers."""
        with self._guard:
            return frozenset(host._process.pid for hosts in self._idle.values() for host in hosts)

    def close(self) -> None:
        """Ends all of them."""
        with self._guard:
            for hosts in self._idle.values():
                for host in hosts:
                    host.close()
            self._idle.clear()


POOL = Pool()
atexit.register(POOL.close)


class SharedHosts(Hosts):
    """Takes hosts from the pool and gives back what is idle and sound.

    A host counts as a process of each build that uses it, as one of its own would. A backend that lies
    outside of the repository is a copy that a test may edit, and hosts keep what they have imported: such
    a build has hosts of its own.
    """

    _foreign = False

    def run(
        self,
        environment: str,
        python: Path,
        request: Path,
        variables: Mapping[str, str],
        timeout: float,
        begun: Callable[[int], None],
    ) -> Ended | Refused:
        self._look(json.loads(request.read_bytes()))
        return super().run(environment, python, request, variables, timeout, begun)

    def prepare(
        self,
        environment: str,
        python: Path,
        variables: Mapping[str, str],
        spec: Mapping[str, Any],
        done: Callable[[], None],
    ) -> None:
        self._look(spec)
        super().prepare(environment, python, variables, spec, done)

    def _look(self, spec: Mapping[str, Any]) -> None:
        folder = Path(spec.get("folder", spec["backends"]))
        self._foreign |= not folder.is_relative_to(REPOSITORY)

    def _host(
        self, environment: str, python: Path, variables: Mapping[str, str]
    ) -> Host | Ended | Refused:
        with self._guard:
            free = environment not in self._hosts and environment not in self._without
            if free and not self._foreign and not self._stopped:
                host = POOL.take((environment, python))
                if host is not None:
                    host._count = self._count
                    self._count()
                    self._hosts[environment] = host
        return super()._host(environment, python, variables)

    def retire(self, environment: str) -> None:
        with self._guard:
            host = self._hosts.get(environment)
            if host is not None and self._sound(environment, host):
                del self._hosts[environment]
                POOL.give((environment, host.python), host)
                return
        super().retire(environment)

    def _sound(self, environment: str, host: Host) -> bool:
        busy = host.gone or host._boxes or host._children or host._prepared is not None
        return not (busy or self._stopped or self._foreign or environment in self._without)

    def close(self) -> None:
        for environment in list(self._hosts):
            self.retire(environment)
        super().close()


class SharingExecutor(LocalExecutor):
    """A local executor whose hosts outlive it."""

    def __init__(
        self,
        store: Store,
        warm: bool = True,
        variables: Mapping[str, str] | None = None,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        super().__init__(store, warm, variables, warn)
        self._hosts = SharedHosts(POOL.folder, PROGRAM, counter(self))
