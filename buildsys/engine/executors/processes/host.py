"""A host: one process for an environment, which imports once and forks a child for each action.

The other end of the wire is `toolchains/inside/forks.py`. A thread a host listens; the threads that
run actions wait for what it hears about theirs.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from buildsys.engine.executors.processes.ended import Ended, Refused
from buildsys.engine.executors.processes.single import kill_group
from buildsys.engine.executors.processes.tree import kill_tree
from buildsys.engine.executors.variables import host_environment
from buildsys.store.content import writing

Message = dict[str, Any]
KILLED = "was killed by SIGKILL"


class Host:
    """One host and its children.

    Args:
        python: The environment's interpreter.
        program: `toolchains/inside/program.py`.
        variables: A worker's environment variables.
        folder: The host's own folder; it goes when the host goes.
        count: Is called for each process.

    Raises:
        OSError: The interpreter does not start.
    """

    def __init__(
        self,
        python: Path,
        program: Path,
        variables: Mapping[str, str],
        folder: Path,
        count: Callable[[], None],
    ) -> None:
        self.python = python
        self._folder = folder
        self._count = count
        self._numbers = itertools.count(1)
        self._boxes: dict[int, queue.SimpleQueue[Message]] = {}
        self._children: dict[int, int] = {}
        self._guard = threading.Lock()
        self._retired = False
        self._prepared: Callable[[], None] | None = None
        self._end: str | None = None
        self._control, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = self._start(program, theirs.fileno(), variables)
        except BaseException:
            self._control.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        count()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _start(
        self, program: Path, descriptor: int, variables: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        folder = self._folder
        with writing(folder), (folder / "log.txt").open("wb") as log:
            (folder / "tmp").mkdir()
            return subprocess.Popen(
                [self.python, "-s", "-P", program, "--serve", str(descriptor), folder],
                cwd=folder,
                env=host_environment(variables, folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[descriptor],
                start_new_session=True,
            )

    @property
    def gone(self) -> bool:
        """Whether it has ended."""
        return self._end is not None

    def run(
        self,
        request: Path,
        variables: Mapping[str, str],
        timeout: float,
        begun: Callable[[int], None],
    ) -> Ended | Refused:
        """Has a child perform a request, and waits for it.

        Args:
            request: The request file; it names the folders.
            variables: The child's environment variables.
            timeout: Seconds for the work, and as many for the imports before it.
            begun: Is called with the child's process number.
        """
        asked = time.monotonic()
        number, box = self._ask(request, variables)
        try:
            return self._wait(number, box, asked, timeout, begun)
        finally:
            with self._guard:
                self._boxes.pop(number, None)
                done = self._retired and not self._boxes
            if done:
                self.close()

    def prepare(self, spec: Mapping[str, Any], done: Callable[[], None]) -> None:
        """Asks the host to import what a step will need; calls `done` afterwards, or if the host is gone."""
        message = {"number": next(self._numbers), "prepare": dict(spec)}
        with self._guard:
            self._prepared = done
            with suppress(OSError):  # It is gone; the listener is about to say so.
                self._control.sendall(json.dumps(message).encode() + b"\n")

    def _ask(
        self, request: Path, variables: Mapping[str, str]
    ) -> tuple[int, queue.SimpleQueue[Message]]:
        box: queue.SimpleQueue[Message] = queue.SimpleQueue()
        number = next(self._numbers)
        message = {"number": number, "request": str(request), "environment": dict(variables)}
        with self._guard:
            if self._end is not None:
                box.put({"what": "lost", "end": self._end})
                return number, box
            self._boxes[number] = box
            with suppress(OSError):  # It is gone; the listener is about to say so.
                self._control.sendall(json.dumps(message).encode() + b"\n")
        return number, box

    def _wait(
        self,
        number: int,
        box: queue.SimpleQueue[Message],
        asked: float,
        timeout: float,
        begun: Callable[[int], None],
    ) -> Ended | Refused:
        started: float | None = None
        started_ns = 0
        deadline, timed_out = asked + timeout, False
        while True:
            now = time.monotonic()
            try:
                message = box.get(timeout=None if timed_out else max(0.0, deadline - now))
            except queue.Empty:
                timed_out = True
                self._kill(None if started is None else number)
                continue
            now = time.monotonic()
            wait = (now if started is None else started) - asked
            if message["what"] == "started":
                started, deadline = now, now + timeout
                started_ns = message["started_ns"]
                begun(message["pid"])
            elif message["what"] == "cold":
                return Refused(message["reason"], message["always"], wait)
            elif message["what"] == "ended":
                return Ended(
                    message["code"],
                    message["seconds"],
                    started_ns,
                    peak_rss=message["peak_rss"],
                    cpu=message["cpu"],
                    wait=max(0.0, now - asked - message["seconds"]),
                    timed_out=timed_out,
                )
            elif started is None and not timed_out and message["end"] != KILLED:
                # An import that brings an interpreter down shows best in a process of its own.
                return Refused(f"the host {message['end']}", False, wait)
            else:
                seconds = 0.0 if started is None else now - started
                end = message["end"]
                return Ended(-1, seconds, started_ns, wait=wait, timed_out=timed_out, lost=end)

    def _kill(self, number: int | None) -> None:
        """Kills a child, or the host with all of its children."""
        with self._guard:
            if number is not None:
                if number in self._children:
                    _kill_child(self._children[number])
                return
            if self._end is None and self._children:
                kill_tree(self._process.pid)  # Daemons too, which have left the groups.
            for pid in self._children.values():
                _kill_child(pid)
            if self._end is None:
                kill_group(self._process.pid)

    def kill(self) -> None:
        """Ends it at once, and all that it started."""
        self._kill(None)

    def close(self) -> None:
        """Ends it and takes its folder away. There is nothing in it that could be lost."""
        self.kill()
        if threading.current_thread() is not self._listener:
            self._listener.join(timeout=10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def retire(self) -> None:
        """Closes it when the last action that runs in it is done."""
        with self._guard:
            self._retired = True
            idle = not self._boxes
        if idle:
            self.close()

    def _listen(self) -> None:
        with self._control:
            pending = b""
            while data := self._receive():
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._hear(json.loads(line))
            code = self._process.wait()
            end = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with status {code}"
            with self._guard:
                self._end = end
                for pid in self._children.values():
                    kill_group(pid)  # Children die with the host; what they started does not.
                self._children.clear()
                for box in self._boxes.values():
                    box.put({"what": "lost", "end": end})
            self._tell_prepared()

    def _tell_prepared(self) -> None:
        done, self._prepared = self._prepared, None
        if done is not None:
            done()

    def _receive(self) -> bytes:
        try:
            return self._control.recv(1 << 16)
        except OSError:
            return b""

    def _hear(self, message: Message) -> None:
        number = message["number"]
        if message["what"] == "prepared":
            self._tell_prepared()
            return
        with self._guard:
            if message["what"] == "started":
                self._count()
                self._children[number] = message["pid"]
            elif message["what"] == "ended":
                self._children.pop(number, None)
            if number in self._boxes:
                self._boxes[number].put(message)


def signal_name(number: int) -> str:
    """For example `SIGKILL`; some numbers have no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _kill_child(pid: int) -> None:
    """A child may be too young to lead a group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
