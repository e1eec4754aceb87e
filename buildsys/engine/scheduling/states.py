"""Where each action of a running build is: one enum of states, and one function that changes them.

`ActionTable.move` keeps everything that follows from a state: how many actions above each one are
undecided, which actions can be looked at, which are running, and how many steps each environment still
has to run.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from buildsys.engine.staleness.walk import Standing
from buildsys.planner.graph import Action
from buildsys.store import Trace

if TYPE_CHECKING:
    from buildsys.engine.executors.job import Job


class ActionState(enum.Enum):
    """What an action is doing, or what became of it."""

    WAITING = "waiting"
    """An action above it is undecided."""
    READY = "ready"
    """All above it is decided; the walk has not looked at it yet."""
    QUEUED = "queued"
    """It has to run, and waits for room on the machine."""
    SETUP = "setup"
    """It has to run, and waits for its environment to be made."""
    SHARED = "shared"
    """The same step is running for another action; this one takes its result."""
    ELSEWHERE = "elsewhere"
    """Another build is running it."""
    RUNNING = "running"
    """A worker of this build is running it."""
    DONE = "done"
    """Its result is known: it ran, or it was a hit."""
    FAILED = "failed"
    """It ran, or was about to, and gave nothing."""
    SKIPPED = "skipped"
    """It was not run, for a reason that is known."""


DECIDED = frozenset({ActionState.DONE, ActionState.FAILED, ActionState.SKIPPED})

_S = ActionState
_ENDS = (_S.DONE, _S.FAILED, _S.SKIPPED)
ALLOWED: Mapping[ActionState, frozenset[ActionState]] = {
    _S.WAITING: frozenset({_S.READY, _S.SKIPPED}),
    _S.READY: frozenset({_S.READY, _S.QUEUED, _S.SETUP, *_ENDS, _S.WAITING}),
    _S.QUEUED: frozenset({_S.RUNNING, _S.SHARED, _S.ELSEWHERE, _S.READY, _S.WAITING, *_ENDS}),
    _S.SETUP: frozenset({_S.READY, _S.WAITING, _S.SKIPPED}),
    _S.SHARED: frozenset({_S.READY, _S.WAITING, _S.SKIPPED}),
    _S.ELSEWHERE: frozenset({_S.QUEUED, _S.WAITING, _S.SKIPPED}),
    _S.RUNNING: frozenset({_S.DONE, _S.FAILED, _S.READY, _S.WAITING}),
    # A result is taken back when its files are gone, or when what it was made of changed.
    _S.DONE: frozenset({_S.READY, _S.WAITING}),
    _S.FAILED: frozenset(),
    _S.SKIPPED: frozenset(),
}
"""The states that may follow each state; anything else is a bug."""

_LISTED = (_S.RUNNING, _S.SETUP, _S.SHARED, _S.ELSEWHERE)
"""States whose actions are looked up by state; there are few of them at any time."""
_HELD_UP = (_S.READY, _S.QUEUED, _S.SETUP, _S.SHARED, _S.ELSEWHERE)
"""States that an action leaves when something above it becomes undecided again."""


@dataclass(slots=True, eq=False)
class Node:
    """One action of a running build.

    Attributes:
        action: The action.
        needed: Whether its files are needed, and not only their digests.
        state: Changed by `ActionTable.move` alone.
        undecided: How many of the actions above it are undecided.
        below: The actions that take something of it.
        standing: What the walk last concluded of it; for `DONE`, its result.
        job: What is running, for `RUNNING`.
        taken_back: The result that it had before it was looked at again.
        changes: How often an input changed while it ran.
        retries: How often it was tried again because its environment failed.
        damaged: By digest, how often a stored input turned out to be damaged.
        holder: The other build that was last reported to run it.
    """

    action: Action
    needed: bool
    state: ActionState = ActionState.WAITING
    undecided: int = 0
    below: list[Node] = field(default_factory=list)
    standing: Standing | None = None
    job: Job | None = None
    taken_back: Trace | None = None
    changes: int = 0
    retries: int = 0
    damaged: dict[str, int] = field(default_factory=dict)
    holder: str | None = None

    @property
    def id(self) -> str:
        """The action's id."""
        return self.action.id

    @property
    def decided(self) -> bool:
        """Whether it is known what became of it."""
        return self.state in DECIDED


class ActionTable:
    """The actions of one build, by state.

    Attributes:
        nodes: By action id, in topological order.
        environments: By environment, how many of its actions are undecided.

    Args:
        actions: In topological order.
        needed: Ids of the actions whose files are needed.
    """

    def __init__(self, actions: Mapping[str, Action], needed: Iterable[str]) -> None:
        wanted = set(needed)
        self.nodes = {name: Node(action, name in wanted) for name, action in actions.items()}
        self.environments: dict[str, int] = {}
        self._ready: deque[Node] = deque()
        self._listed: dict[ActionState, dict[str, Node]] = {state: {} for state in _LISTED}
        for node in self.nodes.values():
            above = set(node.action.upstream())
            node.undecided = len(above)
            for name in above:
                self.nodes[name].below.append(node)
            environment = node.action.environment
            if environment is not None:
                self.environments[environment] = self.environments.get(environment, 0) + 1
            if not above:
                self.move(node, ActionState.READY)

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def above(self, node: Node) -> list[Node]:
        """The actions that an action takes something of, each once."""
        return [self.nodes[name] for name in dict.fromkeys(node.action.upstream())]

    def in_state(self, state: ActionState) -> list[Node]:
        """The actions that are running, in setup, shared or elsewhere."""
        return list(self._listed[state].values())

    def any_in(self, *states: ActionState) -> bool:
        """Whether an action is in one of these states; see `in_state`."""
        return any(self._listed[state] for state in states)

    def next_ready(self) -> Node | None:
        """The next action to look at; `None` where there is none."""
        while self._ready:
            node = self._ready.popleft()
            if node.state is ActionState.READY:
                return node
        return None

    def move(self, node: Node, to: ActionState) -> None:
        """Puts an action into a state; the only place where states change.

        Actions below are notified when the action becomes decided, or undecided again.

        Raises:
            RuntimeError: The state cannot follow the present one; a bug of ours.
        """
        was = node.state
        if to not in ALLOWED[was] or (to is ActionState.READY and node.undecided):
            raise RuntimeError(f"{node.id} cannot go from {was.value} to {to.value}")
        node.state = to
        if was in self._listed:
            del self._listed[was][node.id]
        if to in self._listed:
            self._listed[to][node.id] = node
        if to is ActionState.READY:
            self._ready.append(node)
        if (to in DECIDED) != (was in DECIDED):
            self._count(node, -1 if to in DECIDED else 1)

    def look_again(self, node: Node) -> None:
        """Has an action looked at again, as soon as all above it is decided."""
        self.move(node, ActionState.WAITING if node.undecided else ActionState.READY)

    def _count(self, node: Node, change: int) -> None:
        environment = node.action.environment
        if environment is not None:
            self.environments[environment] += change
        for below in node.below:
            below.undecided += change
            if below.undecided and below.state in _HELD_UP:
                self.move(below, ActionState.WAITING)
            elif not below.undecided and below.state is ActionState.WAITING:
                self.move(below, ActionState.READY)
