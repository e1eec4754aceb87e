"""Hosts: one process for each environment, which imports once and forks a child for each action."""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from buildsys.engine.executors.processes.ended import Ended, Refused
from buildsys.engine.executors.processes.host import Host
from buildsys.store.content import writing

FORKS = sys.platform == "linux"
"""On macOS the system's own libraries do not survive a fork, and the kernel tells no child that its
parent is gone."""


class Hosts:
    """The hosts of one executor, by environment.

    Args:
        work: Where their folders are made.
        program: `toolchains/inside/program.py`.
        count: Is called for each process.
    """

    def __init__(self, work: Path, program: Path, count: Callable[[], None]) -> None:
        self._work = work
        self._program = program
        self._count = count
        self._hosts: dict[str, Host] = {}
        self._leaving: list[Host] = []
        self._without: dict[str, str] = {}
        self._guard = threading.Lock()
        self._stopped = False

    def run(
        self,
        environment: str,
        python: Path,
        request: Path,
        variables: Mapping[str, str],
        timeout: float,
        begun: Callable[[int], None],
    ) -> Ended | Refused:
        """Has the environment's host perform a request; it is started where there is none.

        Args:
            environment: Its name.
            python: Its interpreter.
            request: See `Host.run`, as for the others.
            variables: The step's environment variables.
            timeout: Seconds.
            begun: Is called with the process number of the step.

        Raises:
            OSError: The interpreter does not start.
            StoreError: The host's folder cannot be made.
        """
        host = self._host(environment, python, variables)
        if not isinstance(host, Host):
            return host
        outcome = host.run(request, variables, timeout, begun)
        if isinstance(outcome, Refused) and outcome.always:
            with self._guard:
                self._without[environment] = outcome.reason
            self.retire(environment)
        return outcome

    def run_alone(
        self,
        python: Path,
        request: Path,
        variables: Mapping[str, str],
        timeout: float,
        begun: Callable[[int], None],
    ) -> Ended | Refused:
        """Has a host of its own perform a request, so that nothing else can end that host.

        Raises:
            OSError: The interpreter does not start.
            StoreError: The host's folder cannot be made.
        """
        with self._guard:
            if self._stopped:
                return Ended(-1, 0.0, lost="was stopped")
            host = self._made(python, variables)
            self._leaving = [*(each for each in self._leaving if not each.gone), host]
        try:
            return host.run(request, variables, timeout, begun)
        finally:
            host.close()

    def prepare(
        self,
        environment: str,
        python: Path,
        variables: Mapping[str, str],
        spec: Mapping[str, Any],
        done: Callable[[], None],
    ) -> None:
        """Starts an environment's host, if there is none, and lets it import before a step needs it."""
        with self._guard:
            known = environment in self._hosts
        host = None if known else self._host(environment, python, variables)
        if isinstance(host, Host):
            host.prepare(spec, done)
        else:
            done()

    def _host(
        self, environment: str, python: Path, variables: Mapping[str, str]
    ) -> Host | Ended | Refused:
        with self._guard:
            if self._stopped:
                return Ended(-1, 0.0, lost="was stopped")
            if environment in self._without:
                return Refused(self._without[environment], True, 0.0)
            known = self._hosts.get(environment)
            if known is not None and not known.gone and known.python == python:
                return known
            if known is not None:
                known.retire()
                self._leaving.append(known)
            made = self._made(python, variables)
            self._hosts[environment] = made
            return made

    def _made(self, python: Path, variables: Mapping[str, str]) -> Host:
        with writing(self._work):
            self._work.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="host-", dir=self._work))
        return Host(python, self._program, variables, folder, self._count)

    def retire(self, environment: str) -> None:
        """Ends the host of an environment when nothing runs in it any more."""
        with self._guard:
            host = self._hosts.pop(environment, None)
            if host is not None:
                self._leaving = [each for each in (*self._leaving, host) if not each.gone]
        if host is not None:
            host.retire()

    def stop(self) -> None:
        """Kills all hosts and their children, and starts no more."""
        with self._guard:
            self._stopped = True
            for host in (*self._hosts.values(), *self._leaving):
                host.kill()

    def close(self) -> None:
        """Ends all hosts."""
        with self._guard:
            hosts = [*self._hosts.values(), *self._leaving]
            self._hosts.clear()
            self._leaving.clear()
        for host in hosts:
            host.close()
