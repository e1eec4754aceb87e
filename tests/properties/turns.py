"""One thing at a time, in an order that is drawn: threads without their surprises.

The coordinator hands work to a pool and waits for messages. Here, work that was handed over is done
when the coordinator waits, in an order that a seed decides. So every order of ending is possible, and
the same seed gives the same order: what fails can be repeated, and made smaller.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

from buildsys.engine.scheduling.messages import Message


class Turns:
    """Stands for the threads of one build; see `buildsys.engine.scheduling.messages.Threads`."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._work: list[Callable[[], Message]] = []
        self._messages: deque[Message] = deque()

    def submit(self, work: Callable[[], Message]) -> None:
        self._work.append(work)

    def post(self, message: Message) -> None:
        self._messages.append(message)

    def next(self, timeout: float | None) -> Message | None:
        if not self._messages and self._work:
            self.post(self._work.pop(self._random.randrange(len(self._work)))())
        return self._messages.popleft() if self._messages else None

    def close(self) -> None:
        # What runs comes to its end, and nobody hears of it.
        for work in self._work:
            work()
        self._work.clear()
