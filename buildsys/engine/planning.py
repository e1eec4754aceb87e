"""What a build of a session's recipe would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from buildsys.engine.engine import Engine, Project
from buildsys.engine.outcome.obstacles import refuse_obstacles
from buildsys.engine.results import Plan, PlannedDeployable
from buildsys.engine.run import Run
from buildsys.engine.scheduling import schedule
from buildsys.engine.staleness.explain import Explainer
from buildsys.engine.staleness.positions import Positions
from buildsys.engine.staleness.walk import Standing, State, Walk
from buildsys.planner.graph import ActionGraph, Deployable
from buildsys.store import StoreError

if TYPE_CHECKING:
    from buildsys.planner.choices.choosing import Question


def plan(
    engine: Engine,
    graph: ActionGraph,
    project: Project,
    positions: Positions,
    searches: Mapping[str, Question],
) -> Plan:
    """What a build would do. Runs nothing; only digests of files are memoised.

    Args:
        engine: The store.
        graph: The actions.
        project: What would be built.
        positions: Where the recipe says what.
        searches: The searches that would run, by label; the graph has one candidate of each.
    """
    refuse_obstacles(project.artifacts, graph.deployables)
    walk = engine.walk(graph, project)
    standings = walk.states()
    explainer = Explainer(positions, graph, walk, standings)
    reasons = {
        name: explainer.action(action)
        for name, action in graph.actions.items()
        if standings[name].state in (State.RUN, State.MAYBE)
    }
    planned = [_planned_as(d, standings, explainer) for d in graph.deployables]
    if any(p.sign == "=" for p in planned):
        planned = _judged(engine, graph, Run(standings), planned)
    planned = [_unsearched(p, searches.get(p.deployable.label)) for p in planned]
    with suppress(StoreError):  # A store that cannot be written can still be planned against.
        engine.save()
    return Plan(graph, standings, reasons, planned, *_estimate(walk, standings, engine.slots))


def _planned_as(
    deployable: Deployable, standings: Mapping[str, Standing], explainer: Explainer
) -> PlannedDeployable:
    states = [standings[name] for name in deployable.actions]
    blocked = next((s.reason for s in states if s.state is State.BLOCKED), None)
    if blocked is not None:
        return PlannedDeployable(deployable, "!", (), blocked)
    if all(s.state is State.HIT for s in states):
        return PlannedDeployable(deployable, "=", (), None)
    if explainer.is_new(deployable):
        return PlannedDeployable(deployable, "+", (), None)
    # The artifact itself is stale when a step of its own route is sure to run.
    sure = any(standings[name].state is State.RUN for name in deployable.actions)
    return PlannedDeployable(
        deployable, "~" if sure else "?", tuple(explainer.roots(deployable)), None
    )


def _estimate(
    walk: Walk, standings: Mapping[str, Standing], slots: int
) -> tuple[float | None, float | None]:
    """Seconds of work and until its end, by history; `None` where a rule has none."""
    rules = walk.index.expenses()
    actions = walk.graph.actions
    wanted = {n for n, s in standings.items() if s.state in (State.RUN, State.MAYBE)}
    if any(actions[n].rule not in rules and walk.last(actions[n]) is None for n in wanted):
        return None, None
    expected = {n: schedule.expense(a, walk, rules) for n, a in actions.items()}
    work = sum(expected[name].seconds for name in wanted)
    return work, schedule.elapsed(walk, expected, wanted, slots)


def _judged(
    engine: Engine, graph: ActionGraph, run: Run, planned: Sequence[PlannedDeployable]
) -> list[PlannedDeployable]:
    """What a build would say again of those that are up to date."""
    from buildsys.engine.outcome.verdicts import (
        Judge,  # With the figures, a tenth of a plan's imports.
    )

    judge = Judge(graph, run, engine.store, engine.environments)
    return [
        replace(p, rejected=judge.rejection(p.deployable), unseen=judge.unseen(p.deployable))
        if p.sign == "="
        else p
        for p in planned
    ]


def _unsearched(planned: PlannedDeployable, question: Question | None) -> PlannedDeployable:
    """What a plan says of a deployable whose search has not chosen yet."""
    if question is None:
        return planned
    sign = "!" if planned.blocked is not None else "?"
    return replace(planned, sign=sign, reasons=(), rejected=None, search=question.most)
