"""Adds drafted actions to a graph, merging those that are the same step."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from buildsys.planner.drafts import Draft, DraftOutput
from buildsys.planner.graph import Action, ActionGraph, Input, OutputRef
from buildsys.planner.structure import Structures


class GraphBuilder:
    """A graph under construction.

    Attributes:
        graph: What there is of it.
    """

    def __init__(self, project: str) -> None:
        self.graph = ActionGraph()
        self._project = project
        self._structures = Structures()
        self._by_structure: dict[bytes, str] = {}
        self._last: dict[str, int] = {}

    def add(self, outputs: Iterable[DraftOutput | None]) -> None:
        """Adds the actions that outputs need, in the order in which they were drafted.

        An action is drafted after those that it depends on, so that is a topological order.
        """
        for draft in _missing(outputs):
            inputs = _inputs(draft)
            digest = self._structures.digest(draft, inputs)
            place = f"{draft.slot}#{draft.rule}"
            name = self._by_structure.get(digest)
            if name is None:
                name = self._by_structure[digest] = self._free(place)
                slot = f"{self._project}:{name}"
                number = len(self.graph.actions)
                self.graph.actions[name] = _action(draft, name, inputs, slot, number)
            elif (slot := f"{self._project}:{place}") not in self.graph.actions[name].slots:
                self.graph.actions[name].slots.append(slot)
            draft.id = name

    def find(self, output: DraftOutput) -> OutputRef | None:
        """An output in the graph as it is; `None` where it lacks the action."""
        for draft in _missing([output]):
            if any(above.id is None for above in _above(draft)):
                return None
            draft.id = self._by_structure.get(self._structures.digest(draft, _inputs(draft)))
        return placed(output) if output.draft.id is not None else None

    def _free(self, place: str) -> str:
        """An id that no action has."""
        name, number = place, self._last.get(place, 1)
        while name in self.graph.actions:
            number += 1
            name = f"{place}~{number}"
        self._last[place] = number
        return name


def placed(output: DraftOutput) -> OutputRef:
    """An output of an action that was added."""
    if output.draft.id is None:
        raise ValueError(f"{output.draft.slot}#{output.draft.rule} is in no graph")
    return OutputRef(output.draft.id, output.output)


def _inputs(draft: Draft) -> dict[str, Input]:
    return {
        name: placed(given) if isinstance(given, DraftOutput) else given
        for name, given in draft.inputs.items()
    }


def _missing(outputs: Iterable[DraftOutput | None]) -> list[Draft]:
    """What outputs need and no graph has, in the order in which it was drafted."""
    found: set[Draft] = set()
    waiting = [each.draft for each in outputs if each is not None]
    while waiting:
        draft = waiting.pop()
        if draft.id is None and draft not in found:
            found.add(draft)
            waiting += _above(draft)
    return sorted(found, key=attrgetter("number"))


def _above(draft: Draft) -> list[Draft]:
    return [given.draft for given in draft.inputs.values() if isinstance(given, DraftOutput)]


def _action(draft: Draft, name: str, inputs: dict[str, Input], slot: str, number: int) -> Action:
    return Action(
        id=name,
        rule=draft.rule,
        worker=draft.worker,
        environment=draft.environment,
        inputs=inputs,
        options=draft.options,
        outputs=draft.outputs,
        user_code=draft.user_code,
        origin=draft.origin,
        asked=draft.asked,
        slots=[slot],
        unavailable=draft.unavailable,
        resources=draft.resources,
        number=number,
        instead=draft.instead,
        resumes=draft.resumes,
        timed=draft.timed,
        way=draft.way,
    )
