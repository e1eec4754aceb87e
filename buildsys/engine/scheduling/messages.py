"""What threads tell the coordinator, and the threads themselves.

The coordinator alone changes a build's state. Workers are minded by threads, which post one message
each when they are done. A test may put something in place of `Threads` that does one thing at a time.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from buildsys.engine.executors import Job, Outcome


@dataclass(frozen=True)
class Finished:
    """A step ended, or the executor raised an error."""

    job: Job
    outcome: Outcome | BaseException


@dataclass(frozen=True)
class EnvironmentMade:
    """An environment was made; `error` where it was not."""

    environment: str
    error: BaseException | None


@dataclass(frozen=True)
class Prefetched:
    """An environment has imported what its next step needs."""

    environment: str


Message = Finished | EnvironmentMade | Prefetched


class Threads(Protocol):
    """Runs work beside the coordinator, and keeps what is posted to it until it asks."""

    def submit(self, work: Callable[[], Message]) -> None:
        """Does the work in a thread, and posts the message that it gives."""
        ...

    def post(self, message: Message) -> None:
        """Leaves a message; called from any thread."""
        ...

    def next(self, timeout: float | None) -> Message | None:
        """Waits for a message, so many seconds at most; `None` where none came."""
        ...

    def close(self) -> None:
        """Waits for what is running, and starts nothing more."""
        ...


class ThreadPool:
    """Threads of this process.

    Args:
        size: How many there are at most.
    """

    def __init__(self, size: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=size)
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def submit(self, work: Callable[[], Message]) -> None:
        """See `Threads`."""
        self._pool.submit(lambda: self._messages.put(work()))

    def post(self, message: Message) -> None:
        """See `Threads`."""
        self._messages.put(message)

    def next(self, timeout: float | None) -> Message | None:
        """See `Threads`."""
        try:
            return self._messages.get(timeout=timeout)
        except queue.Empty:
            return None

    def close(self) -> None:
        """See `Threads`."""
        self._pool.shutdown(wait=True, cancel_futures=True)
