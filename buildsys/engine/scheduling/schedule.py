"""Which of the actions that can run is started next, and whether there is room for it.

Greedy, the longest remaining path first: an action on which much hangs is not kept waiting by one on
which nothing does. Durations and memory are those of the last time, at the same place in the graph or
else of the same rule.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from buildsys.engine.scheduling.states import ActionState, Node
from buildsys.engine.staleness.walk import Walk
from buildsys.planner.graph import Action
from buildsys.store.index import Expense

UNKNOWN = Expense(seconds=1.0, peak_rss=512 << 20)
"""What an action is assumed to need before it has ever run."""
LOOK = 1024
"""How many candidates are looked at for one that fits."""


def expense(action: Action, walk: Walk, rules: Mapping[str, Expense]) -> Expense:
    """What an action is expected to take: as at its place the last time, or as its rule does."""
    last = walk.last(action)
    if last is not None:
        return Expense(last.seconds, last.peak_rss)
    return rules.get(action.rule, UNKNOWN)


def expenses(walk: Walk) -> dict[str, Expense]:
    """What every action of a graph is expected to take; one statement."""
    rules = walk.index.expenses()
    return {name: expense(a, walk, rules) for name, a in walk.graph.actions.items()}


def remaining(walk: Walk, expected: Mapping[str, Expense]) -> dict[str, float]:
    """Seconds from the start of each action to the end of the longest path below it."""
    below: dict[str, float] = {}
    for action in reversed(list(walk.graph.actions.values())):
        path = below.get(action.id, 0.0) + expected[action.id].seconds
        below[action.id] = path
        for name in action.upstream():
            below[name] = max(below.get(name, 0.0), path)
    return below


def elapsed(walk: Walk, expected: Mapping[str, Expense], wanted: set[str], jobs: int) -> float:
    """Seconds until the wanted actions have run, so many at a time, in the order that a build takes."""
    urgency = remaining(walk, expected)
    missing, consumers = {}, dict[str, list[str]]()
    for name in walk.graph.actions:
        if name not in wanted:
            continue
        above = {each for each in walk.graph.actions[name].upstream() if each in wanted}
        missing[name] = len(above)
        for each in above:
            consumers.setdefault(each, []).append(name)
    ready = [(-urgency[name], name) for name, count in missing.items() if not count]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < jobs:
            _, name = heapq.heappop(ready)
            heapq.heappush(running, (now + expected[name].seconds, name))
        now, done = heapq.heappop(running)
        for name in consumers.get(done, ()):
            missing[name] -= 1
            if not missing[name]:
                heapq.heappush(ready, (-urgency[name], name))
    return now


@dataclass
class Room:
    """What is in use of an executor.

    Attributes:
        jobs: How many actions may run at a time.
        memory: Bytes that they may take together.
        resources: How many there are of each named resource.
    """

    jobs: int
    memory: int
    resources: Mapping[str, int]
    _running: dict[str, tuple[int, Mapping[str, int]]] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Whether nothing more can start, whatever it is."""
        return len(self._running) >= self.jobs

    def lacks(self, wanted: Mapping[str, int]) -> str | None:
        """A resource that this machine has too little of, however long one waits."""
        for name, count in wanted.items():
            if count > self.resources.get(name, 0):
                return name
        return None

    def fits(self, memory: int, wanted: Mapping[str, int]) -> bool:
        """Whether an action can start now. One alone always can: a guess must not stop a build."""
        if self.full:
            return False
        for name, count in wanted.items():
            used = sum(each.get(name, 0) for _, each in self._running.values())
            if used + count > self.resources.get(name, 0):
                return False
        used = sum(each for each, _ in self._running.values())
        return not self._running or used + memory <= self.memory

    def take(self, action: str, memory: int, wanted: Mapping[str, int]) -> None:
        """An action starts."""
        self._running[action] = (memory, wanted)

    def give_back(self, action: str) -> None:
        """An action has ended."""
        self._running.pop(action, None)


class Queue:
    """Actions that have to run, the most urgent first.

    Args:
        urgency: Of an action, by id.
    """

    def __init__(self, urgency: Callable[[str], float]) -> None:
        self._urgency = urgency
        self._heap: list[tuple[float, int, Node]] = []
        self._count = 0

    def add(self, node: Node) -> None:
        """Adds an action; it counts only while its state is `QUEUED`."""
        self._count += 1
        heapq.heappush(self._heap, (-self._urgency(node.id), self._count, node))

    def take(self, fits: Callable[[Node], bool]) -> Node | None:
        """The most urgent action that fits; `None` where none does."""
        passed: list[tuple[float, int, Node]] = []
        found = None
        while self._heap and found is None and len(passed) < LOOK:
            entry = heapq.heappop(self._heap)
            if entry[2].state is not ActionState.QUEUED:
                continue
            if fits(entry[2]):
                found = entry[2]
            else:
                passed.append(entry)
        for entry in passed:
            heapq.heappush(self._heap, entry)
        return found
