"""What planning and building give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from buildsys.engine.run import Run
from buildsys.engine.staleness.explain import Reason
from buildsys.engine.staleness.walk import Standing, State
from buildsys.engine.unchanged import Unchanged
from buildsys.planner.graph import ActionGraph, Deployable

if TYPE_CHECKING:
    from buildsys.engine.outcome.verdicts import Verdict
    from buildsys.planner.digraph import ActionDiGraph
    from buildsys.recipe import Outline, Recipe


@dataclass(frozen=True)
class PlannedDeployable:
    """A deployable as `plan` sees it.

    Attributes:
        deployable: What was asked for.
        sign: `+` new, `~` stale, `=` up to date, `?` maybe, `!` blocked.
        reasons: What changed.
        blocked: Why it cannot be made here.
        search: How many candidates a search would build at most, where it has none chosen.
        rejected: For one that is up to date: the bound that does not hold. A build would run nothing
            and reject it again.
        unseen: For one that is up to date: through what its model's code read where nothing could see
            it, so that its inputs are not fully known.
    """

    deployable: Deployable
    sign: str
    reasons: tuple[Reason, ...]
    blocked: str | None
    rejected: str | None = None
    search: int | None = None
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What a build would do.

    Attributes:
        action_graph: The actions, as the engine has them.
        standings: State by action id.
        reasons: Causes by action id.
        deployables: One entry a selected deployable.
        seconds: A guess of the work from history, or `None` where there is too little of it.
        elapsed: How long that takes with the executor's slots.
    """

    action_graph: ActionGraph
    standings: dict[str, Standing]
    reasons: dict[str, list[Reason]]
    deployables: list[PlannedDeployable]
    seconds: float | None
    elapsed: float | None = None

    @cached_property
    def graph(self) -> ActionDiGraph:
        """The actions as a networkx `DiGraph`.

        Nodes are ids of actions, in a topological order. Edges run from an action to those that take its
        outputs. A node has these attributes:

        - `rule`: the kind of step, such as `onnx.export`.
        - `toolchain`: the environment that it runs in, or `None` for a built-in step.
        - `state`: what a build would do: `run`, `maybe` (as soon as an input turns out to be new),
          `hit` (nothing: the result is known) or `blocked`.
        - `deployables`: the labels that need it, as a list.

        An edge has `inputs`: the names of the inputs that it goes into, as a list.
        """
        from buildsys.planner.digraph import digraph  # It imports networkx.

        states = {name: standing.state.value for name, standing in self.standings.items()}
        return digraph(self.action_graph, states)

    def count(self, state: State) -> int:
        """How many actions are in a state."""
        return sum(standing.state is state for standing in self.standings.values())

    @property
    def has_work(self) -> bool:
        """Whether a build would, or might, run anything."""
        searches = any(planned.search is not None for planned in self.deployables)
        return bool(searches or self.count(State.RUN) or self.count(State.MAYBE))


@dataclass(frozen=True)
class Build:
    """The result of a build.

    Attributes:
        outline: What was built, in outline.
        load: Gives the recipe; it is read once it is asked for.
        graph: The actions.
        run: What happened to them.
        verdicts: One a selected deployable.
        folder: Where artifacts were placed.
        exit: The command's exit status.
        processes: How many worker processes were started.
        paths: Where each artifact lies, by label.
        unchanged: What was not looked at again; its actions and deployables are in no other field.
    """

    outline: Outline
    load: Callable[[], Recipe] = field(repr=False)
    graph: ActionGraph
    run: Run
    verdicts: list[Verdict]
    folder: Path
    exit: int
    processes: int
    paths: dict[str, Path] = field(default_factory=dict)
    unchanged: Unchanged | None = None

    @property
    def recipe(self) -> Recipe:
        """What was built."""
        return self.load()

    def summary(self) -> dict[str, int]:
        """Counts of actions."""
        failed = len(self.run.failures)
        executed = set(self.run.executed)
        return {
            "hit": sum(name not in executed for name in self.run.standings)
            + (self.unchanged.actions if self.unchanged is not None else 0)
            - sum(s.state is State.BLOCKED for s in self.run.standings.values()),
            "ran": len(executed) - failed,
            "failed": failed,
            "blocked": len(self.run.skipped),
        }
