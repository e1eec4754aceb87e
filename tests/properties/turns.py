"""One thing at a time, in an order that is drawn: threads without their surprises.

The coordinator hands work to a pool and waits for messages. Here, work that was handed over is done
when the coordinator waits, in an order that a seed decides. So every order of ending is possible, and
the same seed gives the same order: what fails can be repeated, and made smaller.
"""

from __future__ import annotations

import queue
import random
from collections import deque
from collections.abc import Callable
from typing import Any


class Turns:
    """Stands for the pool, and for the module `queue`, of one build."""

    Empty = queue.Empty

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._work: list[Callable[[], None]] = []
        self._messages: deque[Any] = deque()

    def ThreadPoolExecutor(self, max_workers: int) -> Turns:  # noqa: N802
        return self

    def SimpleQueue(self) -> Turns:  # noqa: N802
        self._messages.clear()
        return self

    def submit(self, work: Callable[[], None]) -> None:
        self._work.append(work)

    def shutdown(self, *, wait: bool, cancel_futures: bool) -> None:
        # What runs comes to its end, and nobody hears of it.
        for work in self._work:
            work()
        self._work.clear()

    def put(self, message: Any) -> None:
        self._messages.append(message)

    def get(self, timeout: float | None) -> Any:
        if not self._messages and self._work:
            self._work.pop(self._random.randrange(len(self._work)))()
        if not self._messages:
            raise queue.Empty
        return self._messages.popleft()
